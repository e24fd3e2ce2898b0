//! Tests of a full database disk, simulated by the server's error for every row that needs space.

use backend_proto::v1::backend_error::{Outcome, Reason};
use backend_proto::v1::op::Action;
use postgres_testkit::Server;

use crate::calls::{create, current, get, list, op, write};
use crate::load::store;

/// Simulates a full disk for rows of objects; a row of the log is small and may still fit.
const FULL: &str = "
    create function ark.full() returns trigger language plpgsql as $$
    begin
      raise exception 'could not extend file: No space left on device' using errcode = '53100';
    end $$;
    create trigger disk before insert or update on ark.object
      for each row execute function ark.full()";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_disk_rejects_writes_but_not_deletes() {
    let (server, _, sidecars) = store(Server::builder(), 1).await;
    let endpoint = &sidecars[0].endpoint;
    for name in ["a", "b", "c", "d"] {
        create(endpoint, name).await.expect("written");
    }
    server.execute("ark", FULL).await.expect("a trigger");
    for action in [Action::Create, Action::Update] {
        let name = if action == Action::Create { "new" } else { "a" };
        let mut full = op(action, name);
        full.value = "another".into();
        let error = write(endpoint, full).await.expect_err("no room");
        assert_eq!(error.reason(), Reason::NoSpace, "{}", error.message);
        assert_eq!(error.outcome(), Outcome::NotApplied);
    }
    write(endpoint, op(Action::Delete, "b"))
        .await
        .expect("deleted");
    get(endpoint, "a").await.expect("read");
    list(endpoint).await.expect("listed");
    current(endpoint).await.expect("answered");
    // Together with concurrent writes, which may share a transaction.
    let names: Vec<String> = (0..16).map(|number| format!("more{number}")).collect();
    let more = names.iter().map(|name| create(endpoint, name));
    let (rejected, deleted) = tokio::join!(
        futures_util::future::join_all(more),
        write(endpoint, op(Action::Delete, "c"))
    );
    deleted.expect("deleted among creates that have no room");
    for ended in rejected {
        let error = ended.expect_err("no room");
        assert_eq!(error.reason(), Reason::NoSpace, "{}", error.message);
    }
    server
        .execute("ark", "drop trigger disk on ark.object")
        .await
        .expect("room");
    create(endpoint, "after").await.expect("written");
    for sidecar in sidecars {
        sidecar.stop().await;
    }
}
