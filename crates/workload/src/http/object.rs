//! JSON of objects, lists and events, read only as far as the verdict needs it.

use std::hash::{DefaultHasher, Hasher as _};
use std::time::Duration;

use bytes::Bytes;
use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::change::{Event, Key, Kind, Object, Revision};
use crate::client::{Action, CallError, Write};

/// A line of a watch.
pub(super) enum Line {
    Event(Event),
    Bookmark(Revision),
    Error(CallError),
}

/// A page of a list.
pub(super) struct Page {
    pub(super) revision: Revision,
    /// Token of the next page.
    pub(super) token: Option<String>,
    pub(super) objects: Vec<(Key, Object)>,
}

#[derive(Deserialize)]
struct Raw {
    metadata: Metadata,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(default)]
    name: String,
    resource_version: String,
}

#[derive(Default, Deserialize)]
struct Spec {
    #[serde(default)]
    input: Value,
}

#[derive(Default, Deserialize)]
struct Status {
    #[serde(default)]
    duration: String,
}

/// The body of a write.
pub(super) fn content(write: &Write, filler: usize) -> Bytes {
    let Write { key, number, .. } = write;
    let name = key.as_str();
    let body = match write.action {
        Action::Create => query(name, *number, filler, None),
        Action::Replace(at) => query(name, *number, filler, Some(at)),
        Action::Patch(at) => {
            let status = json!({"phase": "running", "duration": format!("{number}ms")});
            let mut patch = json!({"status": status});
            if let Some(at) = at {
                patch["metadata"] = json!({"resourceVersion": at.to_string()});
            }
            patch
        }
        Action::Delete(at) => json!({
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"resourceVersion": at.to_string()},
        }),
    };
    Bytes::from(body.to_string())
}

fn query(name: &str, number: u64, filler: usize, revision: Option<Revision>) -> Value {
    let text = "what is stored? ".repeat(filler / 16 + 1);
    let mut object = json!({
        "apiVersion": "ark.mckinsey.com/v1alpha1",
        "kind": "Query",
        "metadata": {"name": name, "labels": {"app": "workload"}},
        "spec": {
            "input": format!("{number} {}", &text[..filler]),
            "target": {"type": "agent", "name": "workload-agent"},
        },
    });
    if let Some(revision) = revision {
        object["metadata"]["resourceVersion"] = json!(revision.to_string());
    }
    object
}

/// Reads an object.
pub(super) fn read(text: &[u8]) -> Result<(Key, Object), CallError> {
    let raw: Raw = serde_json::from_slice(text).map_err(|error| malformed(&error))?;
    let version = &raw.metadata.resource_version;
    let input = raw.spec.input.as_str().unwrap_or_default();
    let words = [
        input.split(' ').next().unwrap_or_default(),
        raw.status.duration.trim_end_matches("ms"),
    ];
    let numbers = words.iter().filter_map(|word| word.parse().ok());
    let object = Object {
        revision: revision(version)?,
        number: numbers.max().unwrap_or_default(),
        digest: digest(text, version),
    };
    Ok((Key::from(raw.metadata.name), object))
}

/// Hashes everything but the resource version, which differs between an object and the event of
/// its deletion.
fn digest(text: &[u8], version: &str) -> u64 {
    let text = text.trim_ascii();
    let marker = format!("\"resourceVersion\":\"{version}\"");
    let mut hasher = DefaultHasher::new();
    match memmem::find(text, marker.as_bytes()) {
        Some(at) => {
            hasher.write(&text[..at]);
            hasher.write(&text[at + marker.len()..]);
        }
        None => hasher.write(text),
    }
    hasher.finish()
}

fn revision(text: &str) -> Result<Revision, CallError> {
    let number = text.parse();
    let wrong = |_| CallError::Violation(format!("the resource version is {text:?}"));
    number.map(Revision::new).map_err(wrong)
}

fn malformed(error: &serde_json::Error) -> CallError {
    CallError::Violation(format!("malformed response: {error}"))
}

/// The error that a status code means.
pub(super) fn error(code: u64, message: String, after: Option<Duration>) -> CallError {
    let reason = code.to_string();
    match code {
        410 => CallError::Expired { reason, message },
        429 | 503 | 504 => CallError::Retry {
            reason,
            message,
            after,
            not_applied: code == 429,
        },
        _ => CallError::Rejected(format!("{code} {message}")),
    }
}

/// The message of a Status, or the beginning of another body.
pub(super) fn describe(body: &[u8]) -> String {
    let status = serde_json::from_slice::<Value>(body).ok();
    let message = status
        .as_ref()
        .and_then(|status| status["message"].as_str());
    message.map_or_else(
        || String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned(),
        str::to_owned,
    )
}

// === impl Line ===

