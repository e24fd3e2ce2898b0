//! R: revisions.

use std::collections::BTreeSet;

use super::{Case, case};
use crate::background::Workload;
use crate::check::{Check, Stop, ensure, same, some};
use crate::context::CaseContext;
use crate::replay::state_at;

pub(super) const CASES: &[Case] = &[
    case!(
        "R1-revisions-increase",
        increase,
        "Every change has one revision greater than that of every change committed before it."
    ),
    case!(
        "R1-conflicts-use-no-revision",
        losers,
        "An operation that is not applied leaves the current revision unchanged."
    ),
    case!(
        "R2-a-snapshot-holds-everything-below",
        snapshots,
        "A reader that sees revision r sees every change up to r, and none above."
    ),
    case!(
        "R3-current-revision-never-decreases",
        current,
        "CurrentRevision is not below any revision returned to any caller before the call."
    ),
    case!(
        "R4-no-revision-is-used-twice",
        reuse,
        "A revision is never used again, even after compaction dropped the change that had it.",
        Compact
    ),
];

async fn increase(context: CaseContext) -> Check {
    let mut last = context.client.current().await?.revision;
    for round in 0..10 {
        let names = (0..8).map(|number| context.create(&format!("ns/r{round}-{number}"), "v"));
        let revisions = context.client.apply_all(names.collect()).await?;
        for revision in revisions {
            ensure!(revision > last, "{revision} was given after {last}");
            last = revision;
        }
    }
    // Under load: a revision acknowledged before an operation was sent is below that operation's
    // revision.
    let load = Workload::start(&context, 8);
    let mut observed = BTreeSet::new();
    for change in load.finish_after(40).await? {
        ensure!(
            change.revision > change.known,
            "{} was given although {} was known before",
            change.revision,
            change.known
        );
        ensure!(
            observed.insert(change.revision),
            "R4: {} was given twice",
            change.revision
        );
    }
    Ok(())
}

async fn losers(context: CaseContext) -> Check {
    let client = &context.client;
    let first = client.apply(context.create("ns/a", "1")).await?.revision;
    let before = client.current().await?.revision;
    client.conflict(context.create("ns/a", "2")).await?;
    client
        .conflict(context.update("ns/a", "2", first - 1))
        .await?;
    client.conflict(context.delete("ns/a", first - 1)).await?;
    client.conflict(context.delete("ns/missing", 0)).await?;
    same!(
        client.current().await?.revision,
        before,
        "current revision after losers"
    );
    let batch = vec![
        context.create("ns/b", "1"),
        context.create("ns/a", "2"),
        context.create("ns/c", "1"),
    ];
    client.write(batch).await?;
    let (b, c) = (context.key("ns/b"), context.key("ns/c"));
    let (b, c) = (client.stored(&b).await?, client.stored(&c).await?);
    same!(
        c.revision,
        b.revision + 1,
        "revision after a loser in the same request"
    );
    Ok(())
}

async fn snapshots(context: CaseContext) -> Check {
    let start = context.client.current().await?.revision;
    let load = Workload::start(&context, 6);
    load.reach(4).await?;
    let reader = context.connect();
    let mut lists = Vec::new();
    while lists.len() < 30 {
        lists.push(reader.list(context.all(0)).await?);
    }
    load.finish_after(40).await?;
    let end = context.client.current().await?.revision;
    let mut watch = context.connect().watch(context.after(start)).await?;
    let events = watch.until(end).await?;
    for listed in lists {
        let revision = listed.header.revision;
        let expected = state_at(&events, revision)?;
        expected.matches(&listed.records, &format!("a list at revision {revision}"))?;
    }
    Ok(())
}

async fn current(context: CaseContext) -> Check {
    let load = Workload::start(&context, 4);
    let (one, other) = (context.connect(), context.connect());
    let mut known = 0;
    for round in 0..200 {
        let client = if round % 2 == 0 { &one } else { &other };
        let header = client.current().await?;
        ensure!(
            header.revision >= known,
            "current revision {} is below the observed {known}",
            header.revision
        );
        known = header.revision;
        // Reads return revisions too; CurrentRevision must not return less afterwards.
        let message = match round % 3 {
            0 => Some(client.list(context.all(0)).await?.header),
            1 => client.get(&context.key("w0/k0"), 0).await?.header,
            _ => None,
        };
        known = known.max(message.map_or(0, |header| header.revision));
        if round % 50 == 25 {
            // A driver that rejects compaction fails in another case.
            let _ = client.compact(known).await;
        }
    }
    let message = load.finish_after(20).await?;
    let newest = message.iter().map(|change| change.revision).max();
    let newest = some(newest, "a change of the load")?;
    let end = one.current().await?.revision;
    ensure!(
        end >= newest.max(known),
        "current revision {end} at the end"
    );
    Ok(())
}

async fn reuse(context: CaseContext) -> Check {
    let client = &context.client;
    let mut given = BTreeSet::new();
    for round in 0..3 {
        let created = client
            .apply(context.create("ns/a", format!("{round}")))
            .await?;
        let deleted = client.apply(context.delete("ns/a", 0)).await?;
        // The newest change of the store is a delete, whose row compaction removes.
        client.compact(deleted.revision).await.map_err(Stop::from)?;
        let current = client.current().await?.revision;
        ensure!(
            current >= deleted.revision,
            "R3: current revision {current} after {} was compacted",
            deleted.revision
        );
        for revision in [created.revision, deleted.revision] {
            ensure!(given.insert(revision), "{revision} was given twice");
        }
    }
    Ok(())
}
