//! B: reads return what was written.

use std::collections::HashMap;

use backend_proto::v1::backend_error::Reason;
use backend_proto::v1::describe_response::Capability;
use backend_proto::v1::op_result::Verdict;
use backend_proto::v1::{Event, ExportRequest, Index, Origin, Record};
use bytes::Bytes;

use super::moves::Export;
use super::{Case, case};
use crate::check::{Check, Stop, ensure, same, some};
use crate::context::{CaseContext, ORIGINS, noise};

pub(super) const CASES: &[Case] = &[
    case!(
        "B1-values-are-binary-exact",
        exact,
        "A value comes back byte for byte from Get, List and Watch."
    ),
    case!(
        "B2-the-largest-value",
        largest,
        "A value of the size that Describe allows is stored and comes back everywhere."
    ),
    case!(
        "B3-a-value-above-the-limit",
        too_large,
        "A value above the limit is refused as TOO_LARGE, alone."
    ),
    case!(
        "B4-index-comes-back",
        index,
        "The index comes back unchanged."
    ),
    case!(
        "B5-times-and-actor",
        times,
        "created_at is kept by updates, updated_at does not lie before it, and events name the \
         actor."
    ),
    case!(
        "B6-origins",
        origins,
        "Events name the field manager, the verb and the subresource of the request, as far as it \
         gave them; since minor version 3."
    ),
];

/// Returns the record of a path from Get, from List and from its event.
async fn everywhere(context: &CaseContext, path: &str) -> Check<[Record; 3]> {
    let client = &context.client;
    let stored = client.stored(&context.key(path)).await?;
    let listed = client.list(context.all(0)).await?;
    let mut records = listed.records.into_iter();
    let listed = records.find(|record| record.key == stored.key);
    let event = event(context, stored.revision).await?;
    Ok([
        stored,
        some(listed, "a record in its list")?,
        some(event.record, "record of an event")?,
    ])
}

async fn event(context: &CaseContext, revision: i64) -> Check<Event> {
    let mut watch = context.connect().watch(context.after(revision - 1)).await?;
    let mut events = watch.until(revision).await?.into_iter();
    some(events.find(|event| event.revision == revision), "an event")
}

async fn exact(context: CaseContext) -> Check {
    let values: [Bytes; 8] = [
        Bytes::new(),
        (0..=255).collect(),
        Bytes::from_static(b"{\"a\":\"x\\u0000y\",\"raw\":\"x\0y\",\"n\":9007199254740993}"),
        Bytes::from_static(b"{\"max\":18446744073709551615,\"f\":1e400,\"z\":-0.0}"),
        Bytes::from_static("\u{feff}{\"é\":\"\u{1f980}\",\"s\":\"  \r\n\"}".as_bytes()),
        // Fixed-width columns and parsers of text trim these.
        Bytes::from_static(b" \t{\"a\":1} \r\n"),
        Bytes::from_static(b"\0{}\0\0"),
        noise(1, 100_000),
    ];
    for (number, value) in values.iter().enumerate() {
        let path = format!("ns/v{number}");
        context
            .client
            .apply(context.create(&path, value.clone()))
            .await?;
        for (record, from) in everywhere(&context, &path)
            .await?
            .iter()
            .zip(["Get", "List", "Watch"])
        {
            ensure!(record.value == value, "{from} changed value {number}");
        }
    }
    // The empty value is a value: replacing another one by it is a change.
    let before = context.client.stored(&context.key("ns/v1")).await?.revision;
    let applied = context.client.apply(context.update("ns/v1", "", 0)).await?;
    ensure!(
        !applied.noop && applied.revision > before,
        "an empty value was taken for a no-op"
    );
    Ok(())
}

async fn largest(context: CaseContext) -> Check {
    let most = usize::try_from(context.limits().value_bytes).unwrap_or(0);
    let value = noise(2, most);
    context
        .client
        .apply(context.create("ns/big", value.clone()))
        .await?;
    for (record, from) in everywhere(&context, "ns/big")
        .await?
        .iter()
        .zip(["Get", "List", "Watch"])
    {
        ensure!(record.value == value, "{from} changed the largest value");
    }
    let gone = context.client.apply(context.delete("ns/big", 0)).await?;
    let deleted = some(gone.deleted, "the deleted record")?;
    ensure!(deleted.value == value, "delete changed the largest value");
    Ok(())
}

