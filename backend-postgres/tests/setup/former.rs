//! Tests of stores of releases before 0.2, and of where epochs begin.

use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use backend_postgres::migrate::new_epoch;
use backend_postgres::{Options, PostgresDriver};
use backend_proto::limits::{LAST_IMPORT, MAX_REVISION};
use backend_proto::v1::op::Action;
use backend_proto::v1::{Key, Op};
use conformance::epochs::{Clock, Stores, walk, write_to_the_last_revision};
use postgres_testkit::Server;
use sidecar::driver::Driver;

use crate::program::{database, migrate};

/// Two epochs of 2^40 revisions each: m2 and m3 were created in the first and changed in the
/// second, m4 was created in the second, m1 was deleted.
const FORMER: &str = include_str!("../fixtures/before-0.2.sql");

/// Sets the dump's origin to this database.
const AT_HOME: &str = "update ark.store s set origin = concat_ws('/', c.system_identifier, d.oid, \
    s.tableoid) from pg_control_system() c, pg_database d where d.datname = current_database()";

async fn open(dsn: &str, clock: fn() -> SystemTime) -> PostgresDriver {
    let options = Options::from_dsn(dsn).expect("a DSN").with_clock(clock);
    PostgresDriver::open(options).await.expect("opened")
}

#[tokio::test]
async fn store_of_earlier_release_is_renumbered_once_in_order() {
    let (server, dsn) = database(Server::builder()).await;
    server.execute("ark", FORMER).await.expect("loaded");
    server.execute("ark", AT_HOME).await.expect("moved");
    let session = server.session("ark").await.expect("a session");
    let driver = open(&dsn, SystemTime::now).await;
    let header = driver.header().await.expect("header");
    assert!(header.revision <= MAX_REVISION && header.compact_revision == header.revision);
    assert_eq!(header.revision, header.epoch + 5);
    let epoch = header.epoch;
    let numbers = format!(
        "select string_agg(concat_ws(' ', path, create_revision - {epoch}, revision - {epoch}), \
         ', ' order by path) from ark.object"
    );
    let expected = "default/m2 1 5, default/m3 2 3, default/m4 4 4";
    let numbers = || async { session.text(&numbers).await.expect("asked") };
    assert_eq!(numbers().await.as_deref(), Some(expected));
    let log = session.text("select count(*) from ark.log").await;
    assert_eq!(log.expect("asked").as_deref(), Some("0"));
    let op = Op {
        key: Some(Key {
            group: "ark.mckinsey.com".to_owned(),
            resource: "queries".to_owned(),
            namespace: "default".to_owned(),
            name: "new".to_owned(),
        }),
        action: Action::Create.into(),
        value: "1".into(),
        ..Op::default()
    };
    let written = driver.commit(vec![op]).await.expect("written");
    assert_eq!(written.header.revision, header.revision + 1);
    driver.close().await;

    let again = open(&dsn, SystemTime::now).await;
    let there = again.header().await.expect("header");
    assert_eq!((there.epoch, there.revision), (epoch, header.revision + 1));
    again.close().await;
    let down = migrate(&dsn, &["--to", "1"]).await.expect_err("refused");
    assert!(down.contains("numbered in another way"), "{down}");
}

#[tokio::test]
async fn schema_owner_without_other_privileges_can_renumber() {
    let (server, _) = database(Server::builder().user("keeper", "hush-hush")).await;
    let load = format!(
        "grant create on database ark to keeper; revoke temporary on database ark from public; \
         set role keeper; {FORMER}"
    );
    server.execute("ark", &load).await.expect("loaded");
    let fewer = "revoke create on database ark from keeper";
    server.execute("ark", fewer).await.expect("revoked");
    let other = server.user_dsn("keeper", "ark").expect("the role");
    migrate(&other, &[]).await.expect("migrated");
    let session = server.session("ark").await.expect("a session");
    let newest = "select (select max(revision) from ark.object) = s.revision from ark.store s";
    let newest = session.text(newest).await.expect("asked");
    assert_eq!(newest.as_deref(), Some("t"));
}

#[tokio::test]
async fn dump_of_earlier_release_is_renumbered_in_a_new_epoch() {
    let (server, dsn) = database(Server::builder()).await;
    server.execute("ark", FORMER).await.expect("loaded");
    let driver = open(&dsn, SystemTime::now).await;
    let header = driver.header().await.expect("header");
    assert!(header.revision == header.epoch && header.revision <= MAX_REVISION);
    driver.close().await;
}

#[tokio::test]
async fn epoch_begins_above_all_revisions_of_the_store() {
    let (server, dsn) = database(Server::builder()).await;
    open(&dsn, SystemTime::now).await.close().await;
    let newest = LAST_IMPORT + 7;
    let moved = format!(
        "update ark.store set epoch = {newest}, revision = {newest}, compact_revision = {newest}"
    );
    server.execute("ark", &moved).await.expect("moved on");
    let options = || Options::from_dsn(&dsn).expect("a DSN");
    for expected in [newest + 1, newest + 2] {
        let epoch = new_epoch(&options()).await.expect("a new epoch");
        assert_eq!(epoch, expected);
    }
}

#[tokio::test]
async fn writes_above_last_revision_are_rejected() {
    let (_server, dsn) = database(Server::builder()).await;
    let driver = open(&dsn, SystemTime::now).await;
    write_to_the_last_revision(&driver).await;
    driver.close().await;
}

/// Databases of one server.
struct Databases {
    server: Server,
    count: usize,
}

impl Databases {
    fn next(&mut self) -> String {
        self.count += 1;
        format!("store{}", self.count)
    }
}

#[async_trait]
impl Stores for Databases {
    type Store = (String, Arc<PostgresDriver>);

    async fn make(&mut self, clock: fn() -> SystemTime) -> Self::Store {
        let name = self.next();
        let dsn = self.server.create_database(&name).await;
        let driver = open(&dsn.expect("a database"), clock).await;
        (name, Arc::new(driver))
    }

    async fn restore(&mut self, from: &mut Self::Store, clock: fn() -> SystemTime) -> Self::Store {
        let name = self.next();
        // The source of CREATE DATABASE … TEMPLATE must not be in use.
        from.1.close().await;
        let copy = format!("create database {name} template {}", from.0);
        self.server
            .execute("postgres", &copy)
            .await
            .expect("copied");
        from.1 = Arc::new(open(&self.server.dsn(&from.0), clock).await);
        let driver = open(&self.server.dsn(&name), clock).await;
        (name, Arc::new(driver))
    }

    fn driver(&self, store: &Self::Store) -> Arc<dyn Driver> {
        store.1.clone()
    }
}

// One test for all properties, because the histories share a global clock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revisions_stay_in_range_and_are_unique_over_random_histories() {
    for seed in 0..2 {
        for mode in [Clock::OneDay, Clock::Jumps] {
            let server = Server::builder().start().await.expect("a server");
            walk(Databases { server, count: 0 }, seed, mode).await;
        }
    }
}
