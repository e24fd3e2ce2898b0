//! `backup` and `restore`: a store as a file.

mod destination;
mod file;
mod renumber;

use std::fs::File;
use std::io;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use backend_proto::limits::LAST_IMPORT;
use backend_proto::v1::export_response::Part;
use backend_proto::v1::import_request::{Done, Options, Part as ImportPart};
use backend_proto::v1::list_response::{Chunk, Trailer};
use backend_proto::v1::{ExportRequest, ExportResponse, Header, ImportRequest, Key};
use tokio::sync::mpsc;
use tokio::task::{JoinSet, spawn_blocking};
use tokio_stream::wrappers::ReceiverStream;

use self::destination::Destination;
use self::file::{Contents, Writer};
use self::renumber::Renumbering;
use crate::args;
use crate::deadlines::Deadlines;
use crate::digest::{Digester, Summary};
use crate::key;
use crate::output::{self, Progress, Sink};
use crate::stop::Stop;
use crate::store::{Export, Store, begin};

/// Messages buffered between the network and the file: a few MiB.
const AHEAD: usize = 8;

/// Writes a snapshot to a file. The file gets its final name only when it is complete.
///
/// # Errors
/// If the destination is unsuitable, before anything is read; if the store or one of its records is
/// unreadable, or the file is not writable. Nothing is left then.
pub async fn backup(arguments: &args::Backup, deadlines: Deadlines) -> Result<()> {
    let store = Store::from(&arguments.from, deadlines)?;
    let mut stop = Stop::listen()?;
    let (destination, file) = Destination::open(&arguments.file, arguments.force)?;
    let sink = if destination.is_stdout() {
        Sink::Stderr
    } else {
        Sink::Stdout
    };
    let saved = save(&store, file, arguments, sink);
    let (header, summary) = tokio::select! {
        saved = saved => saved?,
        interrupted = stop.asked() => return Err(interrupted),
    };
    destination.finish()?;
    let revision = header.revision;
    sink.line(format_args!(
        "{}: revision {revision}",
        arguments.file.display()
    ));
    sink.line(summary);
    Ok(())
}

/// Writes a snapshot to an open file, and flushes it to disk.
async fn save(
    store: &Store,
    file: File,
    arguments: &args::Backup,
    sink: Sink,
) -> Result<(Header, Summary)> {
    let export = store.export(ExportRequest::default()).await?;
    let header = export.header.clone();
    let (sender, messages) = mpsc::channel(AHEAD);
    let compress = arguments.compress;
    let written = spawn_blocking(move || write(file, compress, messages, sink));
    let read = read(store, export, sender, sink).await;
    // Report the writer's error first: if it has one, it caused the reader's.
    let written = written.await?;
    written.with_context(|| arguments.file.display().to_string())?;
    Ok((header, read?))
}

/// Sends the export to the writer; closing the channel ends the file.
async fn read(
    store: &Store,
    mut export: Export,
    sender: mpsc::Sender<Part>,
    sink: Sink,
) -> Result<Summary> {
    let mut progress = Progress::on(sink, "saved", export.about_records);
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

/// Writes the messages, and flushes the file to disk if the last one was the trailer.
fn write(
    file: File,
    compress: bool,
    mut messages: mpsc::Receiver<Part>,
    sink: Sink,
) -> io::Result<()> {
    let mut writer = Writer::begin(file, compress)?;
    let (mut records, mut whole) = (0, false);
    while let Some(part) = messages.blocking_recv() {
        match &part {
            Part::Chunk(chunk) => records += chunk.records.len() as u64,
            Part::Trailer(_) => whole = true,
            // Any other part does not occur in a snapshot.
            _ => {}
        }
        writer.write(&ExportResponse {
            part: Some(part),
            about_records: 0,
        })?;
    }
    if !whole {
        return Ok(());
    }
    let file = writer.finish(records)?;
    // A pipe cannot be flushed to disk.
    if sink == Sink::Stdout {
        file.sync_all()?;
    }
    Ok(())
}

/// What a backup file holds.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) header: Header,
    pub(crate) summary: Summary,
}

/// Reads a whole backup file, and verifies its hash, its counts and every record.
pub(crate) fn check(path: &Path) -> Result<Checked> {
    let contents = Contents::check(path)?;
    let summary = summary(&contents).with_context(|| path.display().to_string())?;
    Ok(Checked {
        header: contents.header().clone(),
        summary,
    })
}

fn summary(contents: &Contents) -> Result<Summary> {
    let mut progress = Progress::on(Sink::Stderr, "read", Some(contents.records()));
    let (mut digester, mut records) = (Digester::default(), 0);
    let mut last: Option<Key> = None;
    for chunk in contents.chunks()? {
        let chunk = chunk?;
        for record in &chunk.records {
            let key = record.key.clone().unwrap_or_default();
            ensure!(
                record.unreadable.is_empty(),
                "{}: {}",
                key::text(&key),
                record.unreadable
            );
            let ordered = last.is_none_or(|last| key::order(&last, &key).is_lt());
            ensure!(ordered, "{}: it is out of order", key::text(&key));
            digester.add(record);
            last = Some(key);
        }
        records += chunk.records.len() as u64;
        let bytes = chunk.records.iter().map(|it| it.value.len()).sum();
        progress.add(chunk.records.len(), bytes);
    }
    let expected = contents.records();
    ensure!(records == expected, counts(records, expected));
    progress.finish();
    Ok(digester.finish())
}

fn counts(records: u64, expected: u64) -> String {
    format!("it holds {records} records, but its trailer says {expected}")
}

/// Fills an empty store from a file, after checking its hash.
///
/// # Errors
/// If the file is not a complete backup, or the driver rejects it; the store is unchanged in this
/// case.
pub async fn restore(arguments: &args::Restore, deadlines: Deadlines) -> Result<()> {
    let store = Store::to(&arguments.to, deadlines)?;
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
    let compared = crate::summary::of(&store, 0).await?;
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
    ensure!(records as u64 == expected, counts(records as u64, expected));
    let part = Some(ImportPart::Done(Done { records, events: 0 }));
    let closed = requests.blocking_send(ImportRequest { part });
    progress.finish();
    Ok(closed.is_ok().then(|| digester.finish()))
}
