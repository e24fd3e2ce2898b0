//! V: content of open watches. The rules that hold within any stream are in `stream::rules`; every
//! case with a watch checks them.

use std::time::{Duration, Instant};

use backend_proto::v1::event::Type;
use backend_proto::v1::{Event, Range, WatchRequest};
use tokio::task::JoinSet;

use super::{Case, case};
use crate::background::Workload;
use crate::check::{Check, Stop, ensure, same, some};
use crate::context::{CaseContext, noise};
use crate::replay::Replay;

pub(super) const CASES: &[Case] = &[
    case!(
        "V3-every-change-once-and-in-order",
        reliable,
        "Every watcher sees every acknowledged change after its start, once and in order."
    ),
    case!(
        "V4-a-revision-is-in-one-message",
        atomic,
        "All events of one revision are in one message, also when history is read in pieces."
    ),
    case!(
        "V3-a-long-history-is-complete",
        long,
        "A watch that starts thousands of changes ago, and one that was not read meanwhile, show \
         every change, or fail."
    ),
    case!(
        "V9-a-watch-behind-compaction-fails",
        behind,
        "A watch that is not read until its changes are compacted shows them, or fails; it does not \
         skip them.",
        Compact
    ),
    case!(
        "V6-progress-while-idle",
        progress,
        "An idle watch sends its progress at about the requested interval."
    ),
    case!(
        "V6-progress-includes-changes-outside-the-ranges",
        foreign,
        "Changes outside the ranges advance the progress, and have no other effect."
    ),
    case!(
        "V7-ranges-filter-events",
        filter,
        "A watch shows the events of its ranges, each once even if several ranges contain it."
    ),
    case!(
        "V7-no-range-means-everything",
        everything,
        "A watch without ranges shows every change of the store."
    ),
    case!(
        "V8-events-name-the-replaced-revision",
        kinds,
        "CREATED, UPDATED and DELETED are distinguished, and name the revision they replaced."
    ),
    case!(
        "V13-progress-only-after-its-events",
        honest,
        "A watch sends progress p only after every change up to p."
    ),
];

async fn reliable(context: CaseContext) -> Check {
    let start = context.client.current().await?.revision;
    let mut watchers = JoinSet::new();
    let load = Workload::start(&context, 8);
    for delay in [0, 5, 20, 50] {
        let context = context.clone();
        watchers.spawn(async move {
            tokio::time::sleep(Duration::from_millis(delay)).await;
            let mut watch = context.connect().watch(context.after(start)).await?;
            let last = some(context.client.current().await.ok(), "current")?.revision;
            // Both during the load and after it.
            let mut events = watch.until(last).await?;
            tokio::time::sleep(Duration::from_millis(delay * 4)).await;
            let last = context.client.current().await?.revision;
            events.extend(watch.until(last).await?);
            Ok::<_, Stop>((watch, events))
        });
    }
    let mut due: Vec<i64> = load
        .finish_after(100)
        .await?
        .iter()
        .map(|c| c.revision)
        .collect();
    due.sort_unstable();
    let last = some(due.last().copied(), "a change of the load")?;
    let listed = context.client.list(context.all(0)).await?;
    for watched in watchers.join_all().await {
        let (mut watch, mut events) = watched?;
        events.extend(watch.until(last).await?);
        let observed: Vec<i64> = events.iter().map(|event| event.revision).collect();
        let missing: Vec<_> = due
            .iter()
            .filter(|at| observed.binary_search(at).is_err())
            .collect();
        ensure!(
            missing.is_empty(),
            "V3: acknowledged but never shown: {missing:?}"
        );
        let foreign: Vec<_> = observed
            .iter()
            .filter(|at| due.binary_search(at).is_err())
            .collect();
        ensure!(
            foreign.is_empty(),
            "shown but never acknowledged: {foreign:?}"
        );
        let mut replay = Replay::default();
        replay.apply_all(&events)?;
        replay.matches(&listed.records, "the list at the end of a watch")?;
    }
    Ok(())
}

