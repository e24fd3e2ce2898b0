//! W: preconditions of operations, and the verdicts of losers.

use backend_proto::v1::Index;
use backend_proto::v1::op_result::Verdict;
use backend_proto::v1::op_result::conflict::Cause;

use super::{Case, case};
use crate::check::{Check, ensure, same, some};
use crate::context::CaseContext;

pub(super) const CASES: &[Case] = &[
    case!(
        "W1-create-only-if-absent",
        create,
        "Create succeeds only if the key does not exist; else it returns the stored record."
    ),
    case!(
        "W1-create-after-delete-makes-a-new-record",
        recreate,
        "A key that was deleted can be created again, with a new create_revision."
    ),
    case!(
        "W2-update-expects-its-revision",
        update,
        "Update with an expected revision succeeds only if it is the stored one."
    ),
    case!(
        "W2-delete-expects-its-revision",
        delete,
        "Delete with an expected revision succeeds only if it is the stored one."
    ),
    case!(
        "W2-missing-key-is-not-found",
        missing,
        "Update and delete of a key that does not exist are conflicts NOT_FOUND without a record."
    ),
    case!(
        "W4-noop-writes-nothing",
        noop,
        "An update with the stored bytes writes nothing and has no event."
    ),
    case!(
        "W6-uid-precondition",
        uid,
        "An expected uid is compared with that of the stored record."
    ),
    case!(
        "W6-delete-returns-the-last-state",
        last_state,
        "Delete returns the record as it was."
    ),
];

async fn create(context: CaseContext) -> Check {
    let client = &context.client;
    let first = client.apply(context.create("ns/a", "1")).await?;
    ensure!(
        !first.noop && !first.replayed,
        "a first create is {first:?}"
    );
    let conflict = client.conflict(context.create("ns/a", "2")).await?;
    same!(conflict.cause(), Cause::Exists, "cause");
    let current = some(conflict.current, "the stored record")?;
    same!(
        current.revision,
        first.revision,
        "revision of the record in the way"
    );
    same!(current.value, "1", "value of the record in the way");
    let stored = client.stored(&context.key("ns/a")).await?;
    same!(stored, current, "the stored record after a loser");
    same!(stored.create_revision, first.revision, "create_revision");
    // The same name in another namespace is another key.
    client.apply(context.create("other/a", "1")).await?;
    client.apply(context.create("a", "1")).await?;
    Ok(())
}

async fn recreate(context: CaseContext) -> Check {
    let client = &context.client;
    let first = client.apply(context.create("ns/a", "1")).await?;
    client.apply(context.update("ns/a", "2", 0)).await?;
    let updated = client.stored(&context.key("ns/a")).await?;
    same!(
        updated.create_revision,
        first.revision,
        "create_revision after an update"
    );
    client.apply(context.delete("ns/a", 0)).await?;
    let second = client.apply(context.create("ns/a", "3")).await?;
    let stored = client.stored(&context.key("ns/a")).await?;
    same!(
        stored.create_revision,
        second.revision,
        "create_revision of the second life"
    );
    same!(stored.value, "3", "value");
    Ok(())
}

async fn update(context: CaseContext) -> Check {
    let client = &context.client;
    let first = client.apply(context.create("ns/a", "1")).await?.revision;
    let second = client
        .apply(context.update("ns/a", "2", first))
        .await?
        .revision;
    for wrong in [first, second + 1, first - 1] {
        let conflict = client.conflict(context.update("ns/a", "3", wrong)).await?;
        same!(conflict.cause(), Cause::Revision, "cause");
        let current = some(conflict.current, "the stored record")?;
        same!(
            (current.revision, current.value),
            (second, "2".into()),
            "the record in the way"
        );
    }
    // A wrong expected revision is a conflict even if the stored value is the same.
    let conflict = client.conflict(context.update("ns/a", "2", first)).await?;
    same!(
        conflict.cause(),
        Cause::Revision,
        "cause of a no-op with a wrong expectation"
    );
    same!(
        client.stored(&context.key("ns/a")).await?.value,
        "2",
        "value after losers"
    );
    let any = client.apply(context.update("ns/a", "4", 0)).await?;
    same!(
        client.stored(&context.key("ns/a")).await?.revision,
        any.revision,
        "revision"
    );
    Ok(())
}

