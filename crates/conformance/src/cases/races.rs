//! W: concurrent and repeated operations.

use std::time::Duration;

use backend_proto::v1::backend_error::Reason;
use backend_proto::v1::op_result::Verdict;
use backend_proto::v1::{Op, WriteRequest};
use tokio::task::JoinSet;
use tonic::Request;

use super::{Case, case};
use crate::check::{Check, ensure, same};
use crate::context::CaseContext;
use crate::linearize;

/// Concurrent operations on one key.
const RIVALS: usize = 16;

pub(super) const CASES: &[Case] = &[
    case!(
        "W1-one-of-many-creates-wins",
        creates,
        "Of n concurrent creates of one key exactly one succeeds."
    ),
    case!(
        "W2-one-of-many-updates-wins",
        updates,
        "Of n concurrent updates that expect the same revision exactly one succeeds."
    ),
    case!(
        "W3-linearizable",
        linearize::case,
        "Random concurrent histories are linearizable, and watches show them whole and in order."
    ),
    case!(
        "W5-op-id-applies-once",
        op_ids,
        "An operation that was applied and is sent again with its op_id applies nothing and returns \
         its first revision."
    ),
    case!(
        "W5-op-id-names-one-operation",
        op_id_elsewhere,
        "An op_id that was applied to one key is INVALID for another, which stays as it was."
    ),
    case!(
        "W5-concurrent-op-ids-apply-once",
        op_ids_that_meet,
        "The same operation sent many times at once is applied once."
    ),
    case!(
        "W5-deadline-leaves-the-outcome-unknown",
        deadlines,
        "A write whose deadline passed is applied once or not at all, and returns its result by its op_id."
    ),
];

/// Sends operations concurrently on separate connections; returns their verdicts.
async fn race(context: &CaseContext, ops: Vec<Op>) -> Check<Vec<Verdict>> {
    let mut tasks = JoinSet::new();
    for op in ops {
        let client = context.connect();
        tasks.spawn(async move { client.verdict(op).await });
    }
    let verdicts = tasks.join_all().await;
    verdicts.into_iter().collect()
}

fn winners(verdicts: &[Verdict]) -> Vec<i64> {
    let applied = verdicts.iter().filter_map(|verdict| match verdict {
        Verdict::Applied(applied) => Some(applied.revision),
        _ => None,
    });
    applied.collect()
}

async fn creates(context: CaseContext) -> Check {
    for round in 0..5 {
        let path = format!("ns/r{round}");
        let ops = (0..RIVALS).map(|rival| context.create(&path, format!("{rival}")));
        let verdicts = race(&context, ops.collect()).await?;
        let winners = winners(&verdicts);
        same!(winners.len(), 1, "winners of a race of creates");
        let stored = context.client.stored(&context.key(&path)).await?;
        same!(stored.revision, winners[0], "revision after the race");
        for verdict in verdicts {
            if let Verdict::Conflict(conflict) = verdict {
                let current = conflict.current;
                same!(current.as_ref(), Some(&stored), "what a loser was shown");
            }
        }
    }
    Ok(())
}

async fn updates(context: CaseContext) -> Check {
    let mut expected = context
        .client
        .apply(context.create("ns/a", "0"))
        .await?
        .revision;
    for round in 0..5 {
        let value = |rival| format!("{round} {rival}");
        let ops = (0..RIVALS).map(|rival| context.update("ns/a", value(rival), expected));
        let winners = winners(&race(&context, ops.collect()).await?);
        same!(winners.len(), 1, "winners of a race of updates");
        expected = winners[0];
    }
    Ok(())
}

