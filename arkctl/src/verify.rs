//! `verify`: reads all records, and compares two stores.

mod compare;

use anyhow::{Result, bail};
use backend_proto::v1::{ExportRequest, Header};
use serde_json::json;
use tokio::task::spawn_blocking;

pub(crate) use self::compare::{Comparison, compare};
use crate::args::{self, Output};
use crate::backup;
use crate::deadlines::Deadlines;
use crate::digest::{Digester, Summary};
use crate::key;
use crate::output::{self, Progress};
use crate::store::Store;

/// Maximum number of unreadable records to print.
const NAMED: usize = 20;

/// Reads all records of a store or a file; compares with a second store if given.
///
/// # Errors
/// If a record is unreadable, the stores differ, or one of them is unreadable.
pub async fn run(arguments: &args::Verify, deadlines: Deadlines) -> Result<()> {
    if let Some(path) = arguments.file.clone() {
        let checked = spawn_blocking(move || backup::check(&path)).await??;
        report(&checked.header, &checked.summary, arguments.output);
        return Ok(());
    }
    let store = Store::at(&arguments.at, deadlines)?;
    let Some(against) = &arguments.against else {
        return alone(&store, arguments.output).await;
    };
    let args::Verify {
        against_ca,
        against_cert,
        against_key,
        ..
    } = arguments;
    let files = [against_ca, against_cert, against_key];
    let other = Store::open("--against", against, files, deadlines)?;
    let revisions = match arguments.revision {
        Some(revision) => [revision; 2],
        None => newest(&store, &other).await?,
    };
    let compared = compare(&store, &other, revisions).await?;
    output::line(&compared.left);
    if let Some(difference) = compared.difference {
        bail!("the stores differ: {difference}");
    }
    output::line("the stores hold the same");
    Ok(())
}

/// Returns the revisions at which to compare the current states of two stores.
async fn newest(store: &Store, other: &Store) -> Result<[i64; 2]> {
    let (here, there) = (store.head().await?, other.head().await?);
    if here.revision == there.revision {
        return Ok([here.revision; 2]);
    }
    output::line(format_args!(
        "the revisions differ, {} here and {} there: comparing the current states",
        here.revision, there.revision
    ));
    Ok([0, 0])
}

async fn alone(store: &Store, output: Output) -> Result<()> {
    let mut export = store.export(ExportRequest::default()).await?;
    let sink = output.sink();
    let mut progress = Progress::on(sink, "read", export.about_records);
    let (mut digester, mut unreadable) = (Digester::default(), 0);
    while let Some(records) = export.records().await? {
        for record in &records {
            digester.add(record);
            if !record.unreadable.is_empty() {
                unreadable += 1;
                if unreadable <= NAMED {
                    let key = record.key.clone().unwrap_or_default();
                    progress.step(format_args!("{}: {}", key::text(&key), record.unreadable));
                }
            }
        }
        let bytes = records.iter().map(|record| record.value.len()).sum();
        progress.add(records.len(), bytes);
    }
    progress.finish();
    report(&export.header, &digester.finish(), output);
    if unreadable > 0 {
        bail!("{unreadable} records cannot be read");
    }
    Ok(())
}

/// Prints what was read.
fn report(header: &Header, summary: &Summary, format: Output) {
    match format {
        Output::Text => {
            output::line(format_args!("revision {}", header.revision));
            output::line(summary);
        }
        Output::Json => {
            let mut document = summary.document();
            document["storeID"] = json!(header.store_id);
            document["epoch"] = json!(header.epoch.to_string());
            document["revision"] = json!(header.revision.to_string());
            output::line(document);
        }
    }
}
