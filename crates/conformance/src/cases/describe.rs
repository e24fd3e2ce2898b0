//! D: the driver's description, and the header of every response.

use backend_proto::limits::{MAX_REVISION, PROTOCOL_MINOR};
use backend_proto::v1::describe_response::Capability;
use backend_proto::v1::export_response::Part;
use backend_proto::v1::health_response::State;
use backend_proto::v1::{CurrentRevisionRequest, ExportRequest, Header, HealthRequest};

use super::{Case, case};
use crate::check::{Check, ensure, same, some};
use crate::client::timed;
use crate::context::CaseContext;

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
        "Health of a driver that serves is READY."
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
    ensure!(
        limits.value_bytes > 0 && limits.write_ops > 0 && limits.write_bytes >= limits.value_bytes,
        "the limits allow nothing: {limits:?}"
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
    let health = context.client.raw().health(timed(HealthRequest {})).await?;
    same!(health.into_inner().state(), State::Ready, "health");
    Ok(())
}
