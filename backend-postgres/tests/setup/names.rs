//! Tests of names that no record can have.

use backend_postgres::{Options, PostgresDriver};
use backend_proto::v1::op::Action;
use backend_proto::v1::{Key, Op, Range};
use postgres_testkit::Server;
use sidecar::driver::{Driver as _, ListPart, ListQuery};
use tokio::sync::mpsc;

use crate::program::database;

fn key(group: &str, resource: &str, namespace: &str, name: &str) -> Key {
    Key {
        group: group.to_owned(),
        resource: resource.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    }
}

async fn list(driver: &PostgresDriver, key: &Key) -> usize {
    let query = ListQuery {
        range: Range {
            group: key.group.clone(),
            resource: key.resource.clone(),
            namespace: Some(key.namespace.clone()),
            name: Some(key.name.clone()),
        },
        after: None,
        limit: 0,
        revision: 0,
    };
    let (sink, mut parts) = mpsc::channel(8);
    driver.list(query, sink).await.expect("listed");
    let mut records = 0;
    while let Some(part) = parts.recv().await {
        if let ListPart::Records(more) = part {
            records += more.len();
        }
    }
    records
}

#[tokio::test]
async fn names_with_zero_bytes_are_not_found() {
    let (server, dsn) = database(Server::builder()).await;
    let options = Options::from_dsn(&dsn).expect("a DSN");
    let driver = PostgresDriver::open(options).await.expect("opened");
    let there = key("group", "things", "default", "a");
    let op = Op {
        key: Some(there.clone()),
        action: Action::Create.into(),
        value: "1".into(),
        ..Op::default()
    };
    let committed = driver.commit(vec![op]).await.expect("committed");
    for (key, expected) in [
        (there, true),
        (key("group", "things", "default", "a\0"), false),
        (key("group", "things", "default\0a", "a"), false),
        (key("group", "things\0", "default", "a"), false),
        (key("group\0", "things", "default", "a"), false),
    ] {
        for revision in [0, committed.header.revision] {
            let (header, found) = driver.get(&key, revision).await.expect("an answer");
            assert_eq!(found.is_some(), expected, "{key:?} at {revision}");
            assert_eq!(header.revision, committed.header.revision);
        }
        assert_eq!(list(&driver, &key).await, usize::from(expected), "{key:?}");
    }
    driver.close().await;
    drop(server);
}
