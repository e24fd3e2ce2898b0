//! Normalises JSON.

use serde_json::{Map, Value};

use super::revisions::Revisions;
use super::text::Texts;

/// Groups that both servers have.
const GROUPS: [&str; 2] = ["judge.example.com", "ark.mckinsey.com"];

/// A JSON body.
pub(super) struct Document(pub(super) Value);

/// What the resourceVersion of a JSON object belongs to.
#[derive(Clone, Copy, PartialEq)]
enum VersionOwner {
    /// An object.
    Object,
    /// A collection or a bookmark.
    Collection,
}

impl Document {
    /// Collects the versions of objects.
    pub(super) fn collect(&self, revisions: &mut Revisions) {
        collect(&self.0, VersionOwner::Object, revisions);
    }

    pub(super) fn normal(self, texts: &mut Texts) -> Value {
        let mut value = self.0;
        reduce(&mut value);
        sort_causes(&mut value);
        normal(value, VersionOwner::Object, texts)
    }
}

/// What a resourceVersion below `key` belongs to, where `map` itself is `owner`.
fn below(map: &Map<String, Value>, key: &str, owner: VersionOwner) -> VersionOwner {
    let kind = map.get("kind").and_then(Value::as_str).unwrap_or_default();
    let collection = kind.ends_with("List") || kind == "Table";
    let bookmark = map.get("type").is_some_and(|kind| kind == "BOOKMARK");
    if bookmark || (collection && key == "metadata") {
        VersionOwner::Collection
    } else {
        owner
    }
}

