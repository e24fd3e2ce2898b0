//! Entries of `metadata.managedFields`.
//!
//! Source: `k8s.io/apimachinery/pkg/util/managedfields/internal/managedfields.go`.

use std::collections::BTreeMap;

use api_types::meta::Meta;
use api_types::time;
use crd_schema::coerce::{self, Mode};
use serde_json::{Map, Value, json};
use structured_merge::{FieldsReader, Managers, Owned, Schema};

use super::managed::Managed;
use crate::admission::Attributes;
use crate::resources::MAX_DEPTH;

/// Identity of an entry: everything except its fields and time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) manager: String,
    pub(super) operation: Operation,
    /// Version in which the fields are named; empty for an apply, which keeps one entry in all
    /// versions.
    pub(super) api_version: String,
    pub(super) subresource: String,
}

/// How a manager wrote its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    Apply,
    Update,
}

/// Why entries cannot be read. The texts are kube-apiserver's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum EntryError {
    #[error("operation must be `Apply` or `Update`")]
    Operation,
    #[error("apiVersion must not be empty")]
    NoVersion,
    #[error("missing fieldsType in managed fields entry {0}")]
    NoFieldsType(usize),
    #[error("invalid fieldsType {fields_type:?} in managed fields entry {at}")]
    FieldsType { fields_type: String, at: usize },
    #[error("error decoding versioned set from {identity}: {error}")]
    Fields { identity: String, error: String },
}

impl Operation {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

impl Identity {
    /// The identity as JSON, the key of [`Managers`]. The members are in Go's order, because
    /// conflicts are sorted by this text.
    pub(super) fn key(&self) -> String {
        let mut members = Vec::with_capacity(4);
        let mut member = |name: &str, value: &str| {
            if !value.is_empty() {
                members.push(format!("{name:?}:{}", Value::from(value)));
            }
        };
        member("manager", &self.manager);
        member("operation", self.operation.as_str());
        member("apiVersion", &self.api_version);
        member("subresource", &self.subresource);
        format!("{{{}}}", members.join(","))
    }

    /// Reads the key of [`Managers`]; `None` for the key of the write itself.
    pub(super) fn of_key(key: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(key).ok()?;
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        Some(Self {
            manager: text("manager"),
            operation: match value["operation"].as_str()? {
                "Apply" => Operation::Apply,
                _ => Operation::Update,
            },
            api_version: text("apiVersion"),
            subresource: text("subresource"),
        })
    }
}

/// Reads the entries of an object; no managers if it has none.
///
/// # Errors
/// If an entry is malformed.
pub(super) fn read(object: &Value, names: &Schema) -> Result<Managed, EntryError> {
    let reader = FieldsReader {
        names: Some(names),
        depth: MAX_DEPTH,
    };
    let mut managed = Managed::default();
    for (at, entry) in list(object).into_iter().flatten().enumerate() {
        let text = |name: &str| entry[name].as_str().unwrap_or_default();
        let operation = match text("operation") {
            "Apply" => Operation::Apply,
            "Update" => Operation::Update,
            _ => return Err(EntryError::Operation),
        };
        let api_version = text("apiVersion");
        if api_version.is_empty() {
            return Err(EntryError::NoVersion);
        }
        match text("fieldsType") {
            "FieldsV1" => {}
            "" => return Err(EntryError::NoFieldsType(at)),
            fields_type => {
                let fields_type = fields_type.to_owned();
                return Err(EntryError::FieldsType { fields_type, at });
            }
        }
        let applied = operation == Operation::Apply;
        let identity = Identity {
            manager: text("manager").to_owned(),
            operation,
            api_version: if applied { "" } else { api_version }.to_owned(),
            subresource: text("subresource").to_owned(),
        };
        let key = identity.key();
        let set = reader
            .read_value(&entry["fieldsV1"])
            .map_err(|error| EntryError::Fields {
                identity: key.clone(),
                error: error.to_string(),
            })?;
        let owned = Owned {
            set,
            version: api_version.to_owned(),
            applied,
        };
        // Of two entries with the same identity, the second counts, with or without a time.
        match text("time") {
            "" => managed.times.remove(&key),
            time => managed.times.insert(key.clone(), time.to_owned()),
        };
        managed.managers.insert(key, owned);
    }
    Ok(managed)
}

/// Whether the object asks to forget all managers: an empty list, or one empty entry.
pub(super) fn is_reset(object: &Value) -> bool {
    match list(object).map(Vec::as_slice) {
        Some([]) => true,
        Some([Value::Object(entry)]) => entry.is_empty(),
        Some(_) | None => false,
    }
}

/// Whether the object has the member, even empty.
pub(super) fn is_present(object: &Value) -> bool {
    object["metadata"]
        .get("managedFields")
        .is_some_and(|it| !it.is_null())
}

/// Whether an applied configuration names managers, even none. kube-apiserver ignores a list with
/// a malformed entry.
pub(super) fn names_managers(config: &Value) -> bool {
    list(config).is_some_and(|entries| entries.iter().all(is_well_formed))
}

fn is_well_formed(entry: &Value) -> bool {
    let mut alone = json!({"metadata": {"managedFields": [entry]}});
    entry.is_object() && coerce::root(&mut alone, Mode::Strict).is_ok()
}

/// Removes the entries.
pub(super) fn remove(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
}

/// Writes the entries in Kubernetes' order; removes the member if there are none.
pub(super) fn write(managed: &Managed, object: &mut Value) {
    let entries = encode(&managed.managers, &managed.times);
    if entries.is_empty() {
        return remove(object);
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("managedFields".to_owned(), entries.into());
    }
}

/// The entries of an object, as JSON.
pub(crate) fn managers(object: &Value) -> Option<&Vec<Value>> {
    list(object)
}

/// Restores the entries from before mutating admission if it left invalid ones, with a warning.
///
/// Source: `k8s.io/apiserver/pkg/endpoints/handlers/fieldmanager/admission.go`. What admission
/// changes has no owner, as there.
pub(crate) fn keep_valid(
    attributes: &Attributes<'_>,
    before: Option<Vec<Value>>,
    object: &mut Value,
) {
    if list(object) == before.as_ref() {
        return;
    }
    let Some(typed) = attributes.served.typed() else {
        return;
    };
    let Err(error) = read(object, typed.schema()) else {
        return;
    };
    attributes.warnings.add(format!(
        ".metadata.managedFields was in an invalid state after admission; this could be caused by \
         an outdated mutating admission controller; please fix your requests: {error}"
    ));
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
        metadata.extend(before.map(|it| ("managedFields".to_owned(), it.into())));
    }
}