impl Line {
    /// Reads a line of a watch.
    pub(super) fn read(text: &[u8]) -> Result<Self, CallError> {
        #[derive(Deserialize)]
        struct Frame<'a> {
            r#type: &'a str,
            #[serde(borrow)]
            object: &'a RawValue,
        }
        let frame: Frame<'_> = serde_json::from_slice(text).map_err(|error| malformed(&error))?;
        let object = frame.object.get().as_bytes();
        let kind = match frame.r#type {
            "ADDED" => Kind::Created,
            "MODIFIED" => Kind::Updated,
            "DELETED" => Kind::Deleted,
            "BOOKMARK" => return Ok(Self::Bookmark(self::read(object)?.1.revision)),
            "ERROR" => {
                let status: Value =
                    serde_json::from_slice(object).map_err(|error| malformed(&error))?;
                let code = status["code"].as_u64().unwrap_or_default();
                // Servers that stay available end a watch without an error.
                return Ok(Self::Error(error(code, describe(object), None)));
            }
            other => {
                let text = format!("an event of the type {other}");
                return Err(CallError::Violation(text));
            }
        };
        let (key, object) = self::read(object)?;
        Ok(Self::Event(Event {
            revision: object.revision,
            key,
            kind,
            number: object.number,
            digest: object.digest,
            previous: None,
            author: None,
        }))
    }
}

// === impl Page ===

impl Page {
    /// Reads a page of a list.
    pub(super) fn read(text: &[u8]) -> Result<Self, CallError> {
        #[derive(Deserialize)]
        struct List<'a> {
            metadata: ListMetadata,
            #[serde(borrow)]
            items: Vec<&'a RawValue>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct ListMetadata {
            resource_version: String,
            #[serde(default)]
            r#continue: String,
        }
        let list: List<'_> = serde_json::from_slice(text).map_err(|error| malformed(&error))?;
        let objects = list
            .items
            .iter()
            .map(|item| self::read(item.get().as_bytes()));
        let token = list.metadata.r#continue;
        Ok(Self {
            revision: revision(&list.metadata.resource_version)?,
            token: Some(token).filter(|token| !token.is_empty()),
            objects: objects.collect::<Result<_, _>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Line, Page, content, read};
    use crate::change::{Key, Kind, Revision};
    use crate::client::{Action, CallError, Write};

    const STORED: &str = r#"{"metadata":{"name":"a","resourceVersion":"7"},"spec":{"input":"41 x"},"status":{"duration":"42ms"}}"#;

    fn line(text: &str) -> Line {
        Line::read(text.as_bytes()).expect("a line")
    }

    #[test]
    fn objects_have_the_number_of_their_last_write() {
        let (key, stored) = read(STORED.as_bytes()).expect("an object");
        assert_eq!((key, stored.revision), (Key::from("a"), Revision::new(7)));
        assert_eq!(stored.number, 42);
        let other = STORED.replace("41 x", "41 y");
        assert_ne!(
            read(other.as_bytes()).expect("an object").1.digest,
            stored.digest
        );
    }

    #[test]
    fn deletion_has_the_digest_of_the_deleted_object() {
        let stored = read(STORED.as_bytes()).expect("an object").1;
        let deleted = STORED.replace("\"7\"", "\"9\"");
        let Line::Event(event) = line(&format!(r#"{{"type":"DELETED","object":{deleted}}}"#))
        else {
            panic!("no event");
        };
        assert_eq!(
            (event.kind, event.revision),
            (Kind::Deleted, Revision::new(9))
        );
        assert_eq!((event.digest, event.number), (stored.digest, stored.number));
    }

    #[test]
    fn lines_of_a_watch_are_events_bookmarks_and_errors() {
        let bookmark = r#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"8"}}}"#;
        assert!(matches!(line(bookmark), Line::Bookmark(at) if at == Revision::new(8)));
        for (code, expired) in [(410, true), (503, false)] {
            let text = format!(r#"{{"type":"ERROR","object":{{"code":{code},"message":"no"}}}}"#);
            let Line::Error(error) = line(&text) else {
                panic!("no error")
            };
            assert_eq!(
                matches!(error, CallError::Expired { .. }),
                expired,
                "{error}"
            );
        }
        assert!(Line::read(br#"{"type":"OTHER","object":{}}"#).is_err());
    }

    #[test]
    fn page_has_its_objects_and_token() {
        let text = format!(
            r#"{{"metadata":{{"resourceVersion":"9","continue":"t"}},"items":[{STORED}]}}"#
        );
        let page = Page::read(text.as_bytes()).expect("a page");
        assert_eq!(
            (page.revision, page.token.as_deref()),
            (Revision::new(9), Some("t"))
        );
        assert_eq!(page.objects.len(), 1);
    }

    #[test]
    fn created_objects_have_the_number_and_size_of_their_write() {
        let write = Write {
            id: [0; 16],
            key: "a".into(),
            action: Action::Create,
            number: 41,
            origin: (0, 1),
        };
        let body = String::from_utf8(content(&write, 100).to_vec()).expect("text");
        let body = body.replace(r#""name":"a"}"#, r#""name":"a","resourceVersion":"1"}"#);
        let (_, object) = read(body.as_bytes()).expect("an object");
        assert_eq!(object.number, 41);
        let longer = content(&write, 300).len() - content(&write, 100).len();
        assert_eq!(longer, 200);
    }
}
