//! L: reads at the latest and at past revisions.

use backend_proto::v1::backend_error::Reason;
use backend_proto::v1::{GetRequest, Key, ListRequest, Range};

use super::{Case, case};
use crate::check::{Check, ensure, refused, same};
use crate::client::timed;
use crate::context::CaseContext;
use crate::replay::state_at;

pub(super) const CASES: &[Case] = &[
    case!(
        "L1-reads-see-every-acknowledged-write",
        latest,
        "A read is at least as new as any write acknowledged before it began, on any connection."
    ),
    case!(
        "L4-get-at-a-revision",
        get_at,
        "Get at a retained revision returns the record as it was then.",
        TimeTravel
    ),
    case!(
        "L4-list-at-a-revision",
        list_at,
        "List at a retained revision returns the state of exactly that revision.",
        TimeTravel
    ),
    case!(
        "L4-reads-of-the-future-fail",
        future,
        "Get and List above the current revision fail with FUTURE_REVISION and the current one."
    ),
    case!(
        "L9-malformed-reads-are-invalid",
        malformed,
        "A read that names no key or no resource, or what no key can be, is INVALID, never an empty \
         answer, and never that of another key."
    ),
];

async fn latest(context: CaseContext) -> Check {
    let reader = context.connect();
    let mut revision = context
        .client
        .apply(context.create("ns/a", "0"))
        .await?
        .revision;
    for round in 1..50 {
        revision = context
            .client
            .apply(context.update("ns/a", format!("{round}"), revision))
            .await?
            .revision;
        let response = reader.get(&context.key("ns/a"), 0).await?;
        let observed = response.record.map(|record| record.revision);
        same!(observed, Some(revision), "revision that Get sees");
        let header = response.header.unwrap_or_default();
        ensure!(
            header.revision >= revision,
            "Get's header is behind its record"
        );
        let listed = reader.list(context.all(0)).await?;
        same!(
            listed.records[0].revision,
            revision,
            "revision that List sees"
        );
        ensure!(
            listed.header.revision >= revision,
            "R7: a list's revision is below its item's"
        );
        let current = reader.current().await?;
        ensure!(current.revision >= revision, "CurrentRevision is behind");
    }
    Ok(())
}

/// Makes changes of three keys; returns the revision before the first and that of the last.
async fn changes(context: &CaseContext) -> Check<(i64, i64)> {
    let client = &context.client;
    let before = client.current().await?.revision;
    let mut last = before;
    for round in 0..6 {
        for name in ["ns/a", "ns/b", "c"] {
            let value = format!("{round}");
            let op = match (round, name) {
                (0, _) => context.create(name, value),
                (2, "ns/b") => context.delete(name, 0),
                (3, "ns/b") => context.create(name, value),
                (5, "c") => context.delete(name, 0),
                _ => context.update(name, value, 0),
            };
            last = client.apply(op).await?.revision;
        }
    }
    Ok((before, last))
}

async fn get_at(context: CaseContext) -> Check {
    let (before, last) = changes(&context).await?;
    let events = context
        .client
        .watch(context.after(before))
        .await?
        .until(last)
        .await?;
    for revision in before..=last {
        let expected = state_at(&events, revision)?;
        for path in ["ns/a", "ns/b", "c"] {
            let response = context.client.get(&context.key(path), revision).await?;
            same!(
                response.record.as_ref(),
                expected.get(path),
                "{path} at revision {revision}"
            );
        }
    }
    Ok(())
}

async fn list_at(context: CaseContext) -> Check {
    let (before, last) = changes(&context).await?;
    let events = context
        .client
        .watch(context.after(before))
        .await?
        .until(last)
        .await?;
    for revision in before..=last {
        let listed = context.client.list(context.all(revision)).await?;
        same!(
            listed.header.revision,
            revision,
            "revision in the header of a list"
        );
        let expected = state_at(&events, revision)?;
        expected.matches(&listed.records, &format!("a list at revision {revision}"))?;
    }
    Ok(())
}

async fn future(context: CaseContext) -> Check {
    let current = context
        .client
        .apply(context.create("ns/a", "1"))
        .await?
        .revision;
    for ahead in [1, 1 << 30, 1 << 45] {
        let requested = current + ahead;
        let got = context.client.get(&context.key("ns/a"), requested).await;
        let error = refused(got, Reason::FutureRevision)?;
        same!(
            error.current_revision,
            current,
            "current_revision of Get's error"
        );
        let listed = context.client.try_list(context.all(requested)).await?;
        let error = refused(listed, Reason::FutureRevision)?;
        same!(
            error.current_revision,
            current,
            "current_revision of List's error"
        );
    }
    Ok(())
}

async fn malformed(context: CaseContext) -> Check {
    let mut raw = context.client.raw();
    let keyless = GetRequest {
        key: None,
        revision: 0,
    };
    refused(raw.get(timed(keyless)).await, Reason::Invalid)?;
    let nameless = Range {
        name: Some("a".to_owned()),
        ..context.range()
    };
    let nowhere = Range {
        resource: String::new(),
        ..context.range()
    };
    context.client.apply(context.create("ns/a", "1")).await?;
    for key in impossible(&context) {
        refused(context.client.get(&key, 0).await, Reason::Invalid)?;
        let after = ListRequest {
            after: Some(key.clone()),
            ..context.all(0)
        };
        refused(context.client.try_list(after).await?, Reason::Invalid)?;
        let request = ListRequest {
            range: Some(range_of(key)),
            ..ListRequest::default()
        };
        refused(context.client.try_list(request).await?, Reason::Invalid)?;
    }
    for range in [None, Some(nameless), Some(nowhere)] {
        let request = ListRequest {
            range,
            ..ListRequest::default()
        };
        refused(context.client.try_list(request).await?, Reason::Invalid)?;
    }
    let negative = ListRequest {
        limit: -1,
        ..context.all(0)
    };
    refused(context.client.try_list(negative).await?, Reason::Invalid)?;
    Ok(())
}

/// Invalid keys; the first has the same path as `ns/a`.
pub(super) fn impossible(context: &CaseContext) -> Vec<Key> {
    let whole = Key {
        namespace: String::new(),
        name: "ns/a".to_owned(),
        ..context.key("ns/a")
    };
    let mut keys = vec![whole, context.key("ns/a\0"), context.key("ns\0/a")];
    for spoilt in ["\0", "/"] {
        let mut key = context.key("ns/a");
        key.group.push_str(spoilt);
        keys.push(key);
        let mut key = context.key("ns/a");
        key.resource.push_str(spoilt);
        keys.push(key);
    }
    keys
}

/// Range of exactly one key.
pub(super) fn range_of(key: Key) -> Range {
    Range {
        group: key.group,
        resource: key.resource,
        namespace: Some(key.namespace),
        name: Some(key.name),
    }
}
