//! E: imports into an empty store, in one call and in several.

use std::time::{Duration, Instant};

use backend_proto::v1::backend_error::Reason;
use backend_proto::v1::import_request::{Done, Options, Part};
use backend_proto::v1::{
    Event, ExportRequest, FenceRequest, Header, HealthRequest, ImportRequest, Record,
};
use futures_util::StreamExt as _;
use tokio::time::timeout;
use tonic_health::pb::health_check_response::ServingStatus;

use super::copy::{CallContent, Content, import, others, parts, progress, send};
use super::describe::{SERVICES, probe};
use super::moves::{self, Export};
use super::{Case, case};
use crate::check::{Check, ensure, refused, same};
use crate::client::timed;
use crate::context::CaseContext;

pub(super) const CASES: &[Case] = &[
    case!(
        "E6-an-import-is-the-exported-store",
        one_call,
        "An import that keeps the epoch makes an empty store the exported one: its records as they \
         were, its revisions, and its history after the snapshot.",
        Export
    ),
    case!(
        "E7-several-calls-equal-one",
        several_calls,
        "An import in several calls makes the same store as one in a single call.",
        Export,
        Move
    ),
    case!(
        "E7-an-import-that-begins-an-epoch",
        new_epoch,
        "The last call decides on the epoch: unless it keeps it, a new one begins, and older \
         revisions are COMPACTED.",
        Export,
        Move
    ),
    case!(
        "E8-an-unfinished-import-is-invisible",
        invisible,
        "Until the last call of an import every other call but Describe, Health and \
         CurrentRevision is NOT_READY, and grpc.health.v1 becomes NOT_SERVING.",
        Export,
        Move
    ),
    case!(
        "E9-an-import-resumes",
        carries_on,
        "Describe has the progress of an import; an interrupted call leaves nothing, and the rest \
         of the export completes the store.",
        Export,
        Move
    ),
    case!(
        "E10-an-import-has-one-source",
        one_source,
        "A call of an import from another store, epoch or snapshot is INVALID and changes nothing.",
        Export,
        Move
    ),
    case!(
        "E10-an-import-is-in-order",
        in_order,
        "Records out of key order, events out of order, and records after events are INVALID, \
         within a call and across calls, and change nothing.",
        Export,
        Move
    ),
    case!(
        "E11-a-discarded-import-starts-over",
        discards,
        "A call that discards starts over, even with another source; it never discards a store.",
        Export,
        Move
    ),
];

/// Time until probes report an unfinished import.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);

/// Returns two stores: one with exported content, and an empty one.
pub(super) async fn pair(context: &CaseContext) -> Check<(CaseContext, Content, CaseContext)> {
    let original = context.empty().await?;
    let content = Content::prepared(&original).await?;
    Ok((original, content, context.empty().await?))
}

pub(super) fn records(records: &[Record]) -> CallContent<'_> {
    CallContent {
        records,
        ..CallContent::default()
    }
}

pub(super) fn events(events: &[Event]) -> CallContent<'_> {
    CallContent {
        events,
        ..CallContent::default()
    }
}

async fn one_call(context: CaseContext) -> Check {
    let (original, content, target) = pair(&context).await?;
    let call_content = CallContent {
        records: &content.records,
        events: &content.events,
    };
    let imported = import(&target, content.options(false), call_content).await?;
    same!(
        (imported.records, imported.events),
        (11, 5),
        "records and events of an import"
    );
    content.is_in(&original, &target).await
}

/// Imports everything except the last call, in calls of a few records or events.
async fn stage(content: &Content, target: &CaseContext) -> Check {
    for some in content.records.chunks(4) {
        import(target, content.options(true), records(some)).await?;
    }
    for some in content.events.chunks(3) {
        import(target, content.options(true), events(some)).await?;
    }
    Ok(())
}

async fn several_calls(context: CaseContext) -> Check {
    let (original, content, target) = pair(&context).await?;
    stage(&content, &target).await?;
    import(&target, content.options(false), CallContent::default()).await?;
    let described = target.client.describe().await?;
    ensure!(
        described.import_progress.is_none(),
        "Describe.import_progress is set although the import is complete"
    );
    content.is_in(&original, &target).await
}

