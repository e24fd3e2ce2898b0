//! `status`: describes a store.

use anyhow::Result;
use backend_proto::v1::describe_response::Capability;
use backend_proto::v1::health_response::{Cause, State};
use backend_proto::v1::{DescribeResponse, ExportRequest, Header, HealthResponse, ImportProgress};
use serde_json::{Value, json};

use crate::args::{self, Output};
use crate::deadlines::Deadlines;
use crate::digest::{Digester, Summary};
use crate::output::{self, Progress, Sink};
use crate::store::{Store, can};

/// Objects of a store.
enum Objects {
    /// All were read.
    Counted(Summary),
    /// The driver's estimate, if it has one.
    Estimated(Option<u64>),
    /// The store shows none while an import is unfinished, or the driver cannot export.
    Unknown,
}

/// Prints the driver, the position, the fence, the health and the objects of a store.
///
/// # Errors
/// If the store is unreachable, or its objects cannot be read.
pub async fn run(arguments: &args::Status, deadlines: Deadlines) -> Result<()> {
    let store = Store::at(&arguments.at, deadlines)?;
    let described = store.describe().await?;
    let health = store.health().await?;
    let sink = arguments.output.sink();
    let readable = described.import_progress.is_none() && can(&described, Capability::Export);
    let objects = if readable {
        objects(&store, arguments.quick, sink).await?
    } else {
        Objects::Unknown
    };
    match arguments.output {
        Output::Text => text(&store.address, &described, &health, &objects),
        Output::Json => output::line(document(&store.address, &described, &health, &objects)),
    }
    Ok(())
}

async fn objects(store: &Store, quick: bool, sink: Sink) -> Result<Objects> {
    let mut export = store.export(ExportRequest::default()).await?;
    if quick {
        return Ok(Objects::Estimated(export.about_records));
    }
    let mut progress = Progress::on(sink, "read", export.about_records);
    let mut digester = Digester::default();
    while let Some(records) = export.records().await? {
        records.iter().for_each(|record| digester.add(record));
        let bytes = records.iter().map(|record| record.value.len()).sum();
        progress.add(records.len(), bytes);
    }
    progress.finish();
    Ok(Objects::Counted(digester.finish()))
}

fn text(address: &str, described: &DescribeResponse, health: &HealthResponse, objects: &Objects) {
    let header = described.header.clone().unwrap_or_default();
    let Header {
        store_id,
        epoch,
        revision,
        compact_revision,
    } = header;
    let DescribeResponse {
        driver,
        driver_version,
        protocol_minor_min: oldest,
        protocol_minor_max: newest,
        fenced,
        ..
    } = described;
    let line = |name: &str, value: &str| output::line(format_args!("{name:10}{value}"));
    line("endpoint", address);
    line(
        "driver",
        &format!("{driver} {driver_version}, protocol 1.{oldest} to 1.{newest}"),
    );
    line("health", &condition(health));
    line("store", &store_id);
    line("epoch", &epoch.to_string());
    line("revision", &revision.to_string());
    line(
        "history",
        &format!(
            "changes after revision {compact_revision}, at most {}",
            revision.saturating_sub(compact_revision)
        ),
    );
    line("fence", if fenced.is_empty() { "none" } else { fenced });
    if let Some(import) = &described.import_progress {
        let ImportProgress {
            records, revision, ..
        } = import;
        line(
            "import",
            &format!("unfinished: {records} records, up to revision {revision}"),
        );
    }
    match objects {
        Objects::Counted(summary) => output::line(summary),
        Objects::Estimated(Some(about)) => line("objects", &format!("about {about}")),
        Objects::Estimated(None) | Objects::Unknown => line("objects", "unknown"),
    }
}

fn document(
    address: &str,
    described: &DescribeResponse,
    health: &HealthResponse,
    objects: &Objects,
) -> Value {
    let header = described.header.clone().unwrap_or_default();
    let capabilities = described.capabilities().map(|it| it.as_str_name());
    let import = described
        .import_progress
        .as_ref()
        .map(|import| json!({"records": import.records, "revision": import.revision.to_string()}));
    let mut document = json!({
        "endpoint": address,
        "driver": {
            "name": described.driver,
            "version": described.driver_version,
            "protocolMinorMin": described.protocol_minor_min,
            "protocolMinorMax": described.protocol_minor_max,
            "capabilities": capabilities.collect::<Vec<_>>(),
        },
        "health": {
            "state": health.state().as_str_name(),
            "message": health.message,
        },
        "storeID": header.store_id,
        "epoch": header.epoch.to_string(),
        "revision": header.revision.to_string(),
        "compactRevision": header.compact_revision.to_string(),
        "fence": Some(&described.fenced).filter(|fence| !fence.is_empty()),
        "import": import,
    });
    match objects {
        Objects::Counted(summary) => document["content"] = summary.document(),
        Objects::Estimated(about) => document["aboutObjects"] = json!(about),
        Objects::Unknown => {}
    }
    document
}

fn condition(health: &HealthResponse) -> String {
    let state = match health.state() {
        State::Unspecified => "unknown",
        State::Starting => "starting",
        State::Ready => "ready",
        State::ReadOnly => match health.cause() {
            Cause::NoSpace => "read-only, the disk is full",
            Cause::Standby => "read-only, a standby",
            Cause::Fenced => "read-only, fenced",
            Cause::Unspecified => "read-only",
        },
        State::Dead => "dead",
    };
    if health.message.is_empty() {
        state.to_owned()
    } else {
        format!("{state}: {}", health.message)
    }
}
