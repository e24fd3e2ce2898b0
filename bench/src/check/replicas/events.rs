//! Objects and events of the load, reduced to the fields that the check compares.

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::{Value, json};

/// An object with the number that identifies its write: in the spec for creates and updates, in the
/// status for patches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Object {
    pub(super) name: String,
    pub(super) revision: u64,
    pub(super) spec: u64,
    pub(super) status: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) kind: Kind,
    pub(super) object: Object,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Kind {
    Added,
    Modified,
    Deleted,
}

/// A line of a watch.
#[derive(Debug)]
pub(super) enum Line {
    Event(Event),
    /// Code and message of an ERROR.
    Error(u64, String),
}

#[derive(Debug)]
pub(super) struct List {
    revision: String,
    pub(super) objects: Vec<Object>,
}

#[derive(Deserialize)]
struct Raw {
    metadata: Metadata,
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: String,
    resource_version: String,
}

#[derive(Deserialize)]
struct Spec {
    input: String,
}

#[derive(Default, Deserialize)]
struct Status {
    #[serde(default)]
    duration: String,
}

impl Object {
    /// Reads an object from the server's JSON.
    pub(super) fn read(json: &[u8]) -> Result<Self> {
        serde_json::from_slice::<Raw>(json)?.try_into()
    }
}

impl TryFrom<Raw> for Object {
    type Error = anyhow::Error;

    fn try_from(raw: Raw) -> Result<Self> {
        let spec = raw.spec.input.split(' ').next().unwrap_or_default();
        let status = raw.status.duration.trim_end_matches("ms");
        Ok(Self {
            name: raw.metadata.name,
            revision: raw.metadata.resource_version.parse()?,
            spec: spec.parse()?,
            status: if status.is_empty() {
                0
            } else {
                status.parse()?
            },
        })
    }
}

impl Line {
    pub(super) fn read(json: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Outer<'a> {
            r#type: String,
            #[serde(borrow)]
            object: &'a serde_json::value::RawValue,
        }
        let outer: Outer<'_> = serde_json::from_slice(json)?;
        let object = outer.object.get();
        if outer.r#type == "ERROR" {
            let status: Value = serde_json::from_str(object)?;
            let code = status["code"].as_u64().unwrap_or(0);
            return Ok(Self::Error(code, status["message"].to_string()));
        }
        Ok(Self::Event(Event {
            kind: serde_json::from_value(Value::String(outer.r#type))?,
            object: Object::read(object.as_bytes())?,
        }))
    }
}

impl List {
    pub(super) fn read(json: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Outer {
            metadata: Value,
            items: Vec<Raw>,
        }
        let outer: Outer = serde_json::from_slice(json)?;
        let revision = outer.metadata["resourceVersion"].as_str();
        let objects = outer.items.into_iter().map(Object::try_from);
        Ok(Self {
            revision: revision.context("list has no resourceVersion")?.to_owned(),
            objects: objects.collect::<Result<_>>()?,
        })
    }

    pub(super) fn revision(&self) -> Result<u64> {
        Ok(self.revision.parse()?)
    }
}

/// An object to store; `revision` is that of the object it replaces.
pub(super) fn query(name: &str, number: u64, revision: Option<u64>) -> Value {
    let mut object = json!({
        "apiVersion": "ark.mckinsey.com/v1alpha1",
        "kind": "Query",
        "metadata": {"name": name},
        "spec": {
            "input": format!("{number} {}", "what is stored? ".repeat(40)),
            "target": {"type": "agent", "name": "bench-agent"},
        },
    });
    if let Some(revision) = revision {
        object["metadata"]["resourceVersion"] = json!(revision.to_string());
    }
    object
}

/// A merge patch of the status of the object with this revision.
pub(super) fn status(number: u64, revision: u64) -> Value {
    json!({
        "metadata": {"resourceVersion": revision.to_string()},
        "status": {"phase": "running", "duration": format!("{number}ms")},
    })
}

/// Delete options with a precondition on the revision.
pub(super) fn only(revision: u64) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "preconditions": {"resourceVersion": revision.to_string()},
    })
}
