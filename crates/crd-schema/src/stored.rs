//! The stored form of an object, and the values that a backend may index.
//!
//! Every writer to a backend uses this form: the gateway, and tools that fill a store.

use api_types::meta::Meta;
use serde_json::Value;

use crate::selectable::SelectableField;

/// Values that a backend may index, derived from the object in storage version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.labels`, in any order.
    pub labels: Vec<(String, String)>,
    /// Declared selectable fields: path as clients write it (`spec.model`) and value as text.
    pub fields: Vec<(String, String)>,
    /// uid of every owner reference.
    pub owner_uids: Vec<String>,
}

impl Index {
    /// Derives the index; `selectable` are the fields of all versions of the definition.
    #[must_use]
    pub fn of(object: &Value, selectable: &[SelectableField]) -> Self {
        let meta = Meta::of(object);
        let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        let owners = meta.owner_references();
        Self {
            uid: meta.uid().to_owned(),
            labels: meta.labels().map(owned).collect(),
            fields: fields(object, selectable),
            owner_uids: owners.map(|owner| owner.uid.to_owned()).collect(),
        }
    }
}

/// The selectable fields of an object with their values.
#[must_use]
pub fn fields(object: &Value, selectable: &[SelectableField]) -> Vec<(String, String)> {
    let pair = |field: &SelectableField| (field.path.clone(), field.value(object));
    selectable.iter().map(pair).collect()
}

/// The fields of several versions, each once.
#[must_use]
pub fn selectable_of<'a>(
    fields: impl IntoIterator<Item = &'a SelectableField>,
) -> Vec<SelectableField> {
    let mut distinct: Vec<SelectableField> = Vec::new();
    for field in fields {
        if !distinct.contains(field) {
            distinct.push(field.clone());
        }
    }
    distinct
}

/// Removes the fields that are not stored: the resource version, which is not known before the
/// write, and the obsolete `selfLink`.
pub fn strip(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("resourceVersion");
        metadata.remove("selfLink");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Index, selectable_of, strip};
    use crate::SelectableField;

    #[test]
    fn object_is_stripped_and_indexed() {
        let mut object = json!({
            "metadata": {
                "name": "a", "uid": "u", "resourceVersion": "7", "selfLink": "/x",
                "labels": {"k": "v"}, "ownerReferences": [{"uid": "o"}],
            },
            "spec": {"a": 5},
        });
        strip(&mut object);
        let stored = json!({
            "metadata": {
                "name": "a", "uid": "u",
                "labels": {"k": "v"}, "ownerReferences": [{"uid": "o"}],
            },
            "spec": {"a": 5},
        });
        assert_eq!(object, stored);
        let versions = [
            SelectableField::new(".spec.a"),
            SelectableField::new(".spec.a"),
        ];
        let index = Index {
            uid: "u".to_owned(),
            labels: vec![("k".to_owned(), "v".to_owned())],
            fields: vec![("spec.a".to_owned(), "5".to_owned())],
            owner_uids: vec!["o".to_owned()],
        };
        assert_eq!(Index::of(&object, &selectable_of(&versions)), index);
    }
}
