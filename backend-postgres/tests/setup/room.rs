//! Tests that the log is extended wherever revisions continue.

use backend_postgres::{Options, PostgresDriver};
use backend_proto::v1::event::Type;
use backend_proto::v1::op::Action;
use backend_proto::v1::{Event, Header, Key, Op, Record};
use postgres_testkit::Server;
use sidecar::driver::{Driver as _, ImportOptions, ImportPart};
use tokio::sync::mpsc;

use crate::program::database;

/// More than the first partition holds.
const CREATES: usize = 20_000;

const BATCH: usize = 250;

fn key(name: &str) -> Key {
    Key {
        group: "ark.mckinsey.com".to_owned(),
        resource: "queries".to_owned(),
        namespace: "default".to_owned(),
        name: name.to_owned(),
    }
}

fn create(name: &str) -> Op {
    Op {
        key: Some(key(name)),
        action: Action::Create.into(),
        value: "1".into(),
        ..Op::default()
    }
}

async fn open(dsn: &str) -> PostgresDriver {
    let options = Options::from_dsn(dsn).expect("a DSN");
    PostgresDriver::open(options).await.expect("opened")
}

#[tokio::test]
async fn full_log_partition_is_followed_by_another() {
    let (server, dsn) = database(Server::builder()).await;
    let driver = open(&dsn).await;
    let start = driver.header().await.expect("header").revision;
    for first in (0..CREATES).step_by(BATCH) {
        let ops = (first..first + BATCH).map(|number| create(&format!("q{number}")));
        let committed = driver.commit(ops.collect()).await.expect("committed");
        assert_eq!(committed.events.len(), BATCH);
    }
    let (mut up_to_revision, mut observed) = (start, 0);
    while observed < CREATES {
        let page = driver
            .read_log(up_to_revision, 1 << 20)
            .await
            .expect("the log");
        let revisions: Vec<i64> = page.events.iter().map(|event| event.revision).collect();
        let expected: Vec<i64> = (up_to_revision + 1..).take(revisions.len()).collect();
        assert_eq!(revisions, expected);
        observed += revisions.len();
        up_to_revision = page.up_to_revision;
    }
    driver.close().await;
    drop(server);
}

#[tokio::test]
async fn log_is_extended_for_epoch_below_existing_partitions() {
    let (server, dsn) = database(Server::builder()).await;
    let driver = open(&dsn).await;
    // An empty store after a fail-over: in a later epoch, whose partition exists.
    let later = "update ark.store set epoch = 5, revision = 5::bigint << 40, \
                 compact_revision = 5::bigint << 40; \
                 select ark.extend_log((5::bigint << 40) + 1, (5::bigint << 40) + 1, 0)";
    server.execute("ark", later).await.expect("a later epoch");
    let snapshot = (1 << 40) + 7;
    let source = Header {
        store_id: "moved".to_owned(),
        epoch: 1,
        revision: snapshot,
        compact_revision: snapshot,
    };
    let created = Event {
        revision: snapshot + 1,
        r#type: Type::Created.into(),
        record: Some(Record {
            key: Some(key("a")),
            revision: snapshot + 1,
            create_revision: snapshot + 1,
            value: "1".into(),
            ..Record::default()
        }),
        ..Event::default()
    };
    let (sender, parts) = mpsc::channel(2);
    for part in [ImportPart::Events(vec![created]), ImportPart::Done] {
        sender.send(part).await.expect("room");
    }
    let options = ImportOptions {
        source,
        keep_epoch: true,
        more: false,
        discard: false,
    };
    let header = driver.import(options, parts).await.expect("imported");
    assert_eq!((header.epoch, header.revision), (1, snapshot + 1));
    let committed = driver.commit(vec![create("b")]).await.expect("committed");
    assert_eq!(committed.header.revision, snapshot + 2);
    driver.close().await;
}

/// A partition is dropped as a whole, so its size is what is kept beyond the retention.
#[tokio::test]
async fn partitions_of_large_values_hold_few_revisions() {
    const VALUE: usize = 20 << 10;
    const KEPT: i64 = 1000;
    let (server, dsn) = database(Server::builder()).await;
    let driver = open(&dsn).await;
    let value = |round: usize| "x".repeat(VALUE) + &round.to_string();
    let names: Vec<String> = (0..BATCH).map(|number| format!("q{number}")).collect();
    for round in 0..16 {
        let ops = names.iter().map(|name| Op {
            action: (if round == 0 {
                Action::Create
            } else {
                Action::Update
            })
            .into(),
            value: value(round).into(),
            ..create(name)
        });
        driver.commit(ops.collect()).await.expect("committed");
    }
    let head = driver.header().await.expect("header").revision;
    driver.compact(head - KEPT).await.expect("compacted");
    let session = server.session("ark").await.expect("a session");
    let size = "select sum(pg_total_relation_size(format('ark.%I', name)::regclass)) \
                from ark.log_partition";
    let size: i64 = session
        .text(size)
        .await
        .expect("asked")
        .expect("a size")
        .parse()
        .expect("bytes");
    // What was asked for, and the partitions at both ends.
    let most = KEPT * 21_000 + 2 * (12 << 20);
    assert!(size < most, "{size} bytes for {KEPT} changes");
    driver.close().await;
}