async fn too_large(context: CaseContext) -> Check {
    let limits = context.limits();
    let most = usize::try_from(limits.value_bytes).unwrap_or(0);
    if limits.write_bytes <= limits.value_bytes {
        // The whole request exceeds the limit.
        let op = context.create("ns/big", noise(3, most + 1));
        crate::check::refused(context.client.write(vec![op]).await, Reason::TooLarge)?;
        return Ok(());
    }
    let batch = vec![
        context.create("ns/big", noise(3, most + 1)),
        context.create("ns/small", "1"),
    ];
    let verdicts = context.client.verdicts(batch).await?;
    let Verdict::Refused(error) = &verdicts[0] else {
        return Err(Stop::Failed(
            "a value above the limit was not refused".to_owned(),
        ));
    };
    same!(
        error.reason(),
        Reason::TooLarge,
        "reason over a large value"
    );
    ensure!(
        matches!(verdicts[1], Verdict::Applied(_)),
        "it affected the other operation"
    );
    same!(
        context.client.latest(&context.key("ns/big")).await?,
        None,
        "the refused record"
    );
    Ok(())
}

async fn index(context: CaseContext) -> Check {
    let pairs = |prefix: &str| -> HashMap<String, String> {
        let numbers = 0..20;
        numbers
            .map(|n| (format!("{prefix}/{n}"), format!("é {n}")))
            .collect()
    };
    let index = Index {
        uid: "0c8a35b4-0000-4000-8000-000000000001".to_owned(),
        labels: pairs("app.kubernetes.io"),
        fields: pairs(".spec"),
        owner_uids: vec!["b".to_owned(), "a".to_owned()],
    };
    let mut op = context.create("ns/a", "1");
    op.index = Some(index.clone());
    context.client.apply(op).await?;
    for record in everywhere(&context, "ns/a").await? {
        same!(record.index.as_ref(), Some(&index), "index");
    }
    Ok(())
}

async fn times(context: CaseContext) -> Check {
    let order = |time: &Option<prost_types::Timestamp>| {
        time.as_ref().map(|time| (time.seconds, time.nanos))
    };
    context.client.apply(context.create("ns/a", "1")).await?;
    let first = context.client.stored(&context.key("ns/a")).await?;
    ensure!(order(&first.created_at) > Some((0, 0)), "no created_at");
    let mut op = context.update("ns/a", "2", 0);
    op.actor = format!("{}é", "u".repeat(255));
    context.client.apply(op).await?;
    for record in everywhere(&context, "ns/a").await? {
        same!(
            record.created_at,
            first.created_at,
            "created_at after an update"
        );
        ensure!(
            order(&record.updated_at) >= order(&record.created_at),
            "updated_at lies before created_at"
        );
    }
    let updated = context.client.stored(&context.key("ns/a")).await?;
    let event = event(&context, updated.revision).await?;
    ensure!(event.time.is_some(), "an event without its time");
    // Up to 256 bytes are stored, cut at a character boundary.
    same!(event.actor, "u".repeat(255), "actor of an event");
    Ok(())
}

async fn origins(context: CaseContext) -> Check {
    if !context.has_origins() {
        let sentence = format!("the driver speaks no minor version {ORIGINS}");
        return Err(Stop::Skipped(sentence));
    }
    let origin = |manager: &str, verb: &str, subresource: &str| Origin {
        manager: manager.to_owned(),
        verb: verb.to_owned(),
        subresource: subresource.to_owned(),
    };
    let filled = |manager: usize, verb: usize, subresource: usize, end: &str| {
        let fill = |unit: &str, bytes: usize| format!("{}{end}", unit.repeat(bytes));
        origin(
            &fill("m", manager),
            &fill("v", verb),
            &fill("s", subresource),
        )
    };
    let given = [
        origin("kubectl-create", "create", ""),
        origin("ctl é", "update", "status"),
        filled(128, 32, 32, ""),
        filled(127, 31, 31, "é"),
        origin("", "patch", ""),
        origin("", "", "scale"),
        origin("ark", "", ""),
        Origin::default(),
        origin("gc", "deletecollection", ""),
    ];
    let mut expected = given.clone().map(Some);
    // Up to 128, 32 and 32 bytes are stored, cut at a character boundary.
    expected[3] = Some(filled(127, 31, 31, ""));
    // An origin with only empty parts is stored as none.
    expected[7] = None;
    let start = context.client.current().await?.revision;
    let mut live = context.client.watch(context.after(start)).await?;
    let mut last = start;
    for (step, given) in given.into_iter().enumerate() {
        let mut op = match step {
            0 => context.create("ns/a", "0"),
            8 => context.delete("ns/a", 0),
            _ => context.update("ns/a", step.to_string(), 0),
        };
        op.origin = Some(given);
        last = context.client.apply(op).await?.revision;
    }
    let mut past = context.connect().watch(context.after(start)).await?;
    let mut observed = vec![
        ("a watch", live.until(last).await?),
        ("a watch of the past", past.until(last).await?),
    ];
    if context.has(Capability::Export) {
        let follow = ExportRequest {
            follow: true,
            after_revision: start,
            ..ExportRequest::default()
        };
        let mut export = Export::open(&context, follow).await?;
        observed.push(("an export", export.events(&context, last).await?));
    }
    for (from, events) in observed {
        let observed: Vec<_> = events.into_iter().map(|event| event.origin).collect();
        same!(observed, expected, "origins in {from}");
    }
    Ok(())
}
