//! Exports: a snapshot of the store, followed by the changes after it.

use std::sync::Arc;

use backend_proto::v1::export_response::{Part, Progress};
use backend_proto::v1::list_response::{Part as ListPart, Trailer};
use backend_proto::v1::watch_response::Body;
use backend_proto::v1::{
    BackendError, ExportRequest, ExportResponse, Key, Range, WatchRequest, WatchResponse,
};
use tokio_util::sync::CancellationToken;

use crate::driver::{Driver, ListQuery};
use crate::refuse::invalid;
use crate::watch::{Source, Watch};
use crate::{key, list, reader};

type Sink = reader::Sink<ExportResponse>;

/// Validates the request.
pub(crate) fn check(request: &ExportRequest) -> Result<(), BackendError> {
    if request.after_revision != 0 && !request.follow {
        return Err(invalid("an export without its snapshot must follow"));
    }
    if request.after_revision != 0 && (request.revision != 0 || request.after.is_some()) {
        return Err(invalid("an export without its snapshot has no place in it"));
    }
    request.after.as_ref().map_or(Ok(()), key::check)
}

/// Streams the export until it is complete or the client disconnects.
pub(crate) async fn run(source: Source, request: ExportRequest, sink: Sink) {
    let stop = source.stop.clone();
    if let Err(error) = feed(source, &request, &sink).await {
        sink.end(&error, &stop).await;
    }
}

async fn feed(source: Source, request: &ExportRequest, sink: &Sink) -> Result<(), BackendError> {
    let (driver, stop) = (source.driver.clone(), source.stop.clone());
    let mut header = driver.header().await?;
    let snapshot = request.after_revision == 0;
    if !snapshot {
        header.revision = request.after_revision;
    } else if request.revision != 0 {
        header.revision = request.revision;
    }
    let start = header.revision;
    // Register the watch before reading the snapshot: a start revision that is too old must be
    // rejected before any records are sent.
    let mut watch = Watch::start(
        source,
        WatchRequest {
            start_revision: start,
            progress_interval_ms: request.progress_interval_ms,
            ..WatchRequest::default()
        },
    )
    .await?;
    let about_records = if snapshot {
        about_records(driver.as_ref()).await
    } else {
        0
    };
    let head = ExportResponse {
        part: Some(Part::Header(header)),
        about_records,
    };
    if !sink.send(head, None, &stop).await? {
        return Ok(());
    }
    if snapshot && !records(&driver, start, request.after.as_ref(), sink, &stop).await? {
        return Ok(());
    }
    if !request.follow {
        return Ok(());
    }
    // Callers of minor version 3 and below do not handle messages of progress.
    let wrap = if request.progress_interval_ms == 0 {
        changes
    } else {
        changes_and_progress
    };
    watch.feed(sink, wrap).await
}

/// Converts a message of a watch into one of an export, if there is an equivalent.
fn changes(response: WatchResponse) -> Option<ExportResponse> {
    match response.body {
        Some(Body::Events(events)) => Some(response_of(Part::Events(events))),
        _ => None,
    }
}

/// As [`changes`], with the progress of a watch.
fn changes_and_progress(response: WatchResponse) -> Option<ExportResponse> {
    let through_revision = response.through_revision;
    match response.body {
        Some(Body::Progress(_)) => Some(response_of(Part::Progress(Progress { through_revision }))),
        _ => changes(response),
    }
}

/// Returns the total for progress reports. An error counts as unknown, because the export does not
/// depend on it.
async fn about_records(driver: &dyn Driver) -> i64 {
    match driver.about_records().await {
        Ok(count) => count.map_or(0, |count| i64::try_from(count).unwrap_or(i64::MAX)),
        Err(error) => {
            tracing::debug!(error = error.message, "records are not counted");
            0
        }
    }
}

/// Sends all records after a key as of `revision`; `false` if the client disconnected.
async fn records(
    driver: &Arc<dyn Driver>,
    revision: i64,
    after: Option<&Key>,
    sink: &Sink,
    stop: &CancellationToken,
) -> Result<bool, BackendError> {
    let mut count = 0;
    let from = after.map(|key| (key.group.as_str(), key.resource.as_str()));
    for (group, resource) in driver.resources().await? {
        let here = Some((group.as_str(), resource.as_str()));
        if here < from {
            continue;
        }
        let after = after.filter(|_| here == from).cloned();
        let query = ListQuery {
            range: Range {
                group,
                resource,
                namespace: None,
                name: None,
            },
            after,
            limit: 0,
            revision,
        };
        match list::pump(driver.as_ref(), query, sink, chunk, stop).await? {
            Some(sent) => count += sent,
            None => return Ok(false),
        }
    }
    let trailer = Trailer { count, more: false };
    send(sink, Part::Trailer(trailer), stop).await
}

fn chunk(part: ListPart) -> Option<ExportResponse> {
    match part {
        ListPart::Chunk(chunk) => Some(response_of(Part::Chunk(chunk))),
        ListPart::Header(_) | ListPart::Trailer(_) => None,
    }
}

async fn send(sink: &Sink, part: Part, stop: &CancellationToken) -> Result<bool, BackendError> {
    sink.send(response_of(part), None, stop).await
}

fn response_of(part: Part) -> ExportResponse {
    ExportResponse {
        part: Some(part),
        about_records: 0,
    }
}
