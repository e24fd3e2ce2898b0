//! The parts of kube-apiserver's documents that are the same for all custom resources.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Definitions, parameters and fields copied from kube-apiserver; see the README in this folder.
#[derive(Deserialize)]
pub(super) struct Published {
    /// Kubernetes' own types, in OpenAPI 3.
    pub(super) definitions: Map<String, Value>,
    /// The fields that it adds to every object.
    pub(super) object: Map<String, Value>,
    /// The fields that it adds to embedded objects.
    pub(super) embedded: Map<String, Value>,
    /// The fields that it adds to lists.
    pub(super) list: Map<String, Value>,
    /// The keys of each action's parameters; `path` has those of paths.
    operations: BTreeMap<String, Vec<String>>,
    /// Parameters that OpenAPI 2 defines once, in its format.
    shared: BTreeMap<String, Value>,
    /// Parameters that OpenAPI 2 repeats, in its format.
    inline: BTreeMap<String, Value>,
    /// Top-level members of the OpenAPI 2 document.
    pub(super) document: Map<String, Value>,
}

impl Published {
    /// Parses the embedded JSON. It is needed once per document and not cached.
    pub(super) fn read() -> Self {
        serde_json::from_str(include_str!("kubernetes.json"))
            .expect("the file beside this one fits: a test reads it")
    }

    /// The parameters of an action, in OpenAPI 3.
    pub(super) fn parameters(&self, action: &str) -> Vec<Value> {
        let keys = self.operations.get(action).into_iter().flatten();
        keys.filter_map(|key| self.shared.get(key).or_else(|| self.inline.get(key)))
            .map(version_3)
            .collect()
    }

    /// The key of a parameter in OpenAPI 2 format, if it is one of the shared ones.
    pub(super) fn shared_key(&self, parameter: &Value) -> Option<&str> {
        let mut shared = self.shared.iter();
        let found = shared.find(|(_, one)| *one == parameter);
        found.map(|(key, _)| key.as_str())
    }

    /// The shared parameters that `used` names.
    pub(super) fn shared<'a>(&self, used: impl Iterator<Item = &'a String>) -> Map<String, Value> {
        used.filter_map(|key| Some((key.clone(), self.shared.get(key)?.clone())))
            .collect()
    }
}

/// In OpenAPI 3 the description of the value is a separate schema.
fn version_3(parameter: &Value) -> Value {
    let mut published = parameter.clone();
    if let Some(fields) = published.as_object_mut() {
        let mut schema = json!({});
        for key in ["type", "uniqueItems"] {
            if let Some(value) = fields.remove(key) {
                schema[key] = value;
            }
        }
        fields.insert("schema".to_owned(), schema);
    }
    published
}