async fn atomic(context: CaseContext) -> Check {
    let start = context.client.current().await?.revision;
    // More than one message holds, and more than servers typically buffer.
    let mut last = start;
    for number in 0..80 {
        let batch =
            (0..4).map(|part| context.create(&format!("n{part}/k{number}"), "v".repeat(30_000)));
        let revisions = context.client.apply_all(batch.collect()).await?;
        last = revisions.into_iter().max().unwrap_or(last);
    }
    let events = context
        .connect()
        .watch(context.after(start))
        .await?
        .until(last)
        .await?;
    same!(events.len(), 320, "events");
    let mut replay = Replay::default();
    replay.apply_all(&events)
}

async fn long(context: CaseContext) -> Check {
    const CHANGES: usize = 6000;
    // More than queues of events typically hold, and small, so that no limit of bytes is reached.
    let batch = usize::try_from(context.limits().write_ops).map_or(1, |most| most.clamp(1, 200));
    let start = context.client.current().await?.revision;
    let mut unread = context.connect().watch(context.after(start)).await?;
    let created = (0..batch).map(|number| context.create(&format!("n/k{number}"), "0"));
    let mut revisions = context.client.apply_all(created.collect()).await?;
    for round in 1..CHANGES.div_ceil(batch) {
        let ops =
            (0..batch).map(|number| context.update(&format!("n/k{number}"), round.to_string(), 0));
        revisions.extend(context.client.apply_all(ops.collect()).await?);
    }
    revisions.sort_unstable();
    let last = some(revisions.last().copied(), "a change")?;
    let mut late = context.connect().watch(context.after(start)).await?;
    let events = late.until(last).await?;
    let observed: Vec<i64> = events.iter().map(|event| event.revision).collect();
    ensure!(
        observed == revisions,
        "a watch from {start} shows {} of {} changes",
        observed.len(),
        revisions.len()
    );
    // A driver may end a watch that is not read.
    if let Ok(events) = unread.until(last).await {
        same!(events.len(), revisions.len(), "events of an unread watch");
    }
    Ok(())
}

async fn behind(context: CaseContext) -> Check {
    // More than connections buffer, so that the driver is blocked in the middle.
    const CHANGES: usize = 150;
    let start = context.client.current().await?.revision;
    let reader = context.connect();
    let mut unread = reader.watch(context.after(start)).await?;
    let mut due = Vec::with_capacity(CHANGES);
    for number in 0..CHANGES {
        let (path, value) = (format!("n/k{}", number % 10), noise(number as u64, 80_000));
        let op = match number {
            0..10 => context.create(&path, value),
            _ => context.update(&path, value, 0),
        };
        due.push(context.client.apply(op).await?.revision);
    }
    let last = some(due.last().copied(), "a change")?;
    context.client.compact(last).await?;
    // A driver may remove what was compacted later.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let Ok(events) = unread.until(last).await else {
        return Ok(());
    };
    let observed: Vec<i64> = events.iter().map(|event| event.revision).collect();
    ensure!(
        observed == due,
        "a watch behind a compaction shows {} of {CHANGES} changes",
        observed.len()
    );
    Ok(())
}

async fn progress(context: CaseContext) -> Check {
    let mut watch = context.client.watch(context.after(0)).await?;
    let started = Instant::now();
    for _ in 0..3 {
        let message = watch.next().await??;
        ensure!(message.progress, "an event in silence");
    }
    // The requested interval is 100 ms; the rest is slack for busy machines.
    let took = started.elapsed();
    ensure!(
        took < Duration::from_secs(3),
        "three messages of progress took {took:?}"
    );
    Ok(())
}

async fn foreign(context: CaseContext) -> Check {
    let mut watch = context
        .client
        .watch(WatchRequest {
            ranges: vec![context.range_of("watched")],
            ..context.after(0)
        })
        .await?;
    let mut last = 0;
    for number in 0..20 {
        last = context
            .client
            .apply(context.create(&format!("other/{number}"), "v"))
            .await?
            .revision;
    }
    let events = watch.until(last).await?;
    same!(events.len(), 0, "events of another namespace");
    let mine = context
        .client
        .apply(context.create("watched/a", "v"))
        .await?
        .revision;
    let events = watch.until(mine).await?;
    same!(events.len(), 1, "events of the watched namespace");
    Ok(())
}

