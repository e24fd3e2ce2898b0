//! Access to an object's `metadata` without copying.

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::time;

/// An object's metadata. A field that is missing or has the wrong type reads as empty.
#[derive(Clone, Copy, Debug)]
pub struct Meta<'a>(Option<&'a Map<String, Value>>);

/// A reference to an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnerReference<'a> {
    /// The owner's `apiVersion`.
    pub api_version: &'a str,
    /// The owner's kind.
    pub kind: &'a str,
    /// The owner's name.
    pub name: &'a str,
    /// The owner's uid.
    pub uid: &'a str,
    /// Whether the owner manages the object; at most one owner does.
    pub controller: bool,
    /// Whether foreground deletion of the owner waits for this object.
    pub block_owner_deletion: bool,
}

impl<'a> Meta<'a> {
    /// The metadata of an object.
    #[must_use]
    pub fn of(object: &'a Value) -> Self {
        Self(object.get("metadata").and_then(Value::as_object))
    }

    /// Metadata from its map.
    #[must_use]
    pub const fn new(metadata: &'a Map<String, Value>) -> Self {
        Self(Some(metadata))
    }

    /// `name`.
    #[must_use]
    pub fn name(self) -> &'a str {
        self.text("name")
    }

    /// `generateName`.
    #[must_use]
    pub fn generate_name(self) -> &'a str {
        self.text("generateName")
    }

    /// `namespace`.
    #[must_use]
    pub fn namespace(self) -> &'a str {
        self.text("namespace")
    }

    /// `uid`.
    #[must_use]
    pub fn uid(self) -> &'a str {
        self.text("uid")
    }

    /// `resourceVersion`.
    #[must_use]
    pub fn resource_version(self) -> &'a str {
        self.text("resourceVersion")
    }

    /// `generation`.
    #[must_use]
    pub fn generation(self) -> i64 {
        self.integer("generation").unwrap_or(0)
    }

    /// `creationTimestamp`.
    #[must_use]
    pub fn creation_timestamp(self) -> Option<Timestamp> {
        self.time("creationTimestamp")
    }

    /// `deletionTimestamp`: the time at which the grace period ends.
    #[must_use]
    pub fn deletion_timestamp(self) -> Option<Timestamp> {
        self.time("deletionTimestamp")
    }

    /// Whether deletion was requested.
    #[must_use]
    pub fn is_deleting(self) -> bool {
        !self.text("deletionTimestamp").is_empty()
    }

    /// `deletionGracePeriodSeconds`.
    #[must_use]
    pub fn deletion_grace_period_seconds(self) -> Option<i64> {
        self.integer("deletionGracePeriodSeconds")
    }

    /// `labels`, in the order of their keys.
    pub fn labels(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.texts("labels")
    }

    /// The value of a label.
    #[must_use]
    pub fn label(self, key: &str) -> Option<&'a str> {
        self.get("labels")?.get(key)?.as_str()
    }

    /// `annotations`, in the order of their keys.
    pub fn annotations(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.texts("annotations")
    }

    /// The value of an annotation.
    #[must_use]
    pub fn annotation(self, key: &str) -> Option<&'a str> {
        self.get("annotations")?.get(key)?.as_str()
    }

    /// `finalizers`.
    pub fn finalizers(self) -> impl Iterator<Item = &'a str> {
        self.items("finalizers").iter().filter_map(Value::as_str)
    }

    /// `ownerReferences`.
    pub fn owner_references(self) -> impl Iterator<Item = OwnerReference<'a>> {
        self.items("ownerReferences").iter().map(|owner| {
            let text = |key| owner.get(key).and_then(Value::as_str).unwrap_or_default();
            let flag = |key| owner.get(key).and_then(Value::as_bool).unwrap_or_default();
            OwnerReference {
                api_version: text("apiVersion"),
                kind: text("kind"),
                name: text("name"),
                uid: text("uid"),
                controller: flag("controller"),
                block_owner_deletion: flag("blockOwnerDeletion"),
            }
        })
    }

    /// Any field.
    #[must_use]
    pub fn get(self, key: &str) -> Option<&'a Value> {
        self.0?.get(key)
    }

    fn text(self, key: &str) -> &'a str {
        self.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    fn integer(self, key: &str) -> Option<i64> {
        self.get(key)?.as_i64()
    }

    fn time(self, key: &str) -> Option<Timestamp> {
        time::parse(self.text(key))
    }

    fn items(self, key: &str) -> &'a [Value] {
        let items = self.get(key).and_then(Value::as_array);
        items.map(Vec::as_slice).unwrap_or_default()
    }

    fn texts(self, key: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let map = self.get(key).and_then(Value::as_object);
        map.into_iter()
            .flatten()
            .filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Meta;

    #[test]
    fn metadata_fields_are_read() {
        let object = json!({"metadata": {
            "name": "n", "namespace": "ns", "uid": "u", "resourceVersion": "7", "generation": 3,
            "labels": {"b": "2", "a": "1"}, "annotations": {"k": "v"}, "finalizers": ["f"],
            "deletionTimestamp": "2024-01-01T00:00:00Z",
            "ownerReferences": [{"apiVersion": "v1", "kind": "K", "name": "o", "uid": "ou", "controller": true}],
        }});
        let meta = Meta::of(&object);
        assert_eq!(
            (meta.name(), meta.namespace(), meta.uid()),
            ("n", "ns", "u")
        );
        assert_eq!((meta.resource_version(), meta.generation()), ("7", 3));
        assert_eq!(meta.labels().collect::<Vec<_>>(), [("a", "1"), ("b", "2")]);
        assert_eq!(
            (meta.label("a"), meta.annotation("k")),
            (Some("1"), Some("v"))
        );
        assert_eq!(meta.finalizers().collect::<Vec<_>>(), ["f"]);
        assert!(meta.is_deleting() && meta.deletion_timestamp().is_some());
        let owner = meta.owner_references().next().expect("an owner");
        assert_eq!((owner.kind, owner.uid, owner.controller), ("K", "ou", true));
        assert!(!owner.block_owner_deletion);
    }

    #[test]
    fn fields_of_wrong_type_read_as_empty() {
        for object in [
            json!(null),
            json!({"metadata": 1}),
            json!({"metadata": {"name": 1, "labels": []}}),
        ] {
            let meta = Meta::of(&object);
            assert_eq!((meta.name(), meta.labels().count()), ("", 0));
            assert!(!meta.is_deleting());
        }
    }
}
