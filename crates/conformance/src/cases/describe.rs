//! D: the driver's description, the header of every response, health and connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use backend_proto::limits::{
    MAX_REVISION, MAX_WRITE_BYTES, MIN_VALUE_BYTES, MIN_WRITE_BYTES, MIN_WRITE_OPS, PROTOCOL_MINOR,
};
use backend_proto::v1::backend_client::BackendClient;
use backend_proto::v1::describe_response::Capability;
use backend_proto::v1::export_response::Part;
use backend_proto::v1::health_response::State;
use backend_proto::v1::{CurrentRevisionRequest, ExportRequest, Header, HealthRequest};

use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::{Case, case};
use crate::background::Workload;
use crate::check::{Check, Stop, described, ensure, same, some};
use crate::client::timed;
use crate::context::CaseContext;
use crate::stream::Stream;

/// Supported difference between the minor versions of driver and client.
const APART: u32 = 2;

pub(super) const CASES: &[Case] = &[
    case!(
        "D1-describe-is-complete",
        describe,
        "Describe names the driver, the versions it speaks and its limits, the same each time."
    ),
    case!(
        "D2-header-in-every-response",
        headers,
        "Every response carries the header of one store, with 1 <= epoch <= compact_revision <= \
         revision <= 2^53 - 1."
    ),
    case!(
        "D3-a-serving-driver-is-ready",
        ready,
        "Health of a driver that serves is READY, and responds within a second, also under load."
    ),
    case!(
        "D4-health-is-published-for-probes",
        probes,
        "grpc.health.v1 reports SERVING for the empty service and for ark.backend.v1.Backend."
    ),
    case!(
        "D5-connections-stay-open",
        stay_open,
        "An idle connection, and one that is pinged during a watch, stay open."
    ),
];

async fn describe(context: CaseContext) -> Check {
    let first = context.client.describe().await?;
    ensure!(!first.driver.is_empty(), "the driver has no name");
    ensure!(
        !first.driver_version.is_empty(),
        "the driver has no version"
    );
    let (oldest, newest) = (first.protocol_minor_min, first.protocol_minor_max);
    // Later additions are announced as capabilities, so an older version within this distance is
    // valid.
    ensure!(
        oldest <= PROTOCOL_MINOR && PROTOCOL_MINOR <= newest + APART,
        "minor version {PROTOCOL_MINOR} does not work with {oldest} to {newest}"
    );
    let limits = some(first.limits, "limits")?;
    let smallest = limits.value_bytes >= MIN_VALUE_BYTES
        && limits.write_ops >= MIN_WRITE_OPS
        && limits.write_bytes >= MIN_WRITE_BYTES.max(limits.value_bytes);
    ensure!(
        smallest && limits.write_bytes <= MAX_WRITE_BYTES,
        "the limits are value_bytes {}, write_ops {}, write_bytes {}; expected value_bytes of at \
         least {MIN_VALUE_BYTES}, write_ops of at least {MIN_WRITE_OPS}, and write_bytes of at least \
         {MIN_WRITE_BYTES}, at least value_bytes, and at most {MAX_WRITE_BYTES}",
        limits.value_bytes,
        limits.write_ops,
        limits.write_bytes
    );
    ensure!(!first.capabilities.contains(&0), "a capability UNSPECIFIED");
    let mut again = context.connect().describe().await?;
    again.header.clone_from(&first.header);
    same!(again, first, "the second Describe");
    Ok(())
}

async fn headers(context: CaseContext) -> Check {
    let client = &context.client;
    let (first, key) = (context.create("ns/a", "1"), context.key("ns/a"));
    let mut raw = client.raw();
    let mut observed: Vec<(&str, Option<Header>)> = vec![
        ("Describe", client.describe().await?.header),
        ("Write", client.write(vec![first]).await?.header),
        ("Get", client.get(&key, 0).await?.header),
        (
            "Get of nothing",
            client.get(&context.key("none"), 0).await?.header,
        ),
        ("List", Some(client.list(context.all(0)).await?.header)),
    ];
    let current = raw
        .current_revision(timed(CurrentRevisionRequest {}))
        .await?;
    observed.push(("CurrentRevision", current.into_inner().header));
    let health = raw.health(timed(HealthRequest {})).await?;
    observed.push(("Health", health.into_inner().header));
    let mut watch = raw.watch(context.after(0)).await?.into_inner();
    let created = some(watch.message().await?, "first message of a watch")?;
    observed.push(("Watch", created.header));
    if context.has(Capability::Export) {
        let mut export = raw.export(ExportRequest::default()).await?.into_inner();
        let first = some(export.message().await?, "first message of an export")?;
        if let Some(Part::Header(header)) = first.part {
            observed.push(("Export", Some(header)));
        }
    }
    let mut store = None;
    for (call, header) in observed {
        let header = some(header, &format!("header of {call}"))?;
        ensure!(!header.store_id.is_empty(), "{call}: no store_id");
        in_range(&header, call)?;
        let store = store.get_or_insert((header.store_id.clone(), header.epoch));
        same!(
            (header.store_id, header.epoch),
            *store,
            "{call}: store and epoch"
        );
    }
    Ok(())
}

