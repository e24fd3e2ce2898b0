//! `history`: shows every retained change of one object.

mod diff;

use anyhow::{Result, bail};
use backend_proto::v1::event::Type;
use backend_proto::v1::watch_response::Body;
use backend_proto::v1::{Event, Key, Origin, Range, WatchRequest};
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::args::{self, Output};
use crate::deadlines::Deadlines;
use crate::output;
use crate::store::Store;

/// Prints the changes, oldest first.
///
/// # Errors
/// If the key is malformed, or the store is unreadable.
pub async fn run(arguments: &args::History, deadlines: Deadlines) -> Result<()> {
    let key = &arguments.object;
    let store = Store::at(&arguments.at, deadlines)?;
    let head = store.head().await?;
    let (begin, end) = (head.compact_revision, head.revision);
    let changes = changes(&store, key, begin, end).await?;
    // The value that the first change replaced.
    let mut before = match changes.first() {
        Some(first) if first.previous_revision != 0 => value(&store, key, first).await?,
        _ => Bytes::new(),
    };
    if changes.is_empty() && arguments.output == Output::Text {
        let there = store.get(key, 0).await?;
        let now = there.map_or_else(
            || "and it does not exist".to_owned(),
            |record| format!("its last change was at {}", record.revision),
        );
        output::line(format_args!(
            "no change after revision {begin} is retained; {now}"
        ));
    }
    for event in &changes {
        let record = event.record.clone().unwrap_or_default();
        let after = if event.r#type() == Type::Deleted {
            Bytes::new()
        } else {
            record.value
        };
        let fields = arguments
            .diff
            .then(|| diff::fields(&parse(&before), &parse(&after)));
        match arguments.output {
            Output::Text => text(event, fields.as_deref().unwrap_or_default()),
            Output::Json => output::line(document(event, fields, &parse(&after))),
        }
        before = after;
    }
    Ok(())
}

/// Returns the changes of a key after `begin` up to `end`.
async fn changes(store: &Store, key: &Key, begin: i64, end: i64) -> Result<Vec<Event>> {
    let range = Range {
        group: key.group.clone(),
        resource: key.resource.clone(),
        namespace: Some(key.namespace.clone()),
        name: Some(key.name.clone()),
    };
    let mut changes = Vec::new();
    if begin == end {
        return Ok(changes);
    }
    let request = WatchRequest {
        ranges: vec![range],
        start_revision: begin,
        progress_interval_ms: 100,
    };
    let mut watch = store.watch(request).await?;
    loop {
        let Some(message) = store.watched(&mut watch).await? else {
            bail!("{}: the watch ended", store.address);
        };
        if let Some(Body::Events(events)) = message.body {
            let expected = |event: &Event| event.revision <= end;
            changes.extend(events.events.into_iter().filter(expected));
        }
        if message.through_revision >= end {
            return Ok(changes);
        }
    }
}

/// Returns the value that a change replaced; empty if it is no longer retained.
async fn value(store: &Store, key: &Key, event: &Event) -> Result<Bytes> {
    let found = store.get(key, event.revision - 1).await;
    Ok(found?.map(|record| record.value).unwrap_or_default())
}

fn parse(value: &[u8]) -> Value {
    kube_json::reparse(value).unwrap_or(Value::Null)
}

const fn name(event: Type) -> &'static str {
    match event {
        Type::Created => "created",
        Type::Updated => "updated",
        Type::Deleted => "deleted",
        Type::Unspecified => "unknown",
    }
}

fn time(event: &Event) -> String {
    let time = event.time.unwrap_or_default();
    let time = Timestamp::new(time.seconds, time.nanos);
    time.map_or_else(|_| "-".to_owned(), api_types::time::format_micro)
}

fn text(event: &Event, fields: &[diff::Field]) {
    let (revision, time, what) = (event.revision, time(event), name(event.r#type()));
    let actor = or_dash(&event.actor);
    let origin = event.origin.as_ref().map(origin).unwrap_or_default();
    output::line(format_args!("{revision}  {time}  {what}  {actor}{origin}"));
    for field in fields {
        output::line(format_args!("    {field}"));
    }
}

/// Formats the columns after the user: manager, and verb with its subresource. Empty for changes
/// without an origin, by drivers or releases that store none.
fn origin(origin: &Origin) -> String {
    let (manager, verb) = (or_dash(&origin.manager), or_dash(&origin.verb));
    if origin.subresource.is_empty() {
        return format!("  {manager}  {verb}");
    }
    format!("  {manager}  {verb}/{}", printable(&origin.subresource))
}

fn or_dash(text: &str) -> String {
    if text.is_empty() {
        return "-".to_owned();
    }
    printable(text)
}

/// Replaces control characters: clients choose these texts, and could otherwise send escape
/// sequences to the operator's terminal.
fn printable(text: &str) -> String {
    let shown = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().map(shown).collect()
}

fn document(event: &Event, fields: Option<Vec<diff::Field>>, object: &Value) -> Value {
    let mut document = json!({
        "revision": event.revision.to_string(),
        "time": time(event),
        "type": name(event.r#type()),
        "actor": event.actor,
    });
    if let Some(origin) = &event.origin {
        document["manager"] = json!(origin.manager);
        document["verb"] = json!(origin.verb);
        document["subresource"] = json!(origin.subresource);
    }
    match fields {
        Some(fields) => {
            document["changes"] = fields.iter().map(diff::Field::document).collect();
        }
        None => document["object"] = object.clone(),
    }
    document
}
