//! Random histories of writes to one object.

use rand::prelude::*;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::kind::{GROUP, Kind, VERSIONS};
use super::values::Values;

const MANAGERS: [&str; 4] = ["m1", "m2", "m\"3", "kubectl"];
/// Fewer than the managers of updates that an object keeps: which one is dropped depends on times.
const MAX_WRITES: usize = 9;

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Write {
    pub(super) verb: Verb,
    /// Index of the version.
    pub(super) version: usize,
    /// The subresource; empty for the object.
    pub(super) part: &'static str,
    pub(super) query: String,
    pub(super) body: Value,
}

/// Kinds of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Create,
    Apply,
    Merge,
    JsonPatch,
    /// A PUT of the body, with the newest resource version.
    Replace,
    /// A PUT of the newest response, changed by the body as a merge patch.
    Modify,
    Delete,
    Read,
}

/// The writes to an object of a kind.
#[derive(Clone, Debug)]
pub(super) struct History {
    pub(super) kind: Kind,
    pub(super) writes: Vec<Write>,
}

// === impl Verb ===

impl Verb {
    pub(super) const fn method(self) -> &'static str {
        match self {
            Self::Create => "POST",
            Self::Apply | Self::Merge | Self::JsonPatch => "PATCH",
            Self::Replace | Self::Modify => "PUT",
            Self::Delete => "DELETE",
            Self::Read => "GET",
        }
    }

    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::Apply => "application/apply-patch+yaml",
            Self::Merge => "application/merge-patch+json",
            Self::JsonPatch => "application/json-patch+json",
            _ => "application/json",
        }
    }
}

// === impl Write ===

impl Write {
    /// A read of the object.
    pub(super) fn read(version: usize, part: &'static str) -> Self {
        Self {
            verb: Verb::Read,
            version,
            part,
            query: String::new(),
            body: Value::Null,
        }
    }

    /// Path and query.
    pub(super) fn path(&self, kind: &Kind, namespace: &str, name: &str) -> String {
        let (version, plural) = (VERSIONS[self.version], kind.plural());
        let mut path = format!("/apis/{GROUP}/{version}/namespaces/{namespace}/{plural}");
        if self.verb != Verb::Create {
            path = format!("{path}/{name}");
        }
        if !self.part.is_empty() {
            path = format!("{path}/{}", self.part);
        }
        if !self.query.is_empty() {
            path = format!("{path}?{}", self.query);
        }
        path
    }
}

// === impl History ===

impl History {
    /// A random history.
    pub(super) fn random(rng: &mut StdRng, kind: &Kind) -> Self {
        let sloppiness = *[0.0, 0.0, 0.03].choose(rng).unwrap_or(&0.0);
        let mut source = Source {
            kind,
            values: Values { rng, sloppiness },
            last: Value::Null,
        };
        let count = source.values.rng.random_range(3..MAX_WRITES);
        let first = source.first();
        let writes = (1..count).map(|_| source.next());
        let writes: Vec<Write> = writes.collect();
        Self {
            kind: kind.clone(),
            writes: std::iter::once(first).chain(writes).collect(),
        }
    }

    /// The history with the reads at its end.
    pub(super) fn steps(&self) -> Vec<Write> {
        let mut steps = self.writes.clone();
        steps.extend((0..VERSIONS.len()).map(|version| Write::read(version, "")));
        if self.kind.scale {
            steps.push(Write::read(0, "scale"));
        }
        steps
    }

    /// Histories with one write less, or one part of a body less.
    pub(super) fn smaller(&self) -> Vec<Self> {
        let mut smaller = Vec::new();
        for at in (0..self.writes.len()).rev() {
            let mut less = self.clone();
            less.writes.remove(at);
            smaller.push(less);
        }
        for (at, write) in self.writes.iter().enumerate() {
            for body in parts(&write.body) {
                let mut less = self.clone();
                less.writes[at].body = body;
                smaller.push(less);
            }
        }
        smaller
    }
}

/// The state of a generator.
struct Source<'a> {
    kind: &'a Kind,
    values: Values<'a>,
    /// The last complete object, of which later ones are variations.
    last: Value,
}

// === impl Source ===