/// Asserts order and range of a header's numbers.
pub(super) fn in_range(header: &Header, call: &str) -> Check {
    let Header {
        epoch,
        revision,
        compact_revision,
        ..
    } = *header;
    ensure!(
        1 <= epoch && epoch <= compact_revision && compact_revision <= revision,
        "{call}: not 1 <= epoch {epoch} <= compact_revision {compact_revision} <= revision \
         {revision}"
    );
    ensure!(
        revision <= MAX_REVISION,
        "{call}: revision {revision} is above 2^53 - 1"
    );
    Ok(())
}

async fn ready(context: CaseContext) -> Check {
    let load = Workload::start(&context, 4);
    load.reach(4).await?;
    for _ in 0..10 {
        let started = Instant::now();
        let health = context.client.raw().health(timed(HealthRequest {})).await?;
        let took = started.elapsed();
        same!(health.into_inner().state(), State::Ready, "health");
        ensure!(
            took < Duration::from_secs(1),
            "Health responded after {} ms, not within a second",
            took.as_millis()
        );
    }
    load.finish_after(10).await?;
    Ok(())
}

/// Services under which health is published.
pub(super) const SERVICES: [&str; 2] = ["", "ark.backend.v1.Backend"];

/// Returns the health of a service as a probe reads it.
pub(super) async fn probe(context: &CaseContext, service: &str) -> Check<ServingStatus> {
    let mut client = HealthClient::new(context.endpoint().channel());
    let request = timed(HealthCheckRequest {
        service: service.to_owned(),
    });
    let response = client.check(request).await.map_err(|status| {
        let why = described(&status);
        Stop::Failed(format!(
            "grpc.health.v1 Check of service `{service}`: {why}"
        ))
    })?;
    Ok(response.into_inner().status())
}

async fn probes(context: CaseContext) -> Check {
    for service in SERVICES {
        let status = probe(&context, service).await?;
        same!(
            status,
            ServingStatus::Serving,
            "grpc.health.v1 of `{service}`"
        );
    }
    Ok(())
}

/// Time for which connections must stay open, and the interval of pings. A gateway pings less
/// often, so a server that counts pings has less reason to end its connections.
const OPEN: Duration = Duration::from_secs(4);
const PING_INTERVAL: Duration = Duration::from_millis(800);

async fn stay_open(context: CaseContext) -> Check {
    let lost = [false, false].map(|flag| Arc::new(AtomicBool::new(flag)));
    let clients = lost.clone().map(|lost| {
        let on_lost = move || lost.store(true, Ordering::Release);
        let channel = context
            .endpoint()
            .channel_pinged_every(PING_INTERVAL, on_lost);
        BackendClient::new(channel)
    });
    let [mut idle, mut watching] = clients;
    idle.current_revision(timed(CurrentRevisionRequest {}))
        .await?;
    let watch = watching.watch(context.after(0)).await?.into_inner();
    let mut watch = Stream::begin(watch, context.after(0)).await??;
    let begun = Instant::now();
    while begun.elapsed() < OPEN {
        watch.next().await?.map_err(|status| {
            let seconds = begun.elapsed().as_secs();
            let why = described(&status);
            Stop::Failed(format!("a pinged watch ended after {seconds} s: {why}"))
        })?;
    }
    let names = ["an idle connection", "a connection with a watch"];
    for (mut client, name) in [idle, watching].into_iter().zip(names) {
        let current = client.current_revision(timed(CurrentRevisionRequest {}));
        current.await.map_err(|status| {
            let (seconds, why) = (OPEN.as_secs(), described(&status));
            Stop::Failed(format!("the driver ended {name} within {seconds} s: {why}"))
        })?;
    }
    Ok(())
}
