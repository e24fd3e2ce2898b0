//! Tests of warnings that the server sends with a commit: only those about standbys change its
//! result.

use std::time::Duration;

use backend_proto::v1::BackendError;
use backend_proto::v1::backend_error::Outcome;
use postgres_testkit::{PoolMode, Pooler, Server};

use crate::calls::{create, until};
use crate::load::store;
use crate::sidecar_of::Sidecar;

const LIMIT: Duration = Duration::from_secs(15);

/// Raises a warning while the transaction commits.
const WARN: &str = "
    create function ark.warn() returns trigger language plpgsql as $$
    begin raise warning 'something else'; return null; end $$;
    create constraint trigger warn after update of revision on ark.store
      deferrable initially deferred for each row execute function ark.warn()";

const STANDBYS: &str = "synchronous_standby_names";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_succeed_despite_warnings_at_commit() {
    let (server, _, sidecars) = store(Server::builder(), 1).await;
    create(&sidecars[0].endpoint, "a").await.expect("written");
    server.execute("ark", WARN).await.expect("a trigger");
    for name in ["b", "c"] {
        create(&sidecars[0].endpoint, name).await.expect("written");
    }
    for sidecar in sidecars {
        sidecar.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_succeed_near_transaction_wraparound() {
    let builder = Server::builder().setting("autovacuum_naptime", "1d");
    let (mut server, _, sidecars) = store(builder, 1).await;
    create(&sidecars[0].endpoint, "a").await.expect("written");
    server.near_wraparound().await.expect("moved");
    until("the store", LIMIT, async || {
        crate::calls::current(&sidecars[0].endpoint).await.is_ok()
    })
    .await;
    for name in ["b", "c"] {
        create(&sidecars[0].endpoint, name).await.expect("written");
    }
    let log = std::fs::read_to_string(server.log()).expect("a log");
    assert!(log.contains("must be vacuumed within"), "no warning: {log}");
    for sidecar in sidecars {
        sidecar.stop().await;
    }
}

/// Settings of the role with which an unreplicated commit would be acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_of_role_do_not_weaken_commits() {
    let server = Server::builder().start().await.expect("a server");
    let dsn = server.create_database("ark").await.expect("a database");
    let pooler = Pooler::start(&server, PoolMode::Transaction).await;
    let pooler = pooler.unwrap_or_else(|error| panic!("{error}"));
    let (pooled, number) = (pooler.dsn("ark"), std::sync::atomic::AtomicU32::new(0));
    let next = || number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    for weak in ["off", "local", "remote_write"] {
        let settings = format!(
            "alter role postgres set synchronous_commit = '{weak}';
             alter role postgres set client_min_messages = 'error'"
        );
        server.execute("ark", &settings).await.expect("set");
        let session = server.session("ark").await.expect("a session");
        let end = "select count(pg_terminate_backend(pid)) from pg_stat_activity \
                   where pid <> pg_backend_pid() and datname = 'ark'";
        session.text(end).await.expect("ended");
        for flags in [
            &["--dsn", &dsn][..],
            &["--dsn", &pooled, "--pooler", "transaction"],
        ] {
            let sidecar = Sidecar::start(flags).await;
            create(&sidecar.endpoint, &format!("a{}", next()))
                .await
                .expect("written");
            server.set(STANDBYS, "nobody").await.expect("set");
            let mut failed: Option<BackendError> = None;
            // The server applies the setting asynchronously.
            until("a commit without standby", LIMIT, async || {
                let name = format!("b{}", next());
                failed = tokio::select! {
                    ended = create(&sidecar.endpoint, &name) => ended.err(),
                    () = crate::fences::cancel(&session) => None,
                };
                failed.is_some()
            })
            .await;
            let failed = failed.expect("an unreplicated commit");
            assert_eq!(failed.outcome(), Outcome::Unknown, "{weak}: {failed:?}");
            server.set(STANDBYS, "").await.expect("set");
            crate::fences::released(&session).await;
            sidecar.stop().await;
        }
    }
}
