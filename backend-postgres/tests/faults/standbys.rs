//! Tests of commits that wait for a synchronous standby that does not respond.

use std::time::{Duration, Instant};

use backend_proto::v1::backend_error::{Outcome, Reason};
use postgres_testkit::Server;

use crate::calls::{create, get, until};
use crate::load::store;

/// Longest time to the error of the write whose commit hangs, and of one that comes later.
const HANGING: Duration = Duration::from_secs(7);
const LATER: Duration = Duration::from_secs(4);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_without_standby_fail_before_the_deadline_of_clients() {
    let (server, _, sidecars) = store(Server::builder(), 2).await;
    for (sidecar, name) in sidecars.iter().zip(["a", "b"]) {
        create(&sidecar.endpoint, name).await.expect("written");
    }
    let session = server.session("ark").await.expect("a session");
    server
        .set("synchronous_standby_names", "nobody")
        .await
        .expect("set");
    let applied = "select current_setting('synchronous_standby_names') = 'nobody'";
    until("the setting", HANGING, async || {
        let other = server.session("ark").await.expect("a session");
        other.text(applied).await.expect("asked").as_deref() == Some("t")
    })
    .await;
    let started = Instant::now();
    let first = create(&sidecars[0].endpoint, "hangs").await;
    let error = first.expect_err("no standby");
    assert_eq!(error.outcome(), Outcome::Unknown, "{error:?}");
    assert!(started.elapsed() < HANGING, "after {:?}", started.elapsed());
    // The row is still locked: later writes are rejected, and may be sent again.
    for sidecar in &sidecars {
        let started = Instant::now();
        let later = create(&sidecar.endpoint, "later").await;
        let error = later.expect_err("a locked row");
        assert_eq!(error.reason(), Reason::Overloaded, "{error:?}");
        assert_eq!(error.outcome(), Outcome::NotApplied, "{error:?}");
        assert!(started.elapsed() < LATER, "after {:?}", started.elapsed());
        get(&sidecar.endpoint, "a").await.expect("reads go on");
    }
    server
        .set("synchronous_standby_names", "")
        .await
        .expect("set");
    crate::fences::released(&session).await;
    create(&sidecars[1].endpoint, "after")
        .await
        .expect("written");
    for sidecar in sidecars {
        sidecar.stop().await;
    }
}
