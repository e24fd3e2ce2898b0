//! `backup` and `restore`: a store as a file.

mod file;
mod renumber;

use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use backend_proto::limits::LAST_IMPORT;
use backend_proto::v1::export_response::Part;
use backend_proto::v1::import_request::{Done, Options, Part as ImportPart};
use backend_proto::v1::list_response::{Chunk, Trailer};
use backend_proto::v1::{ExportRequest, ExportResponse, Header, ImportRequest};
use tokio::sync::mpsc;
use tokio::task::{JoinSet, spawn_blocking};
use tokio_stream::wrappers::ReceiverStream;

use self::file::{Contents, Writer};
use self::renumber::Renumbering;
use crate::args;
use crate::digest::{Digester, Summary};
use crate::output::{self, Progress};
use crate::store::{Export, Store, begin};

/// Messages buffered between the network and the file: a few MiB.
const AHEAD: usize = 8;

/// Writes a snapshot to a file. The file gets its final name only when it is complete.
///
/// # Errors
/// If the store or one of its records is unreadable, or the file is not writable.
pub async fn backup(arguments: &args::Backup) -> Result<()> {
    let store = Store::from(&arguments.from)?;
    let export = store.export(ExportRequest::default()).await?;
    let header = export.header.clone();
    let (sender, messages) = mpsc::channel(AHEAD);
    let (path, compress) = (arguments.file.clone(), arguments.compress);
    let written = spawn_blocking(move || write(&path, compress, messages));
    let read = read(&store, export, sender).await;
    // Report the writer's error first: if it has one, it caused the reader's.
    written.await??;
    let summary = read?;
    output::line(format_args!(
        "{}: revision {}",
        arguments.file.display(),
        header.revision
    ));
    output::line(summary);
    Ok(())
}

/// Sends the export to the writer; closing the channel ends the file.
async fn read(store: &Store, mut export: Export, sender: mpsc::Sender<Part>) -> Result<Summary> {
    let mut progress = Progress::new("saved", export.about_records);
    let (mut digester, mut count) = (Digester::default(), 0);
    sender.send(Part::Header(export.header.clone())).await?;
    while let Some(records) = export.records().await? {
        let mut bytes = 0;
        for record in &records {
            if !record.unreadable.is_empty() {
                bail!("{}: {}", store.address, record.unreadable);
            }
            digester.add(record);
            bytes += record.value.len();
        }
        count += records.len() as i64;
        progress.add(records.len(), bytes);
        sender.send(Part::Chunk(Chunk { records })).await?;
    }
    let trailer = Trailer { count, more: false };
    sender.send(Part::Trailer(trailer)).await?;
    progress.finish();
    Ok(digester.finish())
}

/// Writes the messages, and renames the file if the last one was the trailer.
fn write(path: &Path, compress: bool, mut messages: mpsc::Receiver<Part>) -> Result<()> {
    let mut writer = Writer::create(path, compress)?;
    let (mut records, mut whole) = (0, false);
    while let Some(part) = messages.blocking_recv() {
        match &part {
            Part::Chunk(chunk) => records += chunk.records.len() as u64,
            Part::Trailer(_) => whole = true,
            Part::Header(_) | Part::Events(_) => {}
        }
        writer.write(&ExportResponse {
            part: Some(part),
            about_records: 0,
        })?;
    }
    if whole {
        writer.finish(records)
    } else {
        writer.discard();
        Ok(())
    }
}

/// Fills an empty store from a file, after checking its hash.
///
/// # Errors
/// If the file is not a complete backup, or the driver rejects it; the store is unchanged in this
/// case.
pub async fn restore(arguments: &args::Restore) -> Result<()> {
    let store = Store::to(&arguments.to)?;
    let path = arguments.file.clone();
    let contents = spawn_blocking(move || Contents::check(&path)).await??;
    output::line(format_args!(
        "{}: whole, {} records at revision {}",
        arguments.file.display(),
        contents.records(),
        contents.header().revision,
    ));
    let target = store.describe().await?.header.unwrap_or_default();
    let (sender, requests) = mpsc::channel(AHEAD);
    let mut feed = JoinSet::new();
    feed.spawn_blocking(move || send(&contents, &target, &sender));
    let imported = store.import(ReceiverStream::new(requests)).await;
    let fed = feed.join_next().await.context("nothing was sent")?;
    // Report the sender's error first: it caused the driver's.
    let sent = fed?.with_context(|| arguments.file.display().to_string())?;
    let header = imported?;
    let compared = crate::verify::summary(&store, 0).await?;
    if sent.as_ref() != Some(&compared) {
        bail!(
            "{}: the store differs from the file, do not use it: report a bug of its driver, or check \
             its disk",
            store.address
        );
    }
    let Header {
        revision, epoch, ..
    } = header;
    output::line(format_args!("restored: epoch {epoch}, revision {revision}"));
    output::line(compared);
    Ok(())
}

/// Sends the file as one call of Import. Returns what was sent, or nothing if the driver rejected
/// it: its response holds the reason.
fn send(
    contents: &Contents,
    target: &Header,
    requests: &mpsc::Sender<ImportRequest>,
) -> Result<Option<Summary>> {
    let renumbering = Renumbering::of(contents, target)?;
    let source = match &renumbering {
        Some(renumbering) => {
            output::line(format_args!(
                "its revisions are above {LAST_IMPORT}, as before 0.2: renumbering them"
            ));
            renumbering.header(contents.header())
        }
        None => contents.header().clone(),
    };
    let options = Options {
        source: Some(source),
        ..Options::default()
    };
    let expected = contents.records();
    let mut progress = Progress::new("sent", Some(expected));
    let (mut digester, mut records) = (Digester::default(), 0);
    if requests.blocking_send(begin(options)).is_err() {
        return Ok(None);
    }
    for part in contents.chunks()? {
        let mut chunk = part?;
        if let Some(renumbering) = &renumbering {
            let records = chunk.records.iter_mut();
            records.for_each(|record| renumbering.apply(record));
        }
        chunk.records.iter().for_each(|record| digester.add(record));
        let sent = chunk.records.len();
        let bytes = chunk.records.iter().map(|record| record.value.len()).sum();
        records += sent as i64;
        let part = Some(ImportPart::Chunk(chunk));
        if requests.blocking_send(ImportRequest { part }).is_err() {
            return Ok(None);
        }
        progress.add(sent, bytes);
    }
    // Without the closing message the driver stores nothing.
    ensure!(
        records as u64 == expected,
        "it holds {records} records, but its trailer says {expected}"
    );
    let part = Some(ImportPart::Done(Done { records, events: 0 }));
    let closed = requests.blocking_send(ImportRequest { part });
    progress.finish();
    Ok(closed.is_ok().then(|| digester.finish()))
}
