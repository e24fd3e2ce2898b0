//! Tests of a commit whose response is lost: the writer must still get the correct result.

use std::time::Duration;

use backend_proto::v1::op::Action;
use backend_proto::v1::op_result::Verdict;
use backend_proto::v1::{Op, WriteRequest};
use bytes::Bytes;
use conformance::Endpoint;
use postgres_testkit::{Mode, Proxy, Server, Session};

use crate::calls::{create, op, until};
use crate::sidecar_of::Sidecar;

/// Makes a commit wait for permission, so that its connection can be cut after it was sent and
/// before it completes.
const SLOWLY: &str = "
    create function ark.hang() returns trigger language plpgsql as $$
    begin perform pg_advisory_xact_lock_shared(1); return null; end $$;
    create constraint trigger hang after update of revision on ark.store
      deferrable initially deferred for each row execute function ark.hang()";

const HOLD: &str = "select pg_advisory_lock(1)";
const LET: &str = "select pg_advisory_unlock(1)";

const LIMIT: Duration = Duration::from_secs(15);

const REVISION: &str = "select revision from ark.store";

async fn revision(session: &Session) -> i64 {
    let text = session.text(REVISION).await.expect("asked");
    text.expect("a revision").parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn write_with_lost_response_is_applied_once() {
    let server = Server::builder().start().await.expect("a server");
    let dsn = server.create_database("ark").await.expect("a database");
    let proxy = Proxy::start(server.address()).await.expect("a proxy");
    let sidecar = Sidecar::start(&["--dsn", &proxy.dsn(&dsn)]).await;
    create(&sidecar.endpoint, "a").await.expect("written");
    server.execute("ark", SLOWLY).await.expect("a trigger");
    let session = server.session("ark").await.expect("a session");
    let nameless = |action, name| Op {
        op_id: Bytes::new(),
        ..op(action, name)
    };
    for (what, op) in [
        ("a create", op(Action::Create, "b")),
        ("a create without op_id", nameless(Action::Create, "c")),
        ("a delete without op_id", nameless(Action::Delete, "a")),
    ] {
        let before = revision(&session).await;
        session.text(HOLD).await.expect("held");
        let lose = async {
            let waits = "select count(*) > 0 from pg_stat_activity where wait_event = 'advisory'";
            until("the commit", LIMIT, async || {
                session.text(waits).await.expect("asked").as_deref() == Some("t")
            })
            .await;
            proxy.set(Mode::Hang).await.expect("nothing passes");
            session.text(LET).await.expect("let");
            until("its end", LIMIT, async || revision(&session).await > before).await;
            proxy.set(Mode::Cut).await.expect("cut");
        };
        let (applied_at, ()) = tokio::join!(write(&sidecar.endpoint, op), lose);
        assert_eq!(applied_at, before + 1, "{what}");
        assert_eq!(
            revision(&session).await,
            before + 1,
            "{what} was applied twice"
        );
    }
    sidecar.stop().await;
}

/// Writes one operation; returns the revision at which it was applied.
async fn write(endpoint: &Endpoint, op: Op) -> i64 {
    let response = endpoint
        .client()
        .write(WriteRequest { ops: vec![op] })
        .await;
    let result = response
        .expect("an answer")
        .into_inner()
        .results
        .into_iter()
        .next();
    match result.and_then(|result| result.verdict) {
        Some(Verdict::Applied(applied)) => applied.revision,
        other => panic!("not applied: {other:?}"),
    }
}