async fn op_ids(context: CaseContext) -> Check {
    let client = &context.client;
    let create = context.create("ns/a", "1");
    let first = client.apply(create.clone()).await?;
    let update = context.update("ns/a", "2", first.revision);
    let second = client.apply(update.clone()).await?;
    // A repeated operation returns its first verdict, even if its expected revision is outdated.
    for (op, due) in [(create.clone(), &first), (update.clone(), &second)] {
        let again = client.apply(op).await?;
        ensure!(
            again.replayed,
            "an op_id sent again is not marked as replayed"
        );
        same!(
            again.revision,
            due.revision,
            "revision of an op_id sent again"
        );
    }
    let stored = client.stored(&context.key("ns/a")).await?;
    same!(stored.value, "2", "value after operations sent again");
    let delete = context.delete("ns/a", second.revision);
    let third = client.apply(delete.clone()).await?;
    client.apply(context.create("ns/a", "3")).await?;
    let again = client.apply(delete).await?;
    ensure!(
        again.replayed,
        "a delete sent again is not marked as replayed"
    );
    same!(
        again.revision,
        third.revision,
        "revision of a delete sent again"
    );
    same!(
        again.deleted,
        third.deleted,
        "deleted record of a delete sent again"
    );
    for op in [create, update] {
        client.apply(op).await?;
    }
    let stored = client.stored(&context.key("ns/a")).await?;
    same!(stored.value, "3", "value after a delete was sent again");
    // Without an op_id, a repetition is not detected.
    let nameless = Op {
        op_id: bytes::Bytes::new(),
        ..context.update("ns/a", "4", 0)
    };
    let fourth = client.apply(nameless.clone()).await?;
    ensure!(!fourth.replayed, "an operation without op_id was replayed");
    client.apply(context.update("ns/a", "5", 0)).await?;
    let fifth = client.apply(nameless).await?;
    ensure!(
        !fifth.replayed && fifth.revision > fourth.revision,
        "an operation without op_id was remembered"
    );
    Ok(())
}

async fn op_id_elsewhere(context: CaseContext) -> Check {
    let first = context.create("ns/a", "1");
    context.client.apply(first.clone()).await?;
    let elsewhere = Op {
        key: Some(context.key("ns/b")),
        ..first
    };
    let error = context.client.refuse(elsewhere).await?;
    same!(
        error.reason(),
        Reason::Invalid,
        "reason over an op_id of another key"
    );
    same!(
        context.client.latest(&context.key("ns/b")).await?,
        None,
        "the other record"
    );
    Ok(())
}

async fn op_ids_that_meet(context: CaseContext) -> Check {
    client_race(&context, context.create("ns/a", "1")).await?;
    client_race(&context, context.update("ns/a", "2", 0)).await?;
    client_race(&context, context.delete("ns/a", 0)).await
}

async fn client_race(context: &CaseContext, op: Op) -> Check {
    let before = context.client.current().await?.revision;
    let verdicts = race(context, vec![op; RIVALS]).await?;
    let revisions = winners(&verdicts);
    same!(revisions.len(), RIVALS, "verdicts APPLIED over one op_id");
    let first = revisions[0];
    ensure!(
        revisions.iter().all(|revision| *revision == first),
        "one op_id has several revisions: {revisions:?}"
    );
    same!(first, before + 1, "revision of the one change");
    same!(
        context.client.current().await?.revision,
        first,
        "current revision after it"
    );
    Ok(())
}

async fn deadlines(context: CaseContext) -> Check {
    let mut unknown = Vec::new();
    for round in 0..100_u64 {
        let op = context.create(&format!("ns/k{round}"), "v".repeat(10_000));
        let mut request = Request::new(WriteRequest {
            ops: vec![op.clone()],
        });
        request.set_timeout(Duration::from_micros(100 + round * 40));
        if context.client.raw().write(request).await.is_err() {
            unknown.push(op);
        }
    }
    for op in unknown {
        let path = op.key.clone().unwrap_or_default();
        let before = context.client.latest(&path).await?;
        let applied = context.client.apply(op.clone()).await?;
        let again = context.client.apply(op).await?;
        same!(
            again.revision,
            applied.revision,
            "revision of an op_id sent again"
        );
        if let Some(before) = before {
            ensure!(applied.replayed, "an operation was applied twice");
            same!(applied.revision, before.revision, "its revision");
        }
    }
    let listed = context.client.list(context.all(0)).await?;
    same!(
        listed.records.len(),
        100,
        "records after all was sent again"
    );
    Ok(())
}
