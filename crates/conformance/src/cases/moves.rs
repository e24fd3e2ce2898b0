//! E: export and import.

use std::time::Duration;

use backend_proto::v1::backend_error::Reason;
use backend_proto::v1::export_response::Part;
use backend_proto::v1::import_request::{Done, Options, Part as ImportPart};
use backend_proto::v1::{Event, ExportRequest, ExportResponse, Header, ImportRequest, Key, Record};
use tokio::time::timeout;
use tonic::Streaming;

use super::{Case, case};
use crate::background::Workload;
use crate::check::{Check, Stop, ensure, refused, same, some};
use crate::context::CaseContext;
use crate::replay::Replay;

/// Timeout of the next message of an export.
const SILENCE: Duration = Duration::from_secs(20);

pub(super) const CASES: &[Case] = &[
    case!(
        "E1-an-export-is-one-snapshot",
        snapshot,
        "An export is the whole store at the revision of its header, also while it is written.",
        Export
    ),
    case!(
        "E2-an-export-that-follows",
        follow,
        "An export that follows goes on with every change after its snapshot, once and in order.",
        Export
    ),
    case!(
        "E3-an-export-after-a-revision",
        after,
        "An export after a revision skips the snapshot; without following it is INVALID, and a \
         start outside history fails as that of a watch.",
        Export
    ),
    case!(
        "E4-import-needs-an-empty-store",
        occupied,
        "An import into a store that holds something is INVALID and changes nothing.",
        Export
    ),
    case!(
        "E5-an-export-carries-on",
        carries_on,
        "An export at a revision and after a key is the rest of the snapshot at that revision, \
         although the store moved on; without its snapshot it has no place in it, and a revision \
         outside history fails as a read there.",
        Export,
        Compact,
        Move
    ),
];

/// An export in progress.
pub(super) struct Export {
    stream: Streaming<ExportResponse>,
    pub(super) header: Header,
}

impl Export {
    pub(super) async fn open(context: &CaseContext, request: ExportRequest) -> Check<Self> {
        let mut raw = context.connect().raw();
        let stream = raw.export(request).await?.into_inner();
        let mut export = Self {
            stream,
            header: Header::default(),
        };
        match export.message().await? {
            Some(ExportResponse {
                part: Some(Part::Header(header)),
                about_records,
            }) => {
                ensure!(
                    about_records >= 0,
                    "an export of about {about_records} records"
                );
                export.header = header;
            }
            _ => {
                return Err(Stop::Failed(
                    "an export did not begin with its header".to_owned(),
                ));
            }
        }
        Ok(export)
    }

    async fn message(&mut self) -> Check<Option<ExportResponse>> {
        let message = timeout(SILENCE, self.stream.message()).await;
        Ok(message.map_err(|_| Stop::Failed("an export stood still".to_owned()))??)
    }

    async fn next(&mut self) -> Check<Option<Part>> {
        let message = self.message().await?;
        message
            .map(|message| some(message.part, "part of an export"))
            .transpose()
    }

    /// Returns this case's records in the snapshot, after checking its shape.
    pub(super) async fn snapshot(&mut self, context: &CaseContext) -> Check<Vec<Record>> {
        let (mut records, mut last, mut count) = (Vec::new(), None, 0);
        loop {
            match some(self.next().await?, "trailer of an export")? {
                Part::Chunk(chunk) => {
                    count += chunk.records.len() as i64;
                    for record in chunk.records {
                        let key = some(record.key.as_ref(), "key of an exported record")?;
                        let resource = (key.group.clone(), key.resource.clone());
                        ensure!(
                            Some(&resource) >= last.as_ref(),
                            "an export is not in key order"
                        );
                        last = Some(resource);
                        if key.group == context.group() {
                            records.push(record);
                        }
                    }
                }
                Part::Trailer(trailer) => {
                    same!(trailer.count, count, "count in an export's trailer");
                    return Ok(records);
                }
                _ => return Err(Stop::Failed("a part of an export out of place".to_owned())),
            }
        }
    }

    /// Returns this case's events up to a revision.
    pub(super) async fn events(&mut self, context: &CaseContext, last: i64) -> Check<Vec<Event>> {
        let (mut events, mut reached) = (Vec::new(), self.header.revision);
        while reached < last {
            let Some(Part::Events(batch)) = self.next().await? else {
                return Err(Stop::Failed(
                    "an export that follows sent no events".to_owned(),
                ));
            };
            for event in batch.events {
                ensure!(
                    event.revision > reached,
                    "event {} after {reached}",
                    event.revision
                );
                reached = event.revision;
                let key = event.record.as_ref().and_then(|record| record.key.as_ref());
                if key.is_some_and(|key| key.group == context.group()) {
                    events.push(event);
                }
            }
        }
        Ok(events)
    }
}