impl Source<'_> {
    fn first(&mut self) -> Write {
        let verb = if self.values.chance(0.7) {
            Verb::Create
        } else {
            Verb::Apply
        };
        self.write(verb, "")
    }

    fn next(&mut self) -> Write {
        let verb = match self.values.rng.random_range(0..40) {
            0..18 => Verb::Apply,
            18..25 => Verb::Merge,
            25..29 => Verb::JsonPatch,
            29..34 => Verb::Replace,
            34..38 => Verb::Modify,
            38 => Verb::Delete,
            _ => Verb::Create,
        };
        let part = match self.values.rng.random_range(0..10) {
            0..2 if self.kind.status => "status",
            2..4 if self.kind.scale => "scale",
            _ => "",
        };
        let part = if matches!(verb, Verb::Create | Verb::Delete) {
            ""
        } else {
            part
        };
        self.write(verb, part)
    }

    fn write(&mut self, verb: Verb, part: &'static str) -> Write {
        let version = usize::from(self.values.chance(0.25));
        let body = match (verb, part) {
            (Verb::Delete | Verb::Read, _) => Value::Null,
            (Verb::JsonPatch, "scale") => self.scale_patch(),
            (Verb::JsonPatch, _) => self.patch(version),
            (Verb::Merge, "scale") => json!({"spec": {"replicas": self.replicas()}}),
            (_, "scale") => self.scale(),
            (Verb::Merge | Verb::Modify, _) => self.change(version),
            _ => self.object(version),
        };
        Write {
            verb,
            version,
            part,
            query: self.query(verb),
            body,
        }
    }

    fn query(&mut self, verb: Verb) -> String {
        if verb == Verb::Delete {
            return String::new();
        }
        let manager = MANAGERS.choose(self.values.rng).copied().unwrap_or("m1");
        let mut query = format!("fieldManager={}", manager.replace('"', "%22"));
        if verb == Verb::Apply && self.values.chance(0.5) {
            query.push_str("&force=true");
        }
        if self.values.chance(0.08) {
            query.push_str("&dryRun=All");
        }
        if self.values.chance(0.05) {
            query.push_str("&fieldValidation=Strict");
        }
        query
    }

    /// An object, most often a variation of the last one.
    fn object(&mut self, version: usize) -> Value {
        let schema = self.kind.schemas[version].clone();
        let mut object = match &self.last {
            Value::Null => self.values.value(&schema),
            last if self.values.chance(0.6) => {
                let last = last.clone();
                self.values.changed(&last, &schema)
            }
            _ => self.values.value(&schema),
        };
        if !object.is_object() {
            object = json!({});
        }
        if !self.kind.status && self.values.chance(0.7) {
            object
                .as_object_mut()
                .map(|members| members.remove("status"));
        }
        self.last = object.clone();
        object["apiVersion"] = json!(format!("{GROUP}/{}", VERSIONS[version]));
        object["kind"] = json!(self.kind.name);
        object["metadata"] = self.metadata();
        object
    }

    fn metadata(&mut self) -> Value {
        let mut metadata = json!({});
        for name in ["labels", "annotations"] {
            if self.values.chance(0.25) {
                let key = *["a", "b"].choose(self.values.rng).unwrap_or(&"a");
                let value = *["x", "y"].choose(self.values.rng).unwrap_or(&"x");
                metadata[name] = json!({key: value});
            }
        }
        if self.values.chance(0.08) {
            let all = [
                json!(["x.example.com/f"]),
                json!(["x.example.com/g", "x.example.com/f"]),
            ];
            metadata["finalizers"] = all.choose(self.values.rng).cloned().unwrap_or_default();
        }
        if self.values.chance(0.05) {
            let uid = *["u1", "u2"].choose(self.values.rng).unwrap_or(&"u1");
            metadata["ownerReferences"] =
                json!([{"apiVersion": "v1", "kind": "Owner", "name": "o", "uid": uid}]);
        }
        metadata
    }

    /// A merge patch.
    fn change(&mut self, version: usize) -> Value {
        let schema = self.kind.schemas[version].clone();
        if self.values.chance(0.06) {
            let all = [
                json!([]),
                json!([{}]),
                json!([{"manager": "m", "operation": "None"}]),
            ];
            let chosen = all.choose(self.values.rng).cloned().unwrap_or_default();
            return json!({"metadata": {"managedFields": chosen}});
        }
        let mut patch = self.values.value(&schema);
        for member in ["spec", "status"] {
            let members = patch.get_mut(member).and_then(Value::as_object_mut);
            for (_, value) in members.into_iter().flatten() {
                if self.values.chance(0.15) {
                    *value = Value::Null;
                }
            }
        }
        if self.values.chance(0.3) && patch.is_object() {
            patch["metadata"] = self.metadata();
        }
        patch
    }

    /// A JSON patch.
    fn patch(&mut self, version: usize) -> Value {
        let schema = self.kind.schemas[version].clone();
        let object = match &self.last {
            Value::Null => self.values.value(&schema),
            last => last.clone(),
        };
        let operations = (0..self.values.rng.random_range(1..3)).map(|_| {
            let (path, value) = self.values.place(&object, &schema);
            let path = if path.is_empty() {
                "/spec".to_owned()
            } else {
                path
            };
            match self.values.rng.random_range(0..3) {
                0 => json!({"op": "remove", "path": path}),
                1 => json!({"op": "replace", "path": path, "value": value}),
                _ => json!({"op": "add", "path": path, "value": value}),
            }
        });
        operations.collect()
    }

    fn scale_patch(&mut self) -> Value {
        let op = *["replace", "add"].choose(self.values.rng).unwrap_or(&"add");
        json!([{"op": op, "path": "/spec/replicas", "value": self.replicas()}])
    }

    fn scale(&mut self) -> Value {
        let mut scale = json!({
            "apiVersion": "autoscaling/v1",
            "kind": "Scale",
            "spec": {"replicas": self.replicas()},
        });
        if self.values.chance(0.1) {
            scale["spec"] = json!({});
        }
        if self.values.chance(0.05) {
            scale["apiVersion"] = json!("");
        }
        if self.values.chance(0.1) {
            scale["status"] = json!({"replicas": 2});
        }
        if self.values.chance(0.1) {
            scale["metadata"] = json!({"labels": {"a": "x"}});
        }
        scale
    }

    fn replicas(&mut self) -> usize {
        self.values.rng.random_range(0..3)
    }
}

/// The value with one member or item less, at any depth.
fn parts(value: &Value) -> Vec<Value> {
    let mut out = Vec::new();
    match value {
        Value::Object(members) => {
            let fixed = ["apiVersion", "kind", "op", "path", "value"];
            for (name, member) in members {
                if !fixed.contains(&name.as_str()) {
                    let mut less = members.clone();
                    less.remove(name);
                    out.push(Value::Object(less));
                }
                out.extend(parts(member).into_iter().map(|part| {
                    let mut less = members.clone();
                    less.insert(name.clone(), part);
                    Value::Object(less)
                }));
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                let mut less = items.clone();
                less.remove(at);
                out.push(Value::Array(less));
                out.extend(parts(item).into_iter().map(|part| {
                    let mut less = items.clone();
                    less[at] = part;
                    Value::Array(less)
                }));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    out
}