async fn filter(context: CaseContext) -> Check {
    let start = context.client.current().await?.revision;
    let named = |namespace: &str, name: &str| Range {
        name: Some(name.to_owned()),
        ..context.range_of(namespace)
    };
    let ranges = vec![
        context.range_of("a"),
        named("a", "x"),
        named("b", "x"),
        named("", "c"),
        context.range_of("a"),
    ];
    let request = WatchRequest {
        ranges,
        ..context.after(start)
    };
    let mut live = context.client.watch(request.clone()).await?;
    let (mut due, mut last) = (Vec::new(), start);
    let paths = ["a/x", "a/y", "b/x", "b/y", "c", "x", "a", "a-b/x", "aa/x"];
    for path in paths {
        last = context
            .client
            .apply(context.create(path, "v"))
            .await?
            .revision;
        if ["a/x", "a/y", "b/x", "c"].contains(&path) {
            due.push(last);
        }
    }
    let mut historical = context.connect().watch(request).await?;
    for watch in [&mut live, &mut historical] {
        let events = watch.until(last).await?;
        let observed: Vec<i64> = events.iter().map(|event| event.revision).collect();
        same!(observed, due, "events in the ranges");
    }
    Ok(())
}

async fn everything(context: CaseContext) -> Check {
    let start = context.client.current().await?.revision;
    let mut op = context.create("ns/b", "v");
    if let Some(key) = &mut op.key {
        key.resource = "others".to_owned();
    }
    let first = context
        .client
        .apply(context.create("a", "v"))
        .await?
        .revision;
    let second = context.client.apply(op).await?.revision;
    let request = WatchRequest {
        ranges: Vec::new(),
        ..context.after(start)
    };
    let events = context.client.watch(request).await?.until(second).await?;
    let observed: Vec<i64> = events.iter().map(|event| event.revision).collect();
    ensure!(
        observed.contains(&first) && observed.contains(&second),
        "a watch without ranges saw {observed:?}, not {first} and {second}"
    );
    Ok(())
}

async fn kinds(context: CaseContext) -> Check {
    let client = &context.client;
    let first = client.apply(context.create("ns/a", "1")).await?.revision;
    let second = client.apply(context.update("ns/a", "2", 0)).await?.revision;
    let stored = client.stored(&context.key("ns/a")).await?;
    let third = client.apply(context.delete("ns/a", 0)).await?.revision;
    let fourth = client.apply(context.create("ns/a", "2")).await?.revision;
    let events = client
        .watch(context.after(first - 1))
        .await?
        .until(fourth)
        .await?;
    let brief = |event: &Event| (event.revision, event.r#type(), event.previous_revision);
    let observed: Vec<_> = events.iter().map(brief).collect();
    let due = [
        (first, Type::Created, 0),
        (second, Type::Updated, first),
        (third, Type::Deleted, second),
        (fourth, Type::Created, 0),
    ];
    same!(observed, due, "events of one key");
    same!(
        events[1].record.as_ref(),
        Some(&stored),
        "record of an UPDATED"
    );
    same!(
        events[2].record.as_ref(),
        Some(&stored),
        "record of a DELETED"
    );
    Ok(())
}

async fn honest(context: CaseContext) -> Check {
    let start = context.client.current().await?.revision;
    let load = Workload::start(&context, 4);
    let request = WatchRequest {
        progress_interval_ms: 1,
        ..context.after(start)
    };
    // For each message, the claimed revision and the events received until then.
    let mut watch = context.connect().watch(request).await?;
    let (mut claims, mut observed) = (Vec::new(), Vec::new());
    while claims.len() < 150 && observed.len() < 400 {
        let message = watch.next().await??;
        observed.extend(message.events.iter().map(|event| event.revision));
        claims.push((message.up_to_revision, observed.len()));
    }
    let mut all: Vec<i64> = load
        .finish_after(1)
        .await?
        .iter()
        .map(|c| c.revision)
        .collect();
    all.sort_unstable();
    for (up_to_revision, had) in claims {
        let due = all.partition_point(|revision| *revision <= up_to_revision);
        same!(
            had,
            due,
            "V13: events handed over when progress {up_to_revision} was reported"
        );
    }
    Ok(())
}