async fn snapshot(context: CaseContext) -> Check {
    let load = Workload::start(&context, 4);
    load.reach(4).await?;
    let mut exports = Vec::new();
    for _ in 0..5 {
        let mut export = Export::open(&context, ExportRequest::default()).await?;
        let records = export.snapshot(&context).await?;
        ensure!(
            export.next().await?.is_none(),
            "an export went on after its trailer"
        );
        exports.push((export.header.revision, records));
    }
    load.finish_after(20).await?;
    for (revision, records) in exports {
        let listed = context.client.list(context.all(revision)).await?;
        ensure!(
            listed.records == records,
            "an export differs from the list at {revision}"
        );
    }
    Ok(())
}

async fn follow(context: CaseContext) -> Check {
    let load = Workload::start(&context, 4);
    load.reach(4).await?;
    let request = ExportRequest {
        follow: true,
        ..ExportRequest::default()
    };
    let mut export = Export::open(&context, request).await?;
    let records = export.snapshot(&context).await?;
    load.finish_after(20).await?;
    let last = context
        .client
        .apply(context.create("ns/last", "1"))
        .await?
        .revision;
    let events = export.events(&context, last).await?;
    let mut replay = Replay::from_list(&records, export.header.revision);
    replay.apply_all(&events)?;
    let listed = context.client.list(context.all(0)).await?;
    replay.matches(&listed.records, "an export and what followed it")
}

async fn after(context: CaseContext) -> Check {
    let first = context
        .client
        .apply(context.create("ns/a", "1"))
        .await?
        .revision;
    let last = context
        .client
        .apply(context.create("ns/b", "1"))
        .await?
        .revision;
    let request = |after_revision, follow| ExportRequest {
        follow,
        after_revision,
        ..ExportRequest::default()
    };
    let mut export = Export::open(&context, request(first, true)).await?;
    let events = export.events(&context, last).await?;
    let observed: Vec<i64> = events.iter().map(|event| event.revision).collect();
    same!(observed, [last], "events of an export after {first}");
    for (request, due) in [
        (request(first, false), Reason::Invalid),
        (request(last + 100, true), Reason::FutureRevision),
    ] {
        refuse_export(&context, request, due).await?;
    }
    Ok(())
}

/// Asserts that an export is rejected, either by the call or by its first message.
pub(super) async fn refuse_export(
    context: &CaseContext,
    request: ExportRequest,
    due: Reason,
) -> Check {
    let opened = context.client.raw().export(request).await;
    let reply = match opened {
        Ok(response) => response.into_inner().message().await,
        Err(status) => Err(status),
    };
    refused(reply, due).map(drop)
}

async fn carries_on(context: CaseContext) -> Check {
    let client = &context.client;
    let ops = (0..20).map(|number| context.create(&format!("ns{}/{number}", number % 3), "1"));
    client.apply_all(ops.collect()).await?;
    let mut export = Export::open(&context, ExportRequest::default()).await?;
    let (revision, all) = (export.header.revision, export.snapshot(&context).await?);
    let moved_on = vec![
        context.create("ns0/0a", "2"),
        context.update("ns1/1", "2", 0),
        context.delete("ns2/2", 0),
    ];
    let last = client.apply_all(moved_on).await?[2];
    let rest = |after: Option<Key>| ExportRequest {
        revision,
        after,
        ..ExportRequest::default()
    };
    for from in [0, 1, 7, 20] {
        let after = all[..from].last().and_then(|record| record.key.clone());
        let mut export = Export::open(&context, rest(after)).await?;
        same!(export.header.revision, revision, "revision of an export");
        let observed = export.snapshot(&context).await?;
        ensure!(
            observed == all[from..],
            "the rest of an export after {from} records is another one"
        );
    }
    let follow = ExportRequest {
        follow: true,
        ..rest(all[6].key.clone())
    };
    let mut export = Export::open(&context, follow).await?;
    same!(export.snapshot(&context).await?, all[7..], "the rest");
    let events = export.events(&context, last).await?;
    same!(events.len(), 3, "events after the rest of an export");
    client.compact(revision).await?;
    for (requested, after_revision, due) in [
        (revision, revision, Reason::Invalid),
        (revision - 1, 0, Reason::Compacted),
        (last + 100, 0, Reason::FutureRevision),
    ] {
        let request = ExportRequest {
            follow: true,
            after_revision,
            revision: requested,
            ..ExportRequest::default()
        };
        refuse_export(&context, request, due).await?;
    }
    Ok(())
}

async fn occupied(context: CaseContext) -> Check {
    context.client.apply(context.create("ns/a", "1")).await?;
    let before = context.client.list(context.all(0)).await?;
    let source = context.client.current().await?;
    let parts = [
        ImportPart::Options(Options {
            source: Some(source),
            keep_epoch: true,
            ..Options::default()
        }),
        ImportPart::Done(Done {
            records: 0,
            events: 0,
        }),
    ];
    let requests = parts.map(|part| ImportRequest { part: Some(part) });
    let imported = context
        .client
        .raw()
        .import(tokio_stream::iter(requests))
        .await;
    refused(imported, Reason::Invalid)?;
    let after = context.client.list(context.all(0)).await?;
    same!(after.header, before.header, "header after a refused import");
    same!(
        after.records,
        before.records,
        "records after a refused import"
    );
    Ok(())
}
