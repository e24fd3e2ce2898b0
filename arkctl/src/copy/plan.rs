//! `copy --dry-run`: reports what would be copied and rejected.

use anyhow::{Result, bail};
use backend_proto::import;
use backend_proto::v1::{DescribeResponse, ExportRequest, Header};

use super::state::State;
use super::{Pair, live, obstacle, plain};
use crate::args;
use crate::digest::Digester;
use crate::key;
use crate::output::{self, Progress};
use crate::store::Store;

/// Reports, and changes nothing.
pub(super) async fn run(pair: &Pair, arguments: &args::Copy) -> Result<()> {
    let mut obstacles: Vec<String> = pair.lack(arguments.live).into_iter().collect();
    output::line(described("source", &pair.source, &pair.from));
    output::line(described("target", &pair.target, &pair.to));
    obstacles.extend(target(pair, arguments).await?);
    let mut export = pair.source.export(ExportRequest::default()).await?;
    obstacles.extend(import::rejection(&export.header));
    let mut progress = Progress::new("read", export.about_records);
    let mut digester = Digester::default();
    while let Some(records) = export.records().await? {
        for record in &records {
            digester.add(record);
            obstacles.extend(obstacle(record, pair.limit()));
        }
        let bytes = records.iter().map(|record| record.value.len()).sum();
        progress.add(records.len(), bytes);
    }
    progress.finish();
    output::line(format_args!(
        "would be copied, at revision {}:",
        export.header.revision
    ));
    output::line(digester.finish());
    let keeps = arguments.live || arguments.planned || !pair.from.fenced.is_empty();
    output::line(if keeps {
        "the epoch would be kept: clients keep their resourceVersions"
    } else {
        "a new epoch would begin: clients list again"
    });
    for obstacle in &obstacles {
        output::line(format_args!("would be rejected: {obstacle}"));
    }
    if !obstacles.is_empty() {
        bail!("the copy would be rejected");
    }
    Ok(())
}

/// Reports the content of the target; returns the reason why it would reject the copy.
async fn target(pair: &Pair, arguments: &args::Copy) -> Result<Option<String>> {
    let address = &pair.target.address;
    if let Some(import) = &pair.to.import_progress {
        let last = import.last.as_ref().map(key::text).unwrap_or_default();
        let (records, revision) = (import.records, import.revision);
        output::line(format_args!(
            "the target holds an unfinished copy: {records} records up to {last}, revision \
             {revision}"
        ));
    }
    let state = arguments.live.then(|| State::of(pair, arguments.restart));
    let state = match state.transpose() {
        Ok(state) => state,
        Err(error) => return Ok(Some(error.to_string())),
    };
    if let Some(State::Moved { .. }) = state {
        output::line("the target has taken over already: both would be compared");
        return Ok(None);
    }
    if !pair.to.fenced.is_empty() {
        return Ok(Some(format!("{address}: the store is fenced")));
    }
    if pair.to.import_progress.is_some() {
        return Ok(match state {
            None if !arguments.restart => Some(plain::unfinished(address)),
            Some(State::Records { source, .. }) => gone(pair, source.revision),
            Some(State::Events { revision, .. }) => gone(pair, revision),
            _ => None,
        });
    }
    if pair.target.is_empty().await? {
        output::line("the target is empty");
        return Ok(None);
    }
    Ok(Some(format!("{address}: the store is not empty")))
}

/// Returns the remedy if the source has compacted the history after a revision.
fn gone(pair: &Pair, revision: i64) -> Option<String> {
    let source = pair.from.header.clone().unwrap_or_default();
    let gone = revision < source.compact_revision;
    gone.then(|| live::HISTORY_COMPACTED.to_owned())
}

fn described(side: &str, store: &Store, described: &DescribeResponse) -> String {
    let DescribeResponse {
        driver,
        driver_version,
        fenced,
        ..
    } = described;
    let Header {
        revision,
        epoch,
        compact_revision,
        ..
    } = described.header.clone().unwrap_or_default();
    let fenced = if fenced.is_empty() {
        String::new()
    } else {
        format!(", fenced: {fenced}")
    };
    let address = &store.address;
    format!(
        "{side}: {address}, {driver} {driver_version}, epoch {epoch}, revision {revision}, \
         history behind {compact_revision}{fenced}"
    )
}
