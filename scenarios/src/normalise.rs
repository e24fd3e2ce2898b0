//! Replaces values that may differ between two correct servers.
//!
//! * uids become `<uid N>` in order of appearance;
//! * the resourceVersion of an object becomes `<rv N>`, its rank among all in the scenario's
//!   responses, so that order and equality remain; the version of a list, table, bookmark or
//!   continue token becomes `<at rv N>`, the newest object version not after it, because other
//!   clients advance the store's revision too;
//! * recent times become `<time>`, young ages `<age>`, generated parts (`mask`) `<masked>`;
//! * several errors of one response are sorted, because Go reports siblings in the random order of
//!   its maps;
//! * discovery and OpenAPI are reduced to the groups that both servers have;
//! * protobuf is decoded and compared as JSON.

mod json;
mod protobuf;
mod revisions;
mod text;

use anyhow::Result;
use serde_json::{Map, Value, json};

use self::json::Document;
use self::revisions::Revisions;
use self::text::Texts;
use crate::run::Record;
use crate::run::capture::{Capture, Head};
use crate::scenario::{Compare, Step};

/// Headers that are compared by value.
const HEADERS: [&str; 9] = [
    "allow",
    "cache-control",
    "content-encoding",
    "content-type",
    "location",
    "retry-after",
    "vary",
    "warning",
    "x-content-type-options",
];
/// Headers that are compared by presence.
const PRESENT: [&str; 4] = ["audit-id", "etag", "expires", "last-modified"];

/// The comparable form of a scenario's responses, step by step.
///
/// # Errors
/// If a mask is not a valid regular expression.
pub fn transcript(records: &[Record], masks: &[String]) -> Result<Vec<Value>> {
    let bodies: Vec<Body> = records.iter().map(Body::of).collect();
    let mut revisions = Revisions::default();
    for body in &bodies {
        body.collect(&mut revisions);
    }
    let mut texts = Texts::new(revisions, masks)?;
    Ok(records
        .iter()
        .zip(bodies)
        .map(|(r, body)| one(r, body, &mut texts))
        .collect())
}

/// A body in the form in which it is compared.
enum Body {
    Json(Document),
    Events(Vec<Document>),
    Text(String),
}

impl Body {
    fn of(record: &Record) -> Self {
        let text = record.capture.text();
        if record.capture.head.is_none() || record.step.exact {
            return Self::Text(text);
        }
        if let Some(document) = protobuf::document(&record.capture.out) {
            return Self::Json(Document(document));
        }
        match protobuf::events(&record.capture.out) {
            Some(events) if !events.is_empty() => {
                return Self::Events(events.into_iter().map(Document).collect());
            }
            Some(_) | None => {}
        }
        match serde_json::from_str::<Value>(&text) {
            Ok(value) if !is_event(&value) => return Self::Json(Document(value)),
            Ok(_) | Err(_) => {}
        }
        let events: Option<Vec<Document>> = text
            .lines()
            .map(|line| {
                serde_json::from_str(line)
                    .ok()
                    .filter(is_event)
                    .map(Document)
            })
            .collect();
        match events {
            Some(events) if !events.is_empty() => Self::Events(events),
            _ => Self::Text(text),
        }
    }

    fn collect(&self, revisions: &mut Revisions) {
        match self {
            Self::Json(document) => document.collect(revisions),
            Self::Events(events) => events.iter().for_each(|event| event.collect(revisions)),
            Self::Text(text) => revisions.collect_text(text),
        }
    }
}

fn is_event(value: &Value) -> bool {
    value
        .as_object()
        .is_some_and(|map| map.len() == 2 && map.contains_key("type") && map.contains_key("object"))
}

fn one(record: &Record, body: Body, texts: &mut Texts) -> Value {
    let Record {
        title,
        step,
        capture,
    } = record;
    let mut entry = Map::new();
    entry.insert("step".to_owned(), json!(title));
    // Decoded even if the body is not compared: uids are numbered in order of appearance.
    let body = match body {
        Body::Json(document) => document.normal(texts),
        Body::Events(events) => events
            .into_iter()
            .map(|event| event.normal(texts))
            .collect(),
        Body::Text(text) if record.capture.head.is_some() => texts.body(&text),
        Body::Text(text) => texts.output(&text),
    };
    if step.compare == Compare::None {
        return Value::Object(entry);
    }
    match &capture.head {
        Some(head) => response(&mut entry, step, head, body, texts),
        None => command(&mut entry, step, capture, body, texts),
    }
    Value::Object(entry)
}

fn response(
    entry: &mut Map<String, Value>,
    step: &Step,
    head: &Head,
    body: Value,
    texts: &mut Texts,
) {
    entry.insert("status".to_owned(), json!(head.status));
    let mut headers = Map::new();
    for (name, value) in &head.headers {
        if HEADERS.contains(&name.as_str()) {
            let values = headers.entry(name).or_insert_with(|| json!([]));
            if let Some(values) = values.as_array_mut() {
                values.push(json!(texts.plain(value)));
            }
        } else if PRESENT.contains(&name.as_str()) {
            headers.insert(name.clone(), json!("<present>"));
        }
    }
    entry.insert("headers".to_owned(), Value::Object(headers));
    match step.compare {
        Compare::Full => entry.insert("body".to_owned(), body),
        Compare::Shape => entry.insert("body".to_owned(), shape(&body)),
        Compare::Status | Compare::None => None,
    };
}

fn command(
    entry: &mut Map<String, Value>,
    step: &Step,
    capture: &Capture,
    out: Value,
    texts: &mut Texts,
) {
    entry.insert("exit".to_owned(), json!(capture.exit));
    entry.insert("stdout".to_owned(), out);
    if step.compare == Compare::Full {
        let err = texts.output(&String::from_utf8_lossy(&capture.err));
        entry.insert("stderr".to_owned(), err);
    }
}

/// The value with every scalar replaced by the name of its type.
fn shape(value: &Value) -> Value {
    match value {
        Value::Null => json!("null"),
        Value::Bool(_) => json!("boolean"),
        Value::Number(_) => json!("number"),
        Value::String(_) => json!("string"),
        Value::Array(items) => items.iter().map(shape).collect(),
        Value::Object(map) => map.iter().map(|(k, v)| (k.clone(), shape(v))).collect(),
    }
}

#[cfg(test)]
mod tests;
