//! Imports into an empty store.

use std::sync::Arc;

use backend_proto::import;
use backend_proto::limits::LAST_IMPORT;
use backend_proto::v1::backend_error::Reason;
use backend_proto::v1::import_request::Part;
use backend_proto::v1::{BackendError, ImportRequest, ImportResponse, Record};
use tokio::sync::mpsc;
use tonic::{Status, Streaming};

use crate::driver::{Driver, ImportOptions, ImportPart};
use crate::refuse::{closing, error, invalid, status, unimplemented};

/// Messages buffered between the stream and the driver.
const AHEAD: usize = 2;

/// Counters of the received content.
#[derive(Default)]
struct Count {
    records: i64,
    events: i64,
}

/// Feeds the stream to the driver. Unless the closing message matches the received counts, the
/// driver stores nothing.
pub(crate) async fn run(
    driver: Arc<dyn Driver>,
    mut stream: Streaming<ImportRequest>,
) -> Result<ImportResponse, Status> {
    let first = stream.message().await?.and_then(|message| message.part);
    let Some(Part::Options(options)) = first else {
        return Err(status(&invalid("an import begins with its options")));
    };
    let source = options
        .source
        .ok_or_else(|| status(&invalid("an import needs the source's header")))?;
    if let Some(rejection) = import::rejection(&source) {
        return Err(status(&invalid(&rejection)));
    }
    if (options.more || options.discard) && !driver.describe().moves {
        let rejection = unimplemented("this driver cannot import in several calls");
        return Err(status(&rejection));
    }
    let options = ImportOptions {
        source,
        keep_epoch: options.keep_epoch,
        more: options.more,
        discard: options.discard,
    };
    let (sender, parts) = mpsc::channel(AHEAD);
    let importing = driver.import(options, parts);
    let feed = feed(stream, sender);
    tokio::pin!(importing, feed);
    let (imported, fed) = tokio::select! {
        // Return a rejection at once, without waiting for the client's next message.
        imported = &mut importing => {
            let header = imported.map_err(|error| status(&error))?;
            (Ok(header), feed.await)
        }
        fed = &mut feed => (importing.await, fed),
    };
    let counted = fed?;
    let header = imported.map_err(|error| status(&error))?;
    Ok(ImportResponse {
        header: Some(header),
        records: counted.records,
        events: counted.events,
    })
}

async fn feed(
    mut stream: Streaming<ImportRequest>,
    sender: mpsc::Sender<ImportPart>,
) -> Result<Count, Status> {
    let mut count = Count::default();
    let refuse = |error: BackendError| Err(status(&error));
    while let Some(message) = stream.message().await? {
        let part = match message.part {
            Some(Part::Chunk(chunk)) => {
                if let Some(fault) = fault(&chunk.records) {
                    return refuse(fault);
                }
                count.records += chunk.records.len() as i64;
                ImportPart::Records(chunk.records)
            }
            Some(Part::Events(events)) => {
                let records = events
                    .events
                    .iter()
                    .filter_map(|event| event.record.as_ref());
                if let Some(fault) = fault(records) {
                    return refuse(fault);
                }
                let newest = events.events.iter().map(|event| event.revision).max();
                if newest.is_some_and(|newest| newest > LAST_IMPORT) {
                    return refuse(too_large("an event"));
                }
                count.events += events.events.len() as i64;
                ImportPart::Events(events.events)
            }
            Some(Part::Done(done)) => {
                if (done.records, done.events) != (count.records, count.events) {
                    return refuse(invalid("the import is not what its sender counted"));
                }
                // The driver's own result says whether it accepted this part.
                let _ = sender.send(ImportPart::Done).await;
                return Ok(count);
            }
            Some(Part::Options(_)) | None => return refuse(invalid("a part out of place")),
        };
        if sender.send(part).await.is_err() {
            // The driver rejected the content; its result says why.
            return Ok(count);
        }
    }
    refuse(invalid("the import ended before its closing message")).or_else(|error: Status| {
        if sender.is_closed() {
            refuse(closing())
        } else {
            Err(error)
        }
    })
}

fn too_large(what: &str) -> BackendError {
    invalid(&import::too_large(what))
}

/// Returns the reason to reject records: a missing value, or a creation revision above the record's
/// own.
fn fault<'a>(records: impl IntoIterator<Item = &'a Record>) -> Option<BackendError> {
    records.into_iter().find_map(|record| {
        if !record.unreadable.is_empty() {
            let message = format!("nothing is imported: {}", record.unreadable);
            return Some(error(Reason::Corrupt, message));
        }
        if record.revision > LAST_IMPORT {
            return Some(too_large("a record"));
        }
        let created = 1..=record.revision;
        (!created.contains(&record.create_revision))
            .then(|| invalid("a record's create_revision is not between 1 and its revision"))
    })
}

#[cfg(test)]
mod tests {
    use backend_proto::v1::Record;

    use super::{LAST_IMPORT, fault};

    #[test]
    fn records_with_invalid_create_revision_are_rejected() {
        for (create_revision, revision, fits) in [
            (1, 1, true),
            (3, 9, true),
            (0, 9, false),
            (10, 9, false),
            (1, LAST_IMPORT + 1, false),
        ] {
            let record = Record {
                revision,
                create_revision,
                ..Record::default()
            };
            assert_eq!(fault([&record]).is_none(), fits, "{record:?}");
        }
    }
}
