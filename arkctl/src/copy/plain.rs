//! Copy of the state at one revision, in a single atomic call of Import.

use anyhow::{Result, bail, ensure};
use backend_proto::v1::import_request::{Done, Options, Part};
use backend_proto::v1::list_response::Chunk;
use backend_proto::v1::{ExportRequest, Header, ImportRequest};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{Pair, obstacle};
use crate::args;
use crate::digest::{Digester, Summary};
use crate::output::{self, Progress};
use crate::store::{Export, begin};
use crate::verify;

/// Chunks of at most 512 KiB buffered between source and target.
const AHEAD: usize = 16;

/// Copies, and compares the target's content with what was sent.
pub(super) async fn run(pair: &Pair, arguments: &args::Copy) -> Result<()> {
    let Pair { source, target, .. } = pair;
    if pair.to.import_progress.is_some() && !arguments.restart {
        bail!(unfinished(&target.address));
    }
    let keep_epoch = arguments.planned || !pair.from.fenced.is_empty();
    let export = source.export(ExportRequest::default()).await?;
    let header = export.header.clone();
    let options = Options {
        source: Some(header.clone()),
        keep_epoch,
        discard: pair.to.import_progress.is_some(),
        ..Options::default()
    };
    let (sender, requests) = mpsc::channel(AHEAD);
    let import = target.import(ReceiverStream::new(requests));
    let feed = feed(pair, export, options, sender);
    let (imported, sent) = tokio::join!(import, feed);
    let sent = match (imported, sent) {
        (Ok(imported), Ok(sent)) => (imported, sent),
        // Report the sender's error first, because it caused the driver's, unless the sender
        // stopped for the driver.
        (Err(_), Err(Stop::Here(error))) => return Err(error),
        (Err(rejection), _) => return Err(rejection.into()),
        (Ok(_), Err(stop)) => bail!("the target accepted an incomplete copy: {stop:?}"),
    };
    let (imported, summary) = sent;
    compare(pair, &header, &summary).await?;
    let Header {
        epoch, revision, ..
    } = imported;
    let from = header.revision;
    output::line(format_args!(
        "copied revision {from}: now epoch {epoch}, revision {revision}"
    ));
    output::line(summary);
    Ok(())
}

/// Error for a target that an unfinished live copy has filled.
pub(super) fn unfinished(target: &str) -> String {
    format!(
        "{target}: it holds an unfinished copy: continue it with --live, or drop it with --restart"
    )
}

/// Compares the target's content with what was sent.
async fn compare(pair: &Pair, header: &Header, sent: &Summary) -> Result<()> {
    let Pair { source, target, .. } = pair;
    if crate::summary::of(target, 0).await? == *sent {
        return Ok(());
    }
    let compared = verify::compare(source, target, [header.revision, 0]).await?;
    let difference = compared.difference.unwrap_or_default();
    bail!("the target differs from what was sent, do not use it: {difference}")
}

/// Reason why sending ended.
#[derive(Debug)]
enum Stop {
    /// The target ended the call; its response holds the reason.
    Target,
    Here(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Here(error.into())
    }
}

/// Sends the export. If it fails, it drops the sender without the closing message, and the target
/// stores nothing.
async fn feed(
    pair: &Pair,
    mut export: Export,
    options: Options,
    sender: mpsc::Sender<ImportRequest>,
) -> Result<Summary, Stop> {
    let send = async |request| sender.send(request).await.map_err(|_| Stop::Target);
    let keep_epoch = options.keep_epoch;
    send(begin(options)).await?;
    let mut progress = Progress::new("copied", export.about_records);
    let (mut digester, mut count) = (Digester::default(), 0);
    while let Some(records) = export.records().await? {
        let mut bytes = 0;
        for record in &records {
            if let Some(obstacle) = obstacle(record, pair.limit()) {
                return Err(Stop::Here(anyhow::anyhow!(obstacle)));
            }
            digester.add(record);
            bytes += record.value.len();
        }
        count += records.len() as i64;
        let sent = records.len();
        let part = Some(Part::Chunk(Chunk { records }));
        send(ImportRequest { part }).await?;
        progress.add(sent, bytes);
    }
    if keep_epoch {
        still(pair, export.header.revision).await?;
    }
    let done = Done {
        records: count,
        events: 0,
    };
    let part = Some(Part::Done(done));
    send(ImportRequest { part }).await?;
    progress.finish();
    Ok(digester.finish())
}

/// In one epoch, a change missing in the target would have its resourceVersion issued again.
async fn still(pair: &Pair, revision: i64) -> Result<()> {
    let source = &pair.source;
    let now = source.describe().await?;
    let head = now.header.unwrap_or_default().revision;
    ensure!(
        head == revision && (now.fenced == pair.from.fenced),
        "{}: it changed during the copy, so the epoch cannot be kept; nothing was copied",
        source.address
    );
    Ok(())
}