async fn delete(context: CaseContext) -> Check {
    let client = &context.client;
    let first = client.apply(context.create("ns/a", "1")).await?.revision;
    let second = client.apply(context.update("ns/a", "2", 0)).await?.revision;
    let conflict = client.conflict(context.delete("ns/a", first)).await?;
    same!(conflict.cause(), Cause::Revision, "cause");
    let current = some(conflict.current, "the stored record")?;
    same!(
        current.revision,
        second,
        "revision of the record in the way"
    );
    ensure!(
        client.latest(&context.key("ns/a")).await?.is_some(),
        "a loser deleted"
    );
    let gone = client.apply(context.delete("ns/a", second)).await?;
    ensure!(
        gone.revision > second,
        "a delete has no revision of its own"
    );
    same!(
        client.latest(&context.key("ns/a")).await?,
        None,
        "the record after its delete"
    );
    Ok(())
}

async fn missing(context: CaseContext) -> Check {
    let client = &context.client;
    let gone = client.apply(context.create("ns/gone", "1")).await?.revision;
    client.apply(context.delete("ns/gone", gone)).await?;
    for path in ["ns/never", "ns/gone"] {
        let ops = [
            context.update(path, "1", 0),
            context.update(path, "1", gone),
            context.delete(path, 0),
            context.delete(path, gone),
        ];
        for op in ops {
            let conflict = client.conflict(op).await?;
            same!(conflict.cause(), Cause::NotFound, "cause at {path}");
            same!(conflict.current, None, "record in the way at {path}");
        }
        same!(client.latest(&context.key(path)).await?, None, "{path}");
    }
    Ok(())
}

async fn noop(context: CaseContext) -> Check {
    let client = &context.client;
    let first = client.apply(context.create("ns/a", "same")).await?.revision;
    let before = client.current().await?.revision;
    for expected in [0, first] {
        let again = client
            .apply(context.update("ns/a", "same", expected))
            .await?;
        ensure!(again.noop, "an update with the stored bytes is no no-op");
        same!(again.revision, first, "revision of a no-op");
    }
    same!(
        client.current().await?.revision,
        before,
        "current revision after no-ops"
    );
    let last = client
        .apply(context.update("ns/a", "other", 0))
        .await?
        .revision;
    let events = client
        .watch(context.after(first))
        .await?
        .until(last)
        .await?;
    let revisions: Vec<i64> = events.iter().map(|event| event.revision).collect();
    same!(revisions, [last], "events after no-ops");
    Ok(())
}

async fn uid(context: CaseContext) -> Check {
    let client = &context.client;
    let mut create = context.create("ns/a", "1");
    create.index = Some(Index {
        uid: "uid-1".to_owned(),
        ..Index::default()
    });
    let index = create.index.clone();
    client.apply(create).await?;
    let ops = || [context.update("ns/a", "2", 0), context.delete("ns/a", 0)];
    for mut op in ops() {
        op.expected_uid = "uid-2".to_owned();
        let conflict = client.conflict(op).await?;
        same!(conflict.cause(), Cause::Uid, "cause");
        let current = some(conflict.current, "the stored record")?;
        same!(current.index, index, "index of the record in the way");
    }
    for mut op in ops() {
        op.expected_uid = "uid-1".to_owned();
        op.index.clone_from(&index);
        client.apply(op).await?;
    }
    same!(
        client.latest(&context.key("ns/a")).await?,
        None,
        "the record after its delete"
    );
    Ok(())
}

async fn last_state(context: CaseContext) -> Check {
    let client = &context.client;
    client.apply(context.create("ns/a", "1")).await?;
    client.apply(context.update("ns/a", "2", 0)).await?;
    let stored = client.stored(&context.key("ns/a")).await?;
    let verdict = client.verdict(context.delete("ns/a", 0)).await?;
    let Verdict::Applied(applied) = verdict else {
        return Err(crate::check::Stop::Failed(
            "a delete was not applied".to_owned(),
        ));
    };
    same!(applied.deleted, Some(stored), "the deleted record");
    let update = client.apply(context.create("ns/a", "3")).await?;
    same!(update.deleted, None, "the deleted record of a create");
    Ok(())
}
