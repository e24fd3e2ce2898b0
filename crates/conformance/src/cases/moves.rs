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
use crate::context::{CaseContext, PROGRESS};
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
        "An export that follows continues with every change after its snapshot, once and in order.",
        Export
    ),
    case!(
        "E2-an-export-reports-progress",
        reports_progress,
        "An export that follows reports its progress if the request has an interval, and only then; \
         since minor version 4.",
        Export
    ),
    case!(
        "E3-an-export-after-a-revision",
        after,
        "An export after a revision skips the snapshot, and its header has that revision; without \
         `follow` it is INVALID, and a start outside history fails as that of a watch.",
        Export
    ),
    case!(
        "E4-import-needs-an-empty-store",
        occupied,
        "An import into a store with records is INVALID and changes nothing.",
        Export
    ),
    case!(
        "E5-an-export-resumes",
        carries_on,
        "An export at a revision and after a key is the rest of the snapshot at that revision, \
         although the store has changed; without a snapshot neither is permitted, and a revision \
         outside history fails as a read at it.",
        Export,
        Compact,
        Move
    ),
];

/// An export in progress.
pub(super) struct Export {
    stream: Streaming<ExportResponse>,
    pub(super) header: Header,
    /// Newest revision that a message of progress reported; 0 before the first.
    progressed: i64,
}

impl Export {
    pub(super) async fn open(context: &CaseContext, request: ExportRequest) -> Check<Self> {
        let mut raw = context.connect().raw();
        let stream = raw.export(request).await?.into_inner();
        let mut export = Self {
            stream,
            header: Header::default(),
            progressed: 0,
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
        Ok(message.map_err(|_| Stop::Failed("an export sent nothing for 20 s".to_owned()))??)
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

    /// Notes a message of progress, which never decreases.
    fn reach(&mut self, through_revision: i64) -> Check {
        ensure!(
            through_revision >= self.progressed.max(self.header.revision),
            "the progress of an export decreased to {through_revision}"
        );
        self.progressed = through_revision;
        Ok(())
    }

    /// Returns the next message, which must be one of progress.
    async fn progress(&mut self) -> Check<i64> {
        match self.next().await? {
            Some(Part::Progress(progress)) => {
                self.reach(progress.through_revision)?;
                Ok(progress.through_revision)
            }
            _ => Err(Stop::Failed(
                "an idle export that follows sent no progress".to_owned(),
            )),
        }
    }

    /// Returns this case's events up to a revision.
    pub(super) async fn events(&mut self, context: &CaseContext, last: i64) -> Check<Vec<Event>> {
        let (mut events, mut reached) = (Vec::new(), self.header.revision);
        while reached < last {
            let batch = match self.next().await? {
                Some(Part::Events(batch)) => batch,
                Some(Part::Progress(progress)) => {
                    self.reach(progress.through_revision)?;
                    reached = reached.max(progress.through_revision);
                    continue;
                }
                _ => {
                    let text = "an export that follows sent no events";
                    return Err(Stop::Failed(text.to_owned()));
                }
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
            "an export continued after its trailer"
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

async fn reports_progress(context: CaseContext) -> Check {
    if !context.speaks(PROGRESS) {
        let reason = format!("the driver does not speak minor version {PROGRESS}");
        return Err(Stop::Skipped(reason));
    }
    let follow = |progress_interval_ms| ExportRequest {
        follow: true,
        progress_interval_ms,
        ..ExportRequest::default()
    };
    let mut quiet = Export::open(&context, follow(0)).await?;
    quiet.snapshot(&context).await?;
    let mut export = Export::open(&context, follow(100)).await?;
    export.snapshot(&context).await?;
    let mut through = export.progress().await?;
    same!(
        through,
        export.header.revision,
        "progress of an idle export"
    );
    for number in 0..5 {
        let op = context.create(&format!("ns/{number}"), "1");
        let last = context.client.apply(op).await?.revision;
        let events = export.events(&context, last).await?;
        same!(events.len(), 1, "events of one change");
        through = export.progress().await?;
        same!(through, last, "progress after event {last}");
    }
    // The other export has no reason to send anything else than these events.
    let events = quiet.events(&context, through).await?;
    same!(events.len(), 5, "events of an export without progress");
    ensure!(
        quiet.progressed == 0,
        "an export sent progress without a request for it"
    );
    Ok(())
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
    same!(
        export.header.revision,
        first,
        "revision of the header of an export after {first}"
    );
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
