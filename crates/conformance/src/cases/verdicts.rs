//! W: requests with several operations, and operations that are invalid in any state.

use backend_proto::v1::Op;
use backend_proto::v1::backend_error::{Outcome, Reason};
use backend_proto::v1::op_result::Verdict;

use super::{Case, case};
use crate::check::{Check, ensure, refused, same};
use crate::context::{CaseContext, noise};

/// Upper bound of operations per request, even if a driver allows more.
const MOST_OPS: i64 = 10_000;

pub(super) const CASES: &[Case] = &[
    case!(
        "W8-verdicts-are-independent",
        independent,
        "Every operation of a request has its own verdict, in order; a rejected one does not affect the others."
    ),
    case!(
        "W9-one-key-in-request-order",
        same_key,
        "Two operations on the same key in one request apply in the order given."
    ),
    case!(
        "W10-operations-above-the-limit",
        too_many,
        "A request with more operations than Describe allows is TOO_LARGE, and nothing is stored."
    ),
    case!(
        "W11-malformed-operation-is-invalid",
        malformed,
        "An operation without a key, a name or an action, with a slash or a zero byte in its key, \
         or with an op_id that has not 16 bytes, is INVALID, alone."
    ),
    case!(
        "W12-keys-up-to-their-limits",
        keys,
        "Parts of a key up to their limits are accepted; longer ones are TOO_LARGE."
    ),
];

async fn independent(context: CaseContext) -> Check {
    let client = &context.client;
    client.apply(context.create("ns/there", "1")).await?;
    let nameless = Op {
        key: Some(context.key("ns/")),
        ..context.create("ns/x", "1")
    };
    let batch = vec![
        context.create("ns/a", "1"),
        context.create("ns/there", "2"),
        context.update("ns/there", "3", 0),
        nameless,
        context.delete("ns/never", 0),
        context.create("ns/b", "1"),
    ];
    let verdicts = client.verdicts(batch).await?;
    let kinds: Vec<&str> = verdicts
        .iter()
        .map(|verdict| match verdict {
            Verdict::Applied(_) => "applied",
            Verdict::Conflict(_) => "conflict",
            Verdict::Refused(_) => "refused",
        })
        .collect();
    let expected = [
        "applied", "conflict", "applied", "refused", "conflict", "applied",
    ];
    same!(kinds, expected, "verdicts");
    for (path, value) in [("ns/a", "1"), ("ns/there", "3"), ("ns/b", "1")] {
        same!(
            client.stored(&context.key(path)).await?.value,
            value,
            "value of {path}"
        );
    }
    Ok(())
}

async fn same_key(context: CaseContext) -> Check {
    let client = &context.client;
    let batch = vec![
        context.create("ns/a", "1"),
        context.create("ns/b", "1"),
        context.update("ns/a", "2", 0),
        context.delete("ns/a", 0),
        context.create("ns/a", "3"),
        context.update("ns/a", "4", 0),
        context.delete("ns/b", 0),
    ];
    let revisions = client.apply_all(batch).await?;
    let of_a: Vec<i64> = [0, 2, 3, 4, 5].iter().map(|&at| revisions[at]).collect();
    ensure!(
        of_a.is_sorted_by(|a, b| a < b),
        "revisions of one key: {of_a:?}"
    );
    let stored = client.stored(&context.key("ns/a")).await?;
    same!(
        (stored.value, stored.revision),
        ("4".into(), of_a[4]),
        "the last value"
    );
    same!(stored.create_revision, of_a[3], "create_revision");
    same!(
        client.latest(&context.key("ns/b")).await?,
        None,
        "the record deleted last"
    );
    Ok(())
}

async fn too_many(context: CaseContext) -> Check {
    let most = context.limits().write_ops;
    let make = |count: i64| -> Vec<Op> {
        let numbers = 0..count;
        numbers
            .map(|number| context.create(&format!("ns/n{number:05}"), "v"))
            .collect()
    };
    if most > MOST_OPS {
        return Err(crate::check::Stop::Skipped(format!(
            "{most} operations are allowed"
        )));
    }
    refused(context.client.write(make(most + 1)).await, Reason::TooLarge)?;
    let listed = context.client.list(context.all(0)).await?;
    same!(listed.records.len(), 0, "records after a refused request");
    let revisions = context.client.apply_all(make(most)).await?;
    ensure!(
        revisions.is_sorted_by(|a, b| a < b),
        "revisions are not in order of operations"
    );
    Ok(())
}

async fn malformed(context: CaseContext) -> Check {
    let good = context.create("ns/a", "1");
    let bad = [
        Op {
            key: None,
            ..good.clone()
        },
        Op {
            action: 0,
            ..good.clone()
        },
        context.create("ns/", "1"),
        context.create("ns/a/b", "1"),
        context.create("ns/a\0", "1"),
    ];
    let ids = [1, 15, 17, 5000].map(|length| Op {
        op_id: noise(4, length),
        ..good.clone()
    });
    let bad: Vec<Op> = bad.into_iter().chain(ids).collect();
    for op in &bad {
        let error = context.client.refuse(op.clone()).await?;
        same!(error.reason(), Reason::Invalid, "reason over {op:?}");
        same!(
            error.outcome(),
            Outcome::NotApplied,
            "outcome of a refused operation"
        );
    }
    let listed = context.client.list(context.all(0)).await?;
    same!(listed.records.len(), 0, "records after refused operations");
    let batch: Vec<Op> = bad.into_iter().chain([good]).collect();
    let verdicts = context.client.verdicts(batch).await?;
    ensure!(
        matches!(verdicts.last(), Some(Verdict::Applied(_))),
        "malformed operations affected the other operation"
    );
    Ok(())
}

async fn keys(context: CaseContext) -> Check {
    let client = &context.client;
    let long = format!("{}/{}", "n".repeat(63), "x".repeat(253));
    client.apply(context.create(&long, "1")).await?;
    same!(
        client.stored(&context.key(&long)).await?.value,
        "1",
        "value under a long key"
    );
    let listed = client.list(context.all(0)).await?;
    same!(listed.records.len(), 1, "records under long keys");
    for path in [
        format!("ns/{}", "x".repeat(254)),
        format!("{}/x", "n".repeat(64)),
    ] {
        let error = client.refuse(context.create(&path, "1")).await?;
        same!(error.reason(), Reason::TooLarge, "reason over a long key");
    }
    let mut op = context.create("ns/a", "1");
    if let Some(key) = &mut op.key {
        key.group = "g".repeat(254);
    }
    let error = client.refuse(op).await?;
    same!(error.reason(), Reason::TooLarge, "reason over a long group");
    Ok(())
}