/// Copies the times of the stored entries if the objects differ in nothing else, so that the write
/// becomes a no-op. To be called once the new object has what the strategy sets.
///
/// Source: `k8s.io/apiserver/pkg/endpoints/handlers/fieldmanager/equality.go`.
pub(crate) fn keep_times(old: &Value, new: &mut Value) {
    let (Some(before), Some(after)) = (list(old), list(new)) else {
        return;
    };
    let same = |(a, b): (&Value, &Value)| same_members(a, b, &["time"]);
    if before.len() != after.len()
        || before == after
        || !before.iter().zip(after).all(same)
        || !same_otherwise(old, new)
    {
        return;
    }
    let before = before.clone();
    new["metadata"]["managedFields"] = before.into();
}

/// Whether two objects are equal except for their entries and revisions.
fn same_otherwise(a: &Value, b: &Value) -> bool {
    let (Some(a), Some(b)) = (a.as_object(), b.as_object()) else {
        return false;
    };
    a.len() == b.len()
        && a.iter().all(|(name, value)| match b.get(name) {
            Some(other) if name == "metadata" => {
                same_members(value, other, &["managedFields", "resourceVersion"])
            }
            other => other == Some(value),
        })
}

/// Whether two maps are equal except for some members.
fn same_members(a: &Value, b: &Value, except: &[&str]) -> bool {
    let (Some(a), Some(b)) = (a.as_object(), b.as_object()) else {
        return false;
    };
    let counted = |map: &Map<String, Value>| {
        let ignored = except.iter().filter(|name| map.contains_key(**name));
        map.len() - ignored.count()
    };
    counted(a) == counted(b)
        && a.iter()
            // bounded: `except` has a handful of names.
            .filter(|(name, _)| !except.contains(&name.as_str()))
            .all(|(name, value)| b.get(name) == Some(value))
}

fn list(object: &Value) -> Option<&Vec<Value>> {
    Meta::of(object).get("managedFields")?.as_array()
}

fn encode(managers: &Managers, times: &BTreeMap<String, String>) -> Vec<Value> {
    let entries = managers.iter().filter_map(|(key, owned)| {
        let identity = Identity::of_key(key)?;
        let time = times.get(key).map(String::as_str).unwrap_or_default();
        Some((identity, owned, time))
    });
    let mut entries: Vec<_> = entries.collect();
    let seconds = |text: &str| time::parse(text).map_or(0, |time| time.as_second());
    entries.sort_by(|(a, a_owned, a_time), (b, b_owned, b_time)| {
        let order = |identity: &Identity, owned: &Owned, time: &str| {
            (
                identity.operation,
                seconds(time),
                identity.manager.clone(),
                owned.version.clone(),
                identity.subresource.clone(),
            )
        };
        order(a, a_owned, a_time).cmp(&order(b, b_owned, b_time))
    });
    let entries = entries.into_iter().map(|(identity, owned, time)| {
        let mut entry = json!({
            "apiVersion": owned.version,
            "fieldsType": "FieldsV1",
            "fieldsV1": owned.set.to_value(),
            "operation": identity.operation.as_str(),
        });
        let texts = [
            ("manager", identity.manager.as_str()),
            ("subresource", &identity.subresource),
            ("time", time),
        ];
        for (name, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
            entry[name] = text.into();
        }
        entry
    });
    entries.collect()
}
