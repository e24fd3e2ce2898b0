//! Tests that a fence is durable once acknowledged, and that an abandoned fence call does not block
//! writers.

use std::sync::Arc;
use std::time::Duration;

use backend_postgres::{Options, PostgresDriver};
use backend_proto::v1::FenceRequest;
use conformance::Endpoint;
use postgres_testkit::{Server, Session};
use sidecar::Driver as _;
use tokio::task::JoinSet;

use crate::calls::{create, until};
use crate::load::store;

const LIMIT: Duration = Duration::from_secs(15);

/// Cancels all waits for a synchronous standby.
const CANCEL: &str = "select pg_cancel_backend(pid) from pg_stat_activity \
     where wait_event = 'SyncRep'";

/// Whether a driver waits for a lock.
const WAITS: &str = "select count(*) > 0 from pg_stat_activity \
     where application_name = 'backend-postgres' and wait_event_type = 'Lock'";

const LOCK: &str = "begin; select from ark.store for update";

/// Waits until a query returns `t` or `f`.
async fn answered(session: &Session, question: &str, expected: &str) {
    until(question, LIMIT, async || {
        session.text(question).await.expect("asked").as_deref() == Some(expected)
    })
    .await;
}

/// Cancels waits for a standby, forever.
pub(crate) async fn cancel(session: &Session) {
    loop {
        session.text(CANCEL).await.expect("asked");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Cancels the remaining waits for a standby; returns when there is none.
pub(crate) async fn released(session: &Session) {
    let waiting = "select count(pg_cancel_backend(pid)) = 0 from pg_stat_activity \
                   where wait_event = 'SyncRep'";
    answered(session, waiting, "t").await;
}

async fn fence(endpoint: &Endpoint) -> Result<(), tonic::Status> {
    let request = FenceRequest {
        fenced: true,
        reason: "moving".to_owned(),
    };
    endpoint.client().fence(request).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fence_is_not_acknowledged_before_it_reaches_standbys() {
    let (server, _, sidecars) = store(Server::builder(), 1).await;
    let endpoint = &sidecars[0].endpoint;
    create(endpoint, "a").await.expect("written");
    let session = server.session("ark").await.expect("a session");
    let standbys = "synchronous_standby_names";
    server.set(standbys, "nobody").await.expect("set");
    let mut error = None;
    // The server applies the setting asynchronously; until then nothing waits for a standby.
    until("a fence that waits for a standby", LIMIT, async || {
        error = tokio::select! {
            reported = fence(endpoint) => reported.err(),
            () = cancel(&session) => None,
        };
        error.is_some()
    })
    .await;
    let error = error.expect("a fence that a fail-over forgets");
    assert!(error.message().contains("standbys"), "{error}");
    server.set(standbys, "").await.expect("set");
    fence(endpoint).await.expect("fenced");
    for sidecar in sidecars {
        sidecar.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn abandoned_fence_call_releases_its_lock() {
    let server = Server::builder().start().await.expect("a server");
    let dsn = server.create_database("ark").await.expect("a database");
    let options = Options::from_dsn(&dsn).expect("a DSN");
    let driver = Arc::new(PostgresDriver::open(options).await.expect("a store"));
    let session = server.session("ark").await.expect("a session");
    // A separate session: within one transaction, pg_stat_activity does not change.
    let observer = server.session("ark").await.expect("a session");
    session.batch_execute(LOCK).await.expect("locked");
    let mut call = JoinSet::new();
    let fencing = driver.clone();
    call.spawn(async move { fencing.fence(Some("moving".to_owned())).await });
    answered(&observer, WAITS, "t").await;
    // The caller disconnects, and then its call gets the lock.
    call.shutdown().await;
    session.batch_execute("commit").await.expect("released");
    answered(&observer, WAITS, "f").await;
    // Shorter than the server's timeout of an idle transaction.
    let patient = format!("set lock_timeout = '5s'; {LOCK}; commit");
    session.batch_execute(&patient).await.expect("a free lock");
    driver.close().await;
}
