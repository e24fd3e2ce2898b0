//! What kube-apiserver publishes alike for all custom resources.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Definitions, parameters and fields in the words of kube-apiserver; see the README beside.
#[derive(Deserialize)]
pub(super) struct Published {
    /// Its own types, in OpenAPI 3.
    pub(super) definitions: Map<String, Value>,
    /// The fields that it adds to every object.
    pub(super) object: Map<String, Value>,
    /// The same for objects within objects.
    pub(super) embedded: Map<String, Value>,
    /// The same for lists.
    pub(super) list: Map<String, Value>,
    /// The keys of each action's parameters; `path` has those of paths.
    operations: BTreeMap<String, Vec<String>>,
    /// Parameters that OpenAPI 2 defines once, in its form.
    shared: BTreeMap<String, Value>,
    /// Parameters that OpenAPI 2 repeats, in its form.
    inline: BTreeMap<String, Value>,
    /// Members of the whole document in OpenAPI 2.
    pub(super) document: Map<String, Value>,
}

impl Published {
    /// Reads them. They are wanted once per document, and not kept.
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

    /// The key of a parameter, given in OpenAPI 2, if it is defined once for all.
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

/// In OpenAPI 3 what is said of the value stands apart.
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
