//! The well-behaved client: one connection, a modest rate, small objects, and one watch. Its
//! latencies and errors under attack decide the verdict.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use http::Method;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::client::{Connection, Request};
use crate::kinds;
use crate::tls::{Identity, Protocol, Target};

pub(crate) const NAMESPACE: &str = "neighbour";
/// Number of its objects.
pub(crate) const OBJECTS: usize = 20;
/// Interval between the starts of two requests.
const REQUEST_INTERVAL: Duration = Duration::from_millis(15);
/// Time after which a request is an error rather than a long latency.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Time in which the last event must arrive after the last write.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Debug, Default)]
pub(crate) struct NeighbourRecord {
    pub(crate) latencies: Vec<Duration>,
    pub(crate) errors: Vec<String>,
}

/// Source address of the neighbour; attackers use another.
pub(crate) const ADDRESS: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// Writes and watches until `stop` is cancelled.
pub(crate) async fn run(target: &Target, stop: &CancellationToken) -> NeighbourRecord {
    let mut record = NeighbourRecord::default();
    if let Err(error) = try_work(target, stop, &mut record).await {
        record.errors.push(format!("neighbour: {error:#}"));
    }
    record
}

async fn try_work(
    target: &Target,
    stop: &CancellationToken,
    record: &mut NeighbourRecord,
) -> Result<()> {
    let mut connection =
        Connection::open(target, ADDRESS, Identity::Admin, Protocol::Http2).await?;
    let collection = kinds::collection(NAMESPACE, "forms");
    let watch = Request::get(format!("{collection}?watch=1&resourceVersion=0"));
    let mut watch = tokio::time::timeout(REQUEST_TIMEOUT, connection.begin(&watch))
        .await
        .context("the watch did not start in time")??
        .into_body();
    let mut received = Vec::new();
    let mut written = String::new();
    let mut pace = interval(REQUEST_INTERVAL);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut number = 0;
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = pace.tick() => {}
            event = watch.frame() => {
                read_event(event, &mut received)?;
                continue;
            }
        }
        let request = request(&collection, number);
        let started = Instant::now();
        let response = connection.call(&request, REQUEST_TIMEOUT).await;
        record.latencies.push(started.elapsed());
        let what = format!("{} {}", request.method, request.path);
        let response = response.with_context(|| what.clone())?;
        ensure!(
            response.status.is_success(),
            "{what}: {}",
            response.describe()
        );
        if request.method == Method::PATCH {
            written = mark(number);
        }
        number += 1;
    }
    if !written.is_empty() {
        let arrival = await_event(&mut watch, &mut received, &written);
        let arrival = tokio::time::timeout(DELIVERY_TIMEOUT, arrival).await;
        arrival.context("the event of the last write did not arrive in time")??;
    }
    Ok(())
}

fn request(collection: &str, number: usize) -> Request {
    let object = format!("{collection}/form-{:02}", (number / 3) % OBJECTS);
    match number % 3 {
        0 => Request::get(object),
        1 => {
            let patch = json!({"spec": {"color": mark(number)}}).to_string();
            Request::send(Method::PATCH, object, "application/merge-patch+json", patch)
        }
        _ => Request::get(format!("{collection}?limit=10")),
    }
}

/// A marker that a write leaves in its object and so in its event.
fn mark(number: usize) -> String {
    let process = std::process::id();
    format!("color-{process}-{number}-")
}

async fn await_event(watch: &mut Incoming, received: &mut Vec<u8>, mark: &str) -> Result<()> {
    while !contains(received, mark.as_bytes()) {
        let event = watch.frame().await;
        read_event(event, received)?;
    }
    Ok(())
}

fn read_event(
    event: Option<Result<hyper::body::Frame<bytes::Bytes>, hyper::Error>>,
    received: &mut Vec<u8>,
) -> Result<()> {
    let frame = event.context("the watch ended")??;
    let Ok(data) = frame.into_data() else {
        return Ok(());
    };
    ensure!(
        !contains(&data, br#""type":"ERROR""#),
        "the watch failed: {}",
        String::from_utf8_lossy(&data)
    );
    // Only the last events matter, and one event is much smaller than this.
    let keep = received.len().saturating_sub(64 << 10);
    received.drain(..keep);
    received.extend_from_slice(&data);
    Ok(())
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