fn collect(value: &Value, owner: VersionOwner, revisions: &mut Revisions) {
    match value {
        Value::Array(items) => items
            .iter()
            .for_each(|item| collect(item, owner, revisions)),
        Value::Object(map) => {
            for (key, value) in map {
                match value.as_str() {
                    Some(version) if key == "resourceVersion" && owner == VersionOwner::Object => {
                        revisions.add(version);
                    }
                    _ => collect(value, below(map, key, owner), revisions),
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn normal(value: Value, owner: VersionOwner, texts: &mut Texts) -> Value {
    match value {
        Value::String(text) => Value::String(texts.plain(&text)),
        Value::Array(items) => items
            .into_iter()
            .map(|item| normal(item, owner, texts))
            .collect(),
        Value::Object(map) => {
            let entries: Vec<(String, Value)> = map
                .clone()
                .into_iter()
                .map(|(key, value)| entry(&map, &key, value, owner, texts))
                .collect();
            Value::Object(entries.into_iter().collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}

fn entry(
    map: &Map<String, Value>,
    key: &str,
    value: Value,
    owner: VersionOwner,
    texts: &mut Texts,
) -> (String, Value) {
    let value = match (key, value) {
        ("resourceVersion", Value::String(text)) if owner == VersionOwner::Collection => {
            let version = text
                .parse()
                .map(|version| texts.revisions.collection(version));
            Value::String(version.unwrap_or(text))
        }
        ("continue", Value::String(text)) if !text.is_empty() => {
            Value::String(texts.revisions.token(&text).unwrap_or(text))
        }
        ("cells", Value::Array(cells)) => cells
            .into_iter()
            .map(|cell| match cell {
                Value::String(text) => Value::String(texts.cell(&text)),
                other => normal(other, owner, texts),
            })
            .collect(),
        ("managedFields", Value::Array(entries)) if ordered(&entries) => {
            // The order depends on times, which are whole seconds and differ between the engines.
            let mut entries: Vec<Value> = entries
                .into_iter()
                .map(|entry| normal(entry, owner, texts))
                .collect();
            entries.sort_by_key(Value::to_string);
            Value::Array(entries)
        }
        (name, value) => {
            let owner = below(map, name, owner);
            normal(value, owner, texts)
        }
    };
    (texts.plain(key), value)
}

/// Whether entries have Kubernetes' order: applies first, then by time, manager, version and
/// subresource.
fn ordered(entries: &[Value]) -> bool {
    entries.is_sorted_by_key(|entry| {
        let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        let members = ["operation", "time", "manager", "apiVersion", "subresource"];
        members.map(text)
    })
}

/// Removes all other groups from discovery and OpenAPI documents.
fn reduce(value: &mut Value) {
    let Some(map) = value.as_object_mut() else {
        return;
    };
    if let Some(resources) = map.get_mut("resources").and_then(Value::as_array_mut) {
        by_name(resources, "name");
    }
    let ours = |name: Option<&str>| name.is_some_and(|name| GROUPS.contains(&name));
    if map.get("kind").is_some_and(|kind| kind == "APIGroupList")
        && let Some(groups) = map.get_mut("groups").and_then(Value::as_array_mut)
    {
        groups.retain(|group| ours(group["name"].as_str()));
        by_name(groups, "name");
    }
    if map
        .get("kind")
        .is_some_and(|kind| kind == "APIGroupDiscoveryList")
        && let Some(items) = map.get_mut("items").and_then(Value::as_array_mut)
    {
        items.retain(|item| ours(item["metadata"]["name"].as_str()));
        items.sort_by_key(|item| item["metadata"]["name"].to_string());
        for version in items
            .iter_mut()
            .filter_map(|item| item["versions"].as_array_mut())
            .flatten()
        {
            if let Some(resources) = version["resources"].as_array_mut() {
                by_name(resources, "resource");
            }
        }
    }
    if map.contains_key("kind") {
        return;
    }
    if let Some(paths) = map.get_mut("paths").and_then(Value::as_object_mut) {
        paths.retain(|path, _| {
            GROUPS.iter().any(|group| {
                path.trim_start_matches('/')
                    .starts_with(&format!("apis/{group}/v"))
            })
        });
    }
    if let Some(definitions) = map.get_mut("definitions").and_then(Value::as_object_mut) {
        definitions.retain(|name, _| {
            name.starts_with("com.example.judge.") || name.starts_with("com.mckinsey.ark.")
        });
    }
    if map.contains_key("swagger") {
        reduce_swagger(map);
    }
}

/// Removes the document-wide parameters of OpenAPI v2 to which no remaining path refers.
fn reduce_swagger(map: &mut Map<String, Value>) {
    for global in ["info", "security", "securityDefinitions"] {
        map.remove(global);
    }
    let paths = map.get("paths").map(ToString::to_string);
    let paths = paths.unwrap_or_default();
    if let Some(parameters) = map.get_mut("parameters").and_then(Value::as_object_mut) {
        parameters.retain(|key, _| paths.contains(&format!("\"#/parameters/{key}\"")));
    }
}

/// kube-apiserver lists groups and resources of discovery in the random order of Go's maps.
fn by_name(entries: &mut [Value], key: &str) {
    entries.sort_by_key(|entry| entry[key].to_string());
}

/// Sorts the causes of an Invalid status and their texts in its message.
fn sort_causes(value: &mut Value) {
    let Some(causes) = value
        .pointer_mut("/details/causes")
        .and_then(Value::as_array_mut)
    else {
        return;
    };
    causes.sort_by_key(ToString::to_string);
    let mut texts: Vec<String> = causes
        .iter()
        .map(|cause| {
            let part = |key: &str| cause[key].as_str().unwrap_or_default().to_owned();
            format!("{}: {}", part("field"), part("message"))
        })
        .collect();
    texts.dedup();
    let Some(message) = value["message"].as_str() else {
        return;
    };
    let Some((head, list)) = message.split_once(" is invalid: [") else {
        return;
    };
    let mut rest = list.to_owned();
    for text in &texts {
        let Some(at) = rest.find(text.as_str()) else {
            return;
        };
        rest.replace_range(at..at + text.len(), "");
    }
    if rest
        .trim_end_matches(']')
        .chars()
        .all(|letter| ", ".contains(letter))
    {
        value["message"] = format!("{head} is invalid: [{}]", texts.join(", ")).into();
    }
}
