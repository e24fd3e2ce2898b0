//! Content of a store: exported, and imported into another store in one call or several.

use backend_proto::v1::import_request::{Done, Options, Part};
use backend_proto::v1::list_response::Chunk;
use backend_proto::v1::watch_response::Events;
use backend_proto::v1::{
    Event, ExportRequest, Header, ImportProgress, ImportRequest, ImportResponse, Index, Key,
    ListRequest, Op, Origin, Record, WatchRequest,
};
use tonic::Status;

use super::moves::Export;
use crate::check::{Check, ensure, same, some};
use crate::context::CaseContext;

/// A second resource, so that key order differs from path order.
const OTHER: &str = "others";

/// Snapshot of a store, and the changes after it.
pub(super) struct Content {
    pub(super) source: Header,
    pub(super) records: Vec<Record>,
    pub(super) events: Vec<Event>,
}

/// Content of one call of Import.
#[derive(Clone, Copy, Default)]
pub(super) struct CallContent<'a> {
    pub(super) records: &'a [Record],
    pub(super) events: &'a [Event],
}

// === impl Content ===

impl Content {
    /// Fills an empty store and exports it.
    pub(super) async fn of(store: &CaseContext) -> Check<Self> {
        let client = &store.client;
        let paths = ["b/x", "a/y", "plain", "a/x", "a-b/x", "a/z"];
        let created = paths.map(|path| labelled(store.create(path, "1"), "first"));
        client.apply_all(created.to_vec()).await?;
        let others = paths.map(|path| other(store.create(path, "1")));
        client.apply_all(others.to_vec()).await?;
        let changed = labelled(store.update("a/y", "2", 0), "second");
        client.apply(changed).await?;
        client.apply(other(store.delete("a/z", 0))).await?;
        let mut export = Export::open(store, ExportRequest::default()).await?;
        let source = export.header.clone();
        let records = export.snapshot(store).await?;
        let after = vec![
            labelled(store.update("plain", "3", 0), "third"),
            store.delete("a/x", 0),
            other(store.update("b/x", "3", 0)),
            store.create("new", "3"),
            store.update("new", "4", 0),
        ];
        let mut last = 0;
        for op in after {
            last = client.apply(op).await?.revision;
        }
        let follow = ExportRequest {
            follow: true,
            after_revision: source.revision,
            ..ExportRequest::default()
        };
        let mut export = Export::open(store, follow).await?;
        let events = export.events(store, last).await?;
        same!((records.len(), events.len()), (11, 5), "what was exported");
        Ok(Self {
            source,
            records,
            events,
        })
    }

    /// As [`Content::of`], shared by many cases: it fails one of them only.
    pub(super) async fn prepared(store: &CaseContext) -> Check<Self> {
        let what = "filling and exporting a store";
        store.prepare(what, Box::pin(Self::of(store))).await
    }

    /// Options of a call that continues an import, or of the last call.
    pub(super) fn options(&self, more: bool) -> Options {
        Options {
            source: Some(self.source.clone()),
            keep_epoch: true,
            more,
            discard: false,
        }
    }

    /// Asserts that a store equals the exported one, with its history after the snapshot.
    pub(super) async fn is_in(&self, original: &CaseContext, target: &CaseContext) -> Check {
        let (there, here) = (
            target.client.current().await?,
            original.client.current().await?,
        );
        let identity = |header: &Header| (header.store_id.clone(), header.epoch, header.revision);
        same!(
            identity(&there),
            identity(&here),
            "identity of the imported store"
        );
        for revision in self.source.revision..=here.revision {
            for request in [original.all(revision), others(original, revision)] {
                let here = original.client.list(request.clone()).await?;
                let there = target.client.list(request).await?;
                ensure!(
                    there.records == here.records,
                    "the imported store at {revision} is not the exported one"
                );
            }
        }
        let everything = WatchRequest {
            start_revision: self.source.revision,
            ..WatchRequest::default()
        };
        let mut watch = target.client.watch(everything).await?;
        let events = watch.until(here.revision).await?;
        ensure!(
            events == self.events,
            "a watch from the snapshot does not show the imported events"
        );
        let next = target.client.apply(target.create("next", "1")).await?;
        same!(next.revision, here.revision + 1, "the next revision");
        Ok(())
    }
}

/// Moves an operation to the second resource.
fn other(op: Op) -> Op {
    let key = op.key.clone().map(|key| Key {
        resource: OTHER.to_owned(),
        ..key
    });
    Op { key, ..op }
}

/// Builds a list of the second resource.
pub(super) fn others(context: &CaseContext, revision: i64) -> ListRequest {
    let mut request = context.all(revision);
    if let Some(range) = &mut request.range {
        OTHER.clone_into(&mut range.resource);
    }
    request
}

fn labelled(op: Op, label: &str) -> Op {
    let index = Index {
        uid: format!("uid of {label}"),
        labels: [("order".to_owned(), label.to_owned())].into(),
        ..Index::default()
    };
    Op {
        index: Some(index),
        origin: Some(Origin {
            manager: format!("manager of {label}"),
            verb: "update".to_owned(),
            subresource: "status".to_owned(),
        }),
        ..op
    }
}

/// Returns the messages of a call except the closing one.
pub(super) fn parts(options: Options, call_content: CallContent<'_>) -> Vec<ImportRequest> {
    let mut parts = vec![Part::Options(options)];
    // Several messages, so that the driver handles a call in several steps.
    parts.extend(call_content.records.chunks(2).map(|records| {
        Part::Chunk(Chunk {
            records: records.to_vec(),
        })
    }));
    parts.extend(call_content.events.chunks(2).map(|events| {
        Part::Events(Events {
            events: events.to_vec(),
        })
    }));
    let requests = parts.into_iter();
    requests
        .map(|part| ImportRequest { part: Some(part) })
        .collect()
}

/// Makes one complete call.
pub(super) async fn import(
    store: &CaseContext,
    options: Options,
    call_content: CallContent<'_>,
) -> Result<ImportResponse, Status> {
    let mut parts = parts(options, call_content);
    parts.push(ImportRequest {
        part: Some(Part::Done(Done {
            records: call_content.records.len() as i64,
            events: call_content.events.len() as i64,
        })),
    });
    send(store, parts).await
}

/// Sends messages and ends the stream.
pub(super) async fn send(
    store: &CaseContext,
    parts: Vec<ImportRequest>,
) -> Result<ImportResponse, Status> {
    let stream = tokio_stream::iter(parts);
    Ok(store.client.raw().import(stream).await?.into_inner())
}

/// Returns the progress of an import from Describe.
pub(super) async fn progress(store: &CaseContext) -> Check<ImportProgress> {
    let described = store.client.describe().await?;
    some(
        described.import_progress,
        "Describe.import_progress of an unfinished import",
    )
}
