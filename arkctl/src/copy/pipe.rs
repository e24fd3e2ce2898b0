//! Transfer of an export into calls of Import.
//!
//! A task reads ahead while the target stores, so that both drivers work in parallel.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use backend_proto::v1::export_response::Part as Exported;
use backend_proto::v1::import_request::{Done, Options, Part};
use backend_proto::v1::list_response::Chunk;
use backend_proto::v1::watch_response::Events;
use backend_proto::v1::{Event, ImportRequest, Record};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;

use super::obstacle;
use crate::store::{Export, Store, begin};

/// Messages of at most 512 KiB that are read ahead: as much as one call imports.
const AHEAD: usize = 32;
/// Limits of one call of Import, in bytes of values, and in records and events.
const CALL_BYTES: usize = 16 << 20;
const CALL_RECORDS: usize = 8_000;
/// A call is closed when no message arrives for this long.
const MAX_GAP: Duration = Duration::from_millis(30);
/// A call with events is closed after this long in any case, because the target stores them only
/// then.
const FOLLOW: Duration = Duration::from_millis(200);

/// A part of an export.
#[derive(Debug)]
pub(super) enum Piece {
    Records(Vec<Record>),
    /// The snapshot is complete.
    Snapshot,
    Events(Vec<Event>),
}

/// An export that is read ahead.
pub(super) struct Pipe {
    pieces: mpsc::Receiver<Result<Piece>>,
    /// Error that ended the export; the next call returns it.
    failed: Option<anyhow::Error>,
    _reader: JoinSet<()>,
}

/// What a call of Import has stored.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Kept {
    pub(super) records: usize,
    pub(super) events: usize,
    /// Bytes of values.
    pub(super) bytes: usize,
    /// Whether the snapshot is complete.
    pub(super) snapshot: bool,
    /// Revision of the newest event.
    pub(super) revision: Option<i64>,
}

// === impl Pipe ===

impl Pipe {
    /// Starts reading. `snapshot`: records come first; `limit`: maximum value size of the target.
    pub(super) fn start(export: Export, snapshot: bool, limit: usize) -> Self {
        let (sink, pieces) = mpsc::channel(AHEAD);
        let mut reader = JoinSet::new();
        reader.spawn(async move {
            if let Err(error) = read(export, snapshot, limit, &sink).await {
                // The receiver may be dropped already.
                let _ = sink.send(Err(error)).await;
            }
        });
        Self {
            pieces,
            failed: None,
            _reader: reader,
        }
    }

    /// Waits for the next message. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<Piece> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let piece = self.pieces.recv().await;
        piece.unwrap_or_else(|| Err(anyhow!("the export ended")))
    }
}

async fn read(
    mut export: Export,
    snapshot: bool,
    limit: usize,
    sink: &mpsc::Sender<Result<Piece>>,
) -> Result<()> {
    if snapshot {
        while let Some(records) = export.records().await? {
            if let Some(obstacle) = records.iter().find_map(|it| obstacle(it, limit)) {
                return Err(anyhow!(obstacle));
            }
            sink.send(Ok(Piece::Records(records))).await?;
        }
        sink.send(Ok(Piece::Snapshot)).await?;
    }
    while let Some(part) = export.next().await? {
        if let Exported::Events(Events { events }) = part {
            sink.send(Ok(Piece::Events(events))).await?;
        }
    }
    Ok(())
}

/// Makes one call of Import with `first` and the messages that follow it closely.
pub(super) async fn call(
    target: &Store,
    options: Options,
    first: Piece,
    pipe: &mut Pipe,
) -> Result<Kept> {
    // A small buffer suffices, because the pipe reads ahead.
    let (sender, requests) = mpsc::channel(2);
    let import = target.import(ReceiverStream::new(requests));
    let feed = feed(options, first, pipe, sender);
    let (imported, stored) = tokio::join!(import, feed);
    // Report the import's error first: it caused the sender's.
    imported?;
    stored.ok_or_else(|| {
        anyhow!(
            "{}: the import ended before it was complete",
            target.address
        )
    })
}

async fn feed(
    options: Options,
    first: Piece,
    pipe: &mut Pipe,
    sender: mpsc::Sender<ImportRequest>,
) -> Option<Kept> {
    sender.send(begin(options)).await.ok()?;
    let (mut stored, mut next) = (Kept::default(), Some(first));
    let started = Instant::now();
    while let Some(piece) = next {
        if let Some(part) = stored.count(piece) {
            let part = Some(part);
            sender.send(ImportRequest { part }).await.ok()?;
        }
        if stored.bytes >= CALL_BYTES || stored.records + stored.events >= CALL_RECORDS {
            break;
        }
        if stored.events > 0 && started.elapsed() > FOLLOW {
            break;
        }
        next = match timeout(MAX_GAP, pipe.next()).await {
            Ok(Ok(piece)) => Some(piece),
            // What was sent before is stored; the next call returns the error.
            Ok(Err(error)) => {
                pipe.failed = Some(error);
                None
            }
            Err(_) => None,
        };
    }
    let done = Done {
        records: stored.records as i64,
        events: stored.events as i64,
    };
    let part = Some(Part::Done(done));
    sender.send(ImportRequest { part }).await.ok()?;
    Some(stored)
}

// === impl Kept ===

impl Kept {
    /// Records the end of the snapshot and nothing else.
    pub(super) fn end_of_snapshot() -> Self {
        Self {
            snapshot: true,
            ..Self::default()
        }
    }

    /// Counts a message, and returns the part of it to send.
    fn count(&mut self, piece: Piece) -> Option<Part> {
        match piece {
            Piece::Records(records) => {
                self.records += records.len();
                self.bytes += records.iter().map(|it| it.value.len()).sum::<usize>();
                Some(Part::Chunk(Chunk { records }))
            }
            Piece::Snapshot => {
                self.snapshot = true;
                None
            }
            Piece::Events(events) => {
                self.events += events.len();
                let records = events.iter().filter_map(|event| event.record.as_ref());
                self.bytes += records.map(|it| it.value.len()).sum::<usize>();
                self.revision = events.last().map(|event| event.revision).or(self.revision);
                Some(Part::Events(Events { events }))
            }
        }
    }
}
