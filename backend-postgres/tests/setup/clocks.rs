//! Tests of retention when a clock was wrong.

use std::time::Duration;

use backend_postgres::{Options, PostgresDriver};
use backend_proto::v1::op::Action;
use backend_proto::v1::{Key, Op};
use postgres_testkit::{Server, Session};
use sidecar::driver::Driver as _;

use crate::program::database;

const KEEP: Duration = Duration::from_secs(3600);

/// Changes that are kept whatever their age.
const KEEP_EVENTS: u64 = 2;

async fn write(driver: &PostgresDriver, name: &str) -> i64 {
    let op = Op {
        key: Some(Key {
            resource: "things".to_owned(),
            name: name.to_owned(),
            ..Key::default()
        }),
        action: Action::Create.into(),
        ..Op::default()
    };
    let committed = driver.commit(vec![op]).await.expect("committed");
    committed.header.revision
}

/// Moves the times of changes.
async fn shift(session: &Session, days: i32, revisions: std::ops::RangeInclusive<i64>) {
    let (first, last) = (revisions.start(), revisions.end());
    let statement = format!(
        "update ark.log set time = time + {days} * 86400 * 1000000000::bigint
         where revision between {first} and {last}"
    );
    session.batch_execute(&statement).await.expect("shifted");
}

#[tokio::test]
async fn clock_that_was_ahead_does_not_stop_retention() {
    let (server, dsn) = database(Server::builder()).await;
    let options = Options::from_dsn(&dsn).expect("a DSN");
    let driver = PostgresDriver::open(options).await.expect("opened");
    let session = server.session("ark").await.expect("a session");
    let mut revisions = Vec::new();
    for number in 0..12 {
        revisions.push(write(&driver, &format!("a{number}")).await);
    }
    let target = async || {
        driver
            .retention_target(KEEP, KEEP_EVENTS)
            .await
            .expect("asked")
    };
    assert_eq!(target().await, None, "all are young");
    // Three old changes, three from a clock that was days ahead, and three more old ones.
    shift(&session, -1, revisions[0]..=revisions[2]).await;
    shift(&session, 3, revisions[3]..=revisions[5]).await;
    shift(&session, -1, revisions[6]..=revisions[8]).await;
    assert_eq!(target().await, Some(revisions[8]));
    // Without a later change, the age of those from the future is not known.
    shift(&session, 1, revisions[6]..=revisions[8]).await;
    assert_eq!(target().await, Some(revisions[2]));
    driver.close().await;
}

#[tokio::test]
async fn changes_have_the_time_of_the_database() {
    let (server, dsn) = database(Server::builder()).await;
    let options = Options::from_dsn(&dsn).expect("a DSN");
    let driver = PostgresDriver::open(options).await.expect("opened");
    let session = server.session("ark").await.expect("a session");
    let clock = "create schema skewed;
         create function skewed.clock_timestamp() returns timestamptz language sql as
         'select pg_catalog.clock_timestamp() + interval ''3 days''';
         alter role postgres set search_path = skewed, pg_catalog, public";
    session.batch_execute(clock).await.expect("a clock");
    let end = "select count(pg_terminate_backend(pid)) from pg_stat_activity
         where application_name = 'backend-postgres'";
    session.text(end).await.expect("ended");
    let revision = write(&driver, "a").await;
    let ahead = format!(
        "select time > extract(epoch from now() + interval '2 days') * 1000000000
         from ark.log where revision = {revision}"
    );
    assert_eq!(
        session.text(&ahead).await.expect("asked").as_deref(),
        Some("t")
    );
    let after = driver.header().await.expect("header").revision - 1;
    let page = driver.read_log(after, 1 << 20).await.expect("the log");
    let time = page.events.first().and_then(|event| event.time);
    let stored = format!("select time / 1000000000 from ark.log where revision = {revision}");
    let stored = session.text(&stored).await.expect("asked");
    assert_eq!(time.map(|time| time.seconds.to_string()), stored);
    driver.close().await;
}
