//! Tests of a schema that is dropped under a serving driver.

use std::time::Duration;

use backend_proto::v1::backend_error::{Outcome, Reason};
use backend_proto::v1::health_response::State;
use postgres_testkit::Server;

use crate::calls::{create, current, get, list, state, until};
use crate::load::store;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_schema_makes_the_driver_not_ready() {
    let (server, _, sidecars) = store(Server::builder(), 1).await;
    let endpoint = &sidecars[0].endpoint;
    for name in ["a", "b", "c"] {
        create(endpoint, name).await.expect("written");
    }
    server
        .execute("ark", "drop schema ark cascade")
        .await
        .expect("dropped");
    let limit = Duration::from_secs(5);
    until("the health", limit, async || {
        state(endpoint).await == State::Starting
    })
    .await;
    for ended in [
        create(endpoint, "d").await,
        get(endpoint, "a").await,
        list(endpoint).await,
        current(endpoint).await,
    ] {
        let error = ended.expect_err("no schema");
        assert_eq!(error.reason(), Reason::NotReady, "{error:?}");
        assert_eq!(error.outcome(), Outcome::NotApplied, "{error:?}");
        let message = &error.message;
        assert!(
            message.contains("restore a backup") || message.contains("migrate"),
            "{message}"
        );
        assert!(
            !message.contains("42P01") && !message.contains("3F000"),
            "{message}"
        );
        assert_eq!(message.lines().count(), 1, "{message}");
    }
    assert_eq!(state(endpoint).await, State::Starting);
    for sidecar in sidecars {
        sidecar.stop().await;
    }
}
