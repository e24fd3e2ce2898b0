//! Health: the driver's view, asked regularly, as our own message and as grpc.health.v1.

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

const EVERY: Duration = Duration::from_millis(500);

/// Longest wait for the driver's answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// Name of our service for probes.
const SERVICE: &str = "ark.backend.v1.Backend";

/// Asks the driver and publishes what it says until told to stop.
pub(crate) async fn run(
    driver: Arc<dyn Driver>,
    gate: Gate,
    health: watch::Sender<DriverHealth>,
    reporter: HealthReporter,
    stop: CancellationToken,
) {
    loop {
        if gate.check().is_err() {
            // Whoever finishes the import may do so through another process. Asked again as long as
            // there is no answer.
            let _ = tokio::time::timeout(PATIENCE, gate.refresh(driver.as_ref())).await;
        }
        let now = tokio::time::timeout(PATIENCE, driver.health())
            .await
            .unwrap_or_else(|_| DriverHealth::NotReady("the store does not answer".to_owned()));
        let serving = match told(&now, &gate) {
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
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// What clients are told: half a store does not serve, however well its driver is.
fn told(health: &DriverHealth, gate: &Gate) -> DriverHealth {
    match gate.check() {
        Err(closed) if *health == DriverHealth::Ready => DriverHealth::NotReady(closed.message),
        _ => health.clone(),
    }
}

/// The answer to `Health`.
pub(crate) fn response(health: &DriverHealth, gate: &Gate, header: Header) -> HealthResponse {
    let health = told(health, gate);
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
