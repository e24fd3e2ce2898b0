//! H: compaction.

use backend_proto::v1::backend_error::Reason;

use super::{Case, case};
use crate::background::Workload;
use crate::check::{Check, refused, same, some};
use crate::context::CaseContext;

pub(super) const CASES: &[Case] = &[
    case!(
        "H1-compaction-keeps-the-current-state",
        keeps,
        "Compaction drops history, never current state, and no revision moves.",
        Compact
    ),
    case!(
        "H2-state-at-the-compact-revision-stays-readable",
        boundary,
        "State at the compact revision and later can be read; below it is COMPACTED.",
        Compact,
        TimeTravel
    ),
    case!(
        "H3-compaction-of-the-future-fails",
        future,
        "Compact above the current revision fails with FUTURE_REVISION and drops nothing.",
        Compact
    ),
    case!(
        "H4-compaction-goes-forward-only",
        forward,
        "Compact at or below the compact revision does nothing.",
        Compact
    ),
    case!(
        "H5-compaction-under-load",
        load,
        "Writers and watchers continue while history is dropped.",
        Compact
    ),
];

async fn keeps(context: CaseContext) -> Check {
    let client = &context.client;
    client.apply(context.create("ns/old", "1")).await?;
    for round in 0..5 {
        client
            .apply(context.create("ns/again", format!("{round}")))
            .await?;
        client.apply(context.delete("ns/again", 0)).await?;
    }
    client.apply(context.create("ns/new", "1")).await?;
    let last = client
        .apply(context.update("ns/new", "2", 0))
        .await?
        .revision;
    let before = client.list(context.all(0)).await?;
    let response = client.compact(last).await?;
    let header = some(response.header, "header of Compact")?;
    same!(header.compact_revision, last, "compact_revision");
    same!(header.revision, last, "revision after compaction");
    let after = client.list(context.all(0)).await?;
    same!(after.records, before.records, "records after compaction");
    same!(
        after.header.compact_revision,
        last,
        "compact_revision in a list's header"
    );
    same!(
        client.latest(&context.key("ns/again")).await?,
        None,
        "a deleted record"
    );
    client
        .apply(context.update("ns/old", "2", before.records[1].revision))
        .await?;
    Ok(())
}

async fn boundary(context: CaseContext) -> Check {
    let client = &context.client;
    let first = client.apply(context.create("ns/a", "1")).await?.revision;
    let second = client.apply(context.update("ns/a", "2", 0)).await?.revision;
    client.apply(context.create("ns/b", "1")).await?;
    let fourth = client.apply(context.delete("ns/b", 0)).await?.revision;
    let mut expected = Vec::new();
    for revision in second..=fourth {
        expected.push(client.list(context.all(revision)).await?.records);
    }
    client.compact(second).await?;
    for (revision, expected) in (second..=fourth).zip(expected) {
        let listed = client.list(context.all(revision)).await?;
        same!(listed.records, expected, "a list at {revision}");
        let key = context.key("ns/a");
        let got = client.get(&key, revision).await?.record;
        same!(got.as_ref(), expected.first(), "a record at {revision}");
    }
    for revision in [first, first - 1, 1] {
        let got = client.get(&context.key("ns/a"), revision).await;
        let error = refused(got, Reason::Compacted)?;
        same!(
            error.compact_revision,
            second,
            "compact_revision of Get's error"
        );
        let listed = client.try_list(context.all(revision)).await?;
        let error = refused(listed, Reason::Compacted)?;
        same!(
            error.compact_revision,
            second,
            "compact_revision of List's error"
        );
    }
    Ok(())
}

async fn future(context: CaseContext) -> Check {
    let client = &context.client;
    let current = client.apply(context.create("ns/a", "1")).await?.revision;
    let before = client.current().await?;
    let error = refused(client.compact(current + 1).await, Reason::FutureRevision)?;
    same!(
        error.current_revision,
        current,
        "current_revision of the error"
    );
    same!(
        client.current().await?,
        before,
        "header after a refused compaction"
    );
    Ok(())
}

async fn forward(context: CaseContext) -> Check {
    let client = &context.client;
    let first = client.apply(context.create("ns/a", "1")).await?.revision;
    let second = client.apply(context.update("ns/a", "2", 0)).await?.revision;
    client.compact(second).await?;
    for revision in [second, first, 1] {
        let response = client.compact(revision).await?;
        let header = some(response.header, "header of Compact")?;
        same!(
            header.compact_revision,
            second,
            "compact_revision after Compact {revision}"
        );
    }
    Ok(())
}

async fn load(context: CaseContext) -> Check {
    let start = context.client.current().await?.revision;
    let mut watch = context.connect().watch(context.after(start)).await?;
    let load = Workload::start(&context, 4);
    let mut observed = Vec::new();
    for _ in 0..20 {
        let message = watch.next().await??;
        observed.extend(message.events.iter().map(|event| event.revision));
        context.client.compact(watch.up_to_revision()).await?;
    }
    let mut expected: Vec<i64> = load
        .finish_after(30)
        .await?
        .iter()
        .map(|c| c.revision)
        .collect();
    expected.sort_unstable();
    let last = some(expected.last().copied(), "a change of the load")?;
    let rest = watch.until(last).await?;
    observed.extend(rest.iter().map(|event| event.revision));
    same!(observed, expected, "changes seen while history was dropped");
    Ok(())
}
