//! Polls the driver's health and publishes it as the Backend service's own message and as
//! grpc.health.v1.

use std::sync::Arc;
use std::time::Duration;

use backend_proto::v1::health_response::{Cause, State};
use backend_proto::v1::{Header, HealthResponse};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::driver::{Driver, DriverHealth};
use crate::gate::Gate;
use crate::metrics::Metrics;

const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// Timeout of one health call. A driver must return within a second: see [`Driver::health`].
const HEALTH_TIMEOUT: Duration = Duration::from_secs(1);

/// Service name for grpc.health.v1 probes.
const SERVICE: &str = "ark.backend.v1.Backend";

/// Polls the driver and publishes its health until shutdown.
pub(crate) async fn run(
    driver: Arc<dyn Driver>,
    gate: Gate,
    health: watch::Sender<DriverHealth>,
    reporter: HealthReporter,
    metrics: Metrics,
    stop: CancellationToken,
) {
    loop {
        if gate.check().is_err() {
            // Another process may finish the import, so poll for that too. A timeout leaves the
            // gate closed until the next poll.
            let _ = tokio::time::timeout(HEALTH_TIMEOUT, gate.refresh(driver.as_ref())).await;
        }
        let now = tokio::time::timeout(HEALTH_TIMEOUT, driver.health())
            .await
            .unwrap_or_else(|_| DriverHealth::NotReady("the store does not answer".to_owned()));
        let published = published(&now, &gate);
        metrics.health(&published);
        let serving = match published {
            DriverHealth::Ready | DriverHealth::NoSpace(_) | DriverHealth::Fenced(_) => {
                ServingStatus::Serving
            }
            DriverHealth::NotReady(_) | DriverHealth::Dead(_) => ServingStatus::NotServing,
        };
        for service in ["", SERVICE] {
            reporter.set_service_status(service, serving).await;
        }
        health.send_if_modified(|before| {
            let changed = *before != now;
            *before = now;
            changed
        });
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(POLL_INTERVAL) => {}
        }
    }
}

/// Returns the published health. An unfinished import is not ready, whatever the driver reports.
fn published(health: &DriverHealth, gate: &Gate) -> DriverHealth {
    match gate.check() {
        Err(closed) if *health == DriverHealth::Ready => DriverHealth::NotReady(closed.message),
        _ => health.clone(),
    }
}

/// Builds the response to `Health`.
pub(crate) fn response(health: &DriverHealth, gate: &Gate, header: Header) -> HealthResponse {
    let health = published(health, gate);
    let (state, cause, message) = match &health {
        DriverHealth::Ready => (State::Ready, Cause::Unspecified, ""),
        DriverHealth::Fenced(why) => (State::ReadOnly, Cause::Fenced, why.as_str()),
        DriverHealth::NoSpace(why) => (State::ReadOnly, Cause::NoSpace, why.as_str()),
        DriverHealth::NotReady(why) => (State::Starting, Cause::Unspecified, why.as_str()),
        DriverHealth::Dead(why) => (State::Dead, Cause::Unspecified, why.as_str()),
    };
    HealthResponse {
        header: Some(header),
        state: state.into(),
        cause: cause.into(),
        message: message.to_owned(),
    }
}