async fn new_epoch(context: CaseContext) -> Check {
    let (original, content, target) = pair(&context).await?;
    stage(&content, &target).await?;
    let last = Options {
        keep_epoch: false,
        ..content.options(false)
    };
    import(&target, last, CallContent::default()).await?;
    let header = target.client.current().await?;
    let source = &content.source;
    same!(header.store_id, source.store_id, "store after an import");
    let (before, after) = (source.epoch, header.epoch);
    ensure!(
        after > before,
        "epoch {after} after an import from {before}"
    );
    for at in [context.all(0), others(&context, 0)] {
        let there = target.client.list(at.clone()).await?.records;
        let here = original.client.list(at).await?.records;
        ensure!(there == here, "an import changed records");
    }
    let past = context.all(content.source.revision);
    refused(target.client.try_list(past).await?, Reason::Compacted)?;
    Ok(())
}

async fn invisible(context: CaseContext) -> Check {
    let (original, content, target) = pair(&context).await?;
    let before = target.client.current().await?;
    let mut call_content = records(&content.records);
    for _ in 0..2 {
        import(&target, content.options(true), call_content).await?;
        call_content = events(&content.events);
        let (client, expected) = (&target.client, Reason::NotReady);
        refused(
            client.write(vec![target.create("mine", "1")]).await,
            expected,
        )?;
        refused(client.get(&target.key("plain"), 0).await, expected)?;
        refused(client.try_list(target.all(0)).await?, expected)?;
        refused(client.try_watch(target.after(0)).await?, expected)?;
        refused(client.compact(before.revision).await, expected)?;
        moves::refuse_export(&target, ExportRequest::default(), expected).await?;
        let fence = FenceRequest {
            fenced: true,
            reason: "half a store".to_owned(),
        };
        refused(client.raw().fence(timed(fence)).await, expected)?;
        client.raw().health(timed(HealthRequest {})).await?;
        for service in SERVICES {
            not_serving(&target, service).await?;
        }
        let now = client.current().await?;
        same!(now, before, "CurrentRevision of half a store");
    }
    import(&target, content.options(false), CallContent::default()).await?;
    content.is_in(&original, &target).await
}

