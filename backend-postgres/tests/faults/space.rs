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

/// Simulates a disk that the history fills: nothing fits while more than one partition is there.
const FULL_OF_HISTORY: &str = "
    create function ark.full() returns trigger language plpgsql as $$
    begin
      if (select count(*) from ark.log_partition) > 1 then
        raise exception 'could not extend file: No space left on device' using errcode = '53100';
      end if;
      return new;
    end $$;
    create trigger disk before insert on ark.log for each row execute function ark.full()";

/// A delete stores the deleted value in the history, so it needs the room of old history.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deletes_on_a_full_disk_get_the_room_of_old_history() {
    let (server, _, sidecars) = store(Server::builder(), 1).await;
    let endpoint = &sidecars[0].endpoint;
    let session = server.session("ark").await.expect("a session");
    let count = "select count(*) > 2 from ark.log_partition";
    let mut number = 0;
    while session.text(count).await.expect("asked").as_deref() != Some("t") {
        let names: Vec<String> = (number..number + 64).map(|it| format!("o{it}")).collect();
        number += 64;
        for ended in
            futures_util::future::join_all(names.iter().map(|it| create(endpoint, it))).await
        {
            ended.expect("written");
        }
    }
    server
        .execute("ark", FULL_OF_HISTORY)
        .await
        .expect("a trigger");
    let error = create(endpoint, "new").await.expect_err("no room");
    assert_eq!(error.reason(), Reason::NoSpace, "{}", error.message);
    let limit = std::time::Duration::from_secs(30);
    crate::calls::until("a delete", limit, async || {
        write(endpoint, op(Action::Delete, "o1")).await.is_ok()
    })
    .await;
    for sidecar in sidecars {
        sidecar.stop().await;
    }
}
