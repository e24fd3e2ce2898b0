//! Tests of an unreachable database: behind a black hole, where packets vanish, and behind a closed
//! port. Every call must fail soon, and everything must recover without intervention.

use std::time::{Duration, Instant};

use backend_proto::error::from_status;
use backend_proto::v1::backend_error::Reason;
use backend_proto::v1::health_response::State;
use backend_proto::v1::{BackendError, WatchRequest, WatchResponse};
use conformance::Endpoint;
use postgres_testkit::{Mode, Proxy, Server};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tonic::Streaming;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::calls::{Ended, create, current, get, list, state, until};
use crate::sidecar_of::Sidecar;

/// Upper bound for detection and for every call, with slack for busy machines. A compile-time
/// assertion in the driver keeps the sum of its own timeouts below 5 s.
const LIMIT: Duration = Duration::from_secs(10);

/// Duration of the outage.
const AWAY: Duration = Duration::from_secs(10);

/// Callers per kind of call; more than there are connections.
const CALLERS: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_black_hole() {
    check(Mode::Hang).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_port() {
    check(Mode::Refuse).await;
}

#[expect(clippy::print_stdout, reason = "measurements are printed")]
async fn check(mode: Mode) {
    let server = Server::builder().start().await.expect("a server");
    let dsn = server.create_database("ark").await.expect("a database");
    let proxy = Proxy::start(server.address()).await.expect("a proxy");
    let sidecar = Sidecar::start(&["--dsn", &proxy.dsn(&dsn)]).await;
    let endpoint = &sidecar.endpoint;
    create(endpoint, "witness").await.expect("written");
    // Use every connection once, so that all are affected.
    for _ in 0..CALLERS {
        tokio::join!(get(endpoint, "witness"), list(endpoint), list(endpoint))
            .0
            .expect("read");
    }
    let mut watches = Vec::new();
    for _ in 0..3 {
        watches.push(watch(endpoint).await);
    }
    proxy.set(mode).await.expect("away");
    let calls = call_meanwhile(endpoint);
    let noticed = until("red health", LIMIT, async || {
        state(endpoint).await != State::Ready && !serving(endpoint).await
    })
    .await;
    for watch in &mut watches {
        let error = end(watch).await;
        assert_eq!(error.reason(), Reason::NotReady, "{}", error.message);
    }
    let slowest = answered(calls).await;
    proxy.set(Mode::Forward).await.expect("back");
    let back = until("recovery", LIMIT, async || {
        let written = create(endpoint, &uuid::Uuid::new_v4().to_string()).await;
        let read = tokio::join!(get(endpoint, "witness"), list(endpoint), current(endpoint));
        let well = state(endpoint).await == State::Ready && serving(endpoint).await;
        written.is_ok() && read == (Ok(()), Ok(()), Ok(())) && well
    })
    .await;
    watch(endpoint).await;
    println!(
        "{mode:?}: noticed after {noticed:?}, slowest answer {slowest:?}, back after {back:?}"
    );
    sidecar.stop().await;
}

async fn watch(endpoint: &Endpoint) -> Streaming<WatchResponse> {
    let request = WatchRequest::default();
    let opened = timeout(LIMIT, async { endpoint.client().watch(request).await }).await;
    let mut stream = opened.expect("in time").expect("watch").into_inner();
    let first = timeout(LIMIT, stream.message()).await.expect("in time");
    first.expect("watch").expect("its start");
    stream
}

/// Returns the error that ends a watch, within the limit.
async fn end(stream: &mut Streaming<WatchResponse>) -> BackendError {
    let ended = async {
        loop {
            if let Err(status) = stream.message().await {
                return from_status(&status).expect("a typed error");
            }
        }
    };
    timeout(LIMIT, ended).await.expect("the watch ends")
}

async fn serving(endpoint: &Endpoint) -> bool {
    let mut client = HealthClient::new(endpoint.channel());
    let response = client.check(HealthCheckRequest::default()).await;
    let status = response
        .expect("health always answers")
        .into_inner()
        .status();
    status == ServingStatus::Serving
}

/// Makes calls of every kind from several callers during the outage; returns kind, duration and
/// result of each.
fn call_meanwhile(endpoint: &Endpoint) -> JoinSet<Vec<(&'static str, Duration, Ended)>> {
    let mut calls = JoinSet::new();
    let until = Instant::now() + AWAY;
    for caller in 0..CALLERS * 4 {
        let endpoint = endpoint.clone();
        calls.spawn(async move {
            let mut ends = Vec::new();
            while Instant::now() < until {
                let started = Instant::now();
                let (kind, ended) = match caller % 4 {
                    0 => {
                        let name = uuid::Uuid::new_v4().to_string();
                        ("write", create(&endpoint, &name).await)
                    }
                    1 => ("get", get(&endpoint, "witness").await),
                    2 => ("list", list(&endpoint).await),
                    _ => ("current revision", current(&endpoint).await),
                };
                ends.push((kind, started.elapsed(), ended));
                // Clients retry too, but only after the advised delay.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            ends
        });
    }
    calls
}

/// Asserts that each call failed in time, with a typed and retryable error; returns the longest
/// duration.
async fn answered(calls: JoinSet<Vec<(&'static str, Duration, Ended)>>) -> Duration {
    let ends: Vec<_> = calls.join_all().await.into_iter().flatten().collect();
    let kinds = ["write", "get", "list", "current revision"];
    let slowest = kinds.map(|kind| {
        let of_kind = ends.iter().filter(|(of, ..)| *of == kind);
        let slowest = of_kind.max_by_key(|(_, took, _)| *took).expect("a call");
        (kind, slowest.1, slowest.2.clone())
    });
    for (kind, _, ended) in &ends {
        let error = ended.as_ref().expect_err(kind);
        let reason = error.reason();
        assert!(
            matches!(reason, Reason::NotReady | Reason::Overloaded),
            "{kind}: {reason:?}: {}",
            error.message
        );
        assert!(error.retry_after_ms > 0, "{kind}: {}", error.message);
    }
    let all = slowest
        .iter()
        .map(|(_, took, _)| *took)
        .max()
        .expect("calls");
    assert!(all <= LIMIT, "{slowest:?}");
    all
}