/// Waits until probes report that a store is not served.
async fn not_serving(target: &CaseContext, service: &str) -> Check {
    let begun = Instant::now();
    while probe(target, service).await? != ServingStatus::NotServing {
        ensure!(
            begun.elapsed() < PROBE_TIMEOUT,
            "grpc.health.v1 of `{service}` is not NOT_SERVING although an import is unfinished"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

async fn carries_on(context: CaseContext) -> Check {
    let (original, content, target) = pair(&context).await?;
    let (first, rest) = content.records.split_at(5);
    import(&target, content.options(true), records(first)).await?;
    let reached = progress(&target).await?;
    same!(
        (reached.records, reached.revision),
        (5, content.source.revision),
        "progress after the first call"
    );
    same!(reached.source, Some(content.source.clone()), "the source");
    same!(reached.last, first[4].key, "the last record that is kept");
    broken(&target, &content, records(rest)).await?;
    // Read the rest from the source, which has changed meanwhile.
    let requested = ExportRequest {
        revision: reached.revision,
        after: reached.last,
        ..ExportRequest::default()
    };
    let mut export = Export::open(&original, requested).await?;
    let rest = export.snapshot(&original).await?;
    import(&target, content.options(true), records(&rest)).await?;
    let (first, rest) = content.events.split_at(2);
    for some in [first, rest] {
        broken(&target, &content, events(some)).await?;
        import(&target, content.options(true), events(some)).await?;
        let reached = progress(&target).await?;
        let newest = some.last().map(|event| event.revision);
        same!(
            (reached.records, Some(reached.revision)),
            (11, newest),
            "progress among the events"
        );
    }
    import(&target, content.options(false), CallContent::default()).await?;
    content.is_in(&original, &target).await
}

/// Makes calls that are aborted in three ways; none may have an effect.
async fn broken(target: &CaseContext, content: &Content, call_content: CallContent<'_>) -> Check {
    let before = progress(target).await?;
    let parts = |more| parts(content.options(more), call_content);
    refused(send(target, parts(false)).await, Reason::Invalid)?;
    let mut miscounted = parts(true);
    miscounted.push(ImportRequest {
        part: Some(Part::Done(Done {
            records: 99,
            events: 0,
        })),
    });
    refused(send(target, miscounted).await, Reason::Invalid)?;
    // A caller that sends everything except the end, and disconnects.
    let waiting = tokio_stream::iter(parts(true)).chain(futures_util::stream::pending());
    let mut raw = target.connect().raw();
    let left = timeout(Duration::from_millis(200), raw.import(waiting)).await;
    ensure!(left.is_err(), "a call without its closing message returned");
    drop(raw);
    same!(
        progress(target).await?,
        before,
        "progress after broken calls"
    );
    Ok(())
}

async fn one_source(context: CaseContext) -> Check {
    let (original, content, target) = pair(&context).await?;
    let (first, rest) = content.records.split_at(5);
    import(&target, content.options(true), records(first)).await?;
    let before = progress(&target).await?;
    for change in [
        |source: &mut Header| source.store_id.push('x'),
        |source: &mut Header| source.revision += 1,
        |source: &mut Header| source.epoch -= 1,
    ] {
        let mut options = content.options(true);
        options.source.iter_mut().for_each(change);
        let response = import(&target, options, records(rest)).await;
        refused(response, Reason::Invalid)?;
        same!(progress(&target).await?, before, "progress");
    }
    let call_content = CallContent {
        records: rest,
        events: &content.events,
    };
    import(&target, content.options(false), call_content).await?;
    content.is_in(&original, &target).await
}

async fn in_order(context: CaseContext) -> Check {
    let (original, content, target) = pair(&context).await?;
    let (first, rest) = content.records.split_at(5);
    import(&target, content.options(true), records(first)).await?;
    let swapped = [rest[1].clone(), rest[0].clone()];
    let wrong = [&content.records[4..], &content.records, &swapped];
    invalid(&target, &content, &wrong.map(records)).await?;
    let (early, later) = content.events.split_at(2);
    let call_content = CallContent {
        records: rest,
        events: early,
    };
    import(&target, content.options(true), call_content).await?;
    let backwards = [later[1].clone(), later[0].clone()];
    let mut after_events = content.records[10].clone();
    if let Some(key) = &mut after_events.key {
        key.name.push('x');
    }
    let after_events = [after_events];
    let wrong = [events(early), events(&backwards), records(&after_events)];
    invalid(&target, &content, &wrong).await?;
    import(&target, content.options(false), events(later)).await?;
    content.is_in(&original, &target).await
}

/// Asserts that calls are rejected without any effect.
async fn invalid(target: &CaseContext, content: &Content, calls: &[CallContent<'_>]) -> Check {
    let before = progress(target).await?;
    for call_content in calls {
        let response = import(target, content.options(true), *call_content).await;
        refused(response, Reason::Invalid)?;
        same!(progress(target).await?, before, "progress");
    }
    Ok(())
}

async fn discards(context: CaseContext) -> Check {
    let (_, unwanted, target) = pair(&context).await?;
    stage(&unwanted, &target).await?;
    let original = context.empty().await?;
    let content = Content::prepared(&original).await?;
    let discard = |more| Options {
        discard: true,
        ..content.options(more)
    };
    let before = progress(&target).await?;
    let broken = send(&target, parts(discard(true), records(&content.records))).await;
    refused(broken, Reason::Invalid)?;
    same!(progress(&target).await?, before, "what a broken call drops");
    let (first, rest) = content.records.split_at(5);
    import(&target, discard(true), records(first)).await?;
    let reached = progress(&target).await?;
    same!(
        (reached.source, reached.records),
        (Some(content.source.clone()), 5),
        "progress of an import that started over"
    );
    let call_content = CallContent {
        records: rest,
        events: &content.events,
    };
    import(&target, content.options(false), call_content).await?;
    content.is_in(&original, &target).await?;
    let before = target.client.list(context.all(0)).await?;
    let response = import(&target, discard(false), records(first)).await;
    refused(response, Reason::Invalid)?;
    let after = target.client.list(context.all(0)).await?;
    ensure!(
        (after.header, after.records) == (before.header, before.records),
        "a refused import discarded a store"
    );
    Ok(())
}
