//! V: start revisions of watches, and what a watch must return from there.

use std::time::{Duration, Instant};

use backend_proto::v1::backend_error::Reason;
use backend_proto::v1::describe_response::Capability;
use backend_proto::v1::event::Type;
use backend_proto::v1::{Range, WatchRequest};

use super::{Case, case, reads};
use crate::background::Workload;
use crate::check::{Check, Stop, ensure, refused, same};
use crate::context::CaseContext;
use crate::replay::Replay;

pub(super) const CASES: &[Case] = &[
    case!(
        "V5-resumes-from-any-revision",
        resume,
        "A watch from r starts with the first matching change after r."
    ),
    case!(
        "V5-zero-means-after-now",
        zero,
        "A watch from 0 starts after the current revision and shows nothing older."
    ),
    case!(
        "V5-list-then-watch-leaves-no-gap",
        list_then_watch,
        "A watch from a list's revision is accepted at once and completes the list, however busy \
         the store is."
    ),
    case!(
        "V9-a-compacted-start-fails",
        compacted,
        "A watch below the compact revision fails at once with it; it never silently starts later.",
        Compact
    ),
    case!(
        "V10-a-start-at-the-compact-revision-sees-the-next-delete",
        at_compact,
        "A watch opened exactly at the compact revision still sees a delete at the next revision.",
        Compact
    ),
    case!(
        "V11-a-future-start-fails",
        future,
        "A watch above the current revision fails at once; it neither waits nor shows older changes."
    ),
    case!(
        "V11-a-malformed-range-fails",
        malformed,
        "A watch of a range without a resource, with a name but no namespace, or of what no key can \
         be, is INVALID."
    ),
];

async fn resume(context: CaseContext) -> Check {
    let client = &context.client;
    let before = client.current().await?.revision;
    let mut expected = Vec::new();
    for round in 0..8 {
        let op = match round % 4 {
            0 => context.create("ns/a", format!("{round}")),
            3 => context.delete("ns/a", 0),
            _ => context.update("ns/a", format!("{round}"), 0),
        };
        expected.push(client.apply(op).await?.revision);
    }
    let last = expected[7];
    for start in before..=last {
        let mut watch = context.connect().watch(context.after(start)).await?;
        let events = watch.until(last).await?;
        let seen: Vec<i64> = events.iter().map(|event| event.revision).collect();
        let rest: Vec<i64> = expected.iter().copied().filter(|at| *at > start).collect();
        same!(seen, rest, "events after {start}");
    }
    Ok(())
}

async fn zero(context: CaseContext) -> Check {
    let old = context
        .client
        .apply(context.create("ns/old", "1"))
        .await?
        .revision;
    let mut watch = context.client.watch(context.after(0)).await?;
    ensure!(
        watch.up_to_revision() >= old,
        "a watch from 0 starts at {}, below {old}",
        watch.up_to_revision()
    );
    let new = context
        .client
        .apply(context.create("ns/new", "1"))
        .await?
        .revision;
    let events = watch.until(new).await?;
    let seen: Vec<i64> = events.iter().map(|event| event.revision).collect();
    same!(seen, [new], "events of a watch from 0");
    Ok(())
}

async fn list_then_watch(context: CaseContext) -> Check {
    let load = Workload::start(&context, 6);
    load.reach(4).await?;
    let reader = context.connect();
    for _ in 0..60 {
        let listed = reader.list(context.all(0)).await?;
        let start = listed.header.revision;
        let mut watch = reader.watch(context.after(start)).await?;
        // A list at a later revision equals this list plus the events between.
        let mut replay = Replay::from_list(&listed.records, start);
        let events = watch.next().await??.events;
        replay.apply_all(&events)?;
        if context.has(Capability::TimeTravel) {
            let later = reader.list(context.all(watch.up_to_revision())).await?;
            replay.matches(&later.records, "a list and what followed it")?;
        }
        // Any issued revision is a valid start.
        let current = reader.current().await?.revision;
        reader.watch(context.after(current)).await?;
        let now = reader.watch(context.after(0)).await?.up_to_revision();
        ensure!(
            now >= current,
            "a watch from 0 starts at {now}, below {current}"
        );
    }
    load.finish_after(20).await?;
    Ok(())
}

async fn compacted(context: CaseContext) -> Check {
    let client = &context.client;
    let first = client.apply(context.create("ns/a", "1")).await?.revision;
    let second = client.apply(context.update("ns/a", "2", 0)).await?.revision;
    client.apply(context.update("ns/a", "3", 0)).await?;
    client.compact(second).await?;
    for start in [first, first - 1, 1] {
        let started = Instant::now();
        let error = refused(
            client.try_watch(context.after(start)).await?,
            Reason::Compacted,
        )?;
        same!(
            error.compact_revision,
            second,
            "compact_revision of the error"
        );
        ensure!(
            started.elapsed() < Duration::from_secs(5),
            "the refusal took too long"
        );
    }
    Ok(())
}

async fn at_compact(context: CaseContext) -> Check {
    let client = &context.client;
    let created = client.apply(context.create("ns/a", "1")).await?.revision;
    let deleted = client.apply(context.delete("ns/a", 0)).await?.revision;
    let again = client.apply(context.create("ns/a", "2")).await?.revision;
    client.compact(created).await?;
    let events = client
        .watch(context.after(created))
        .await?
        .until(again)
        .await?;
    let seen: Vec<(i64, Type)> = events
        .iter()
        .map(|event| (event.revision, event.r#type()))
        .collect();
    same!(
        seen,
        [(deleted, Type::Deleted), (again, Type::Created)],
        "events after compaction"
    );
    Ok(())
}

async fn future(context: CaseContext) -> Check {
    let current = context
        .client
        .apply(context.create("ns/a", "1"))
        .await?
        .revision;
    for ahead in [1, 1000, 1 << 41] {
        let started = Instant::now();
        let opened = context
            .client
            .try_watch(context.after(current + ahead))
            .await?;
        let error = refused(opened, Reason::FutureRevision)?;
        same!(
            error.current_revision,
            current,
            "current_revision of the error"
        );
        ensure!(
            started.elapsed() < Duration::from_secs(5),
            "the refusal took too long"
        );
    }
    Ok(())
}

async fn malformed(context: CaseContext) -> Check {
    let nowhere = Range {
        resource: String::new(),
        ..context.range()
    };
    let nameless = Range {
        name: Some("a".to_owned()),
        ..context.range()
    };
    let impossible = reads::impossible(&context).into_iter().map(reads::range_of);
    for range in [nowhere, nameless].into_iter().chain(impossible) {
        let request = WatchRequest {
            ranges: vec![context.range(), range],
            ..WatchRequest::default()
        };
        match context.client.try_watch(request).await? {
            Ok(_) => return Err(Stop::Failed("a malformed range was watched".to_owned())),
            Err(status) => refused::<()>(Err(status), Reason::Invalid)?,
        };
    }
    Ok(())
}
