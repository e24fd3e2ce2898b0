//! The properties.

mod merging;

use std::collections::BTreeMap;

use api_types::media_type::PatchType;
use api_types::options::{
    CreateOptions, DeleteOptions, FieldValidation, ListOptions, UpdateOptions,
};
use api_types::request_info::RequestInfo;
use api_types::selector::{FieldSelector, LabelSelector};
use crd_schema::jsonpath::JsonPath;
use crd_schema::regexp::Pattern;
use gateway::patch::Patch;
use serde_json::{Value, json};

pub use merging::{fields_v1, merging};

/// A name, and the function that takes bytes.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const ALL: &[Target] = &[
    ("json", json),
    ("yaml", yaml),
    ("json_patch", json_patch),
    ("merge_patch", merge_patch),
    ("label_selector", label_selector),
    ("field_selector", field_selector),
    ("jsonpath", jsonpath),
    ("pattern", pattern),
    ("manifest", manifest),
    ("request", request),
    ("fields_v1", fields_v1),
    ("merging", merging),
];

/// The text of a value that was read is read again as that text, and the parser of stored objects reads
/// the same value as that of bodies.
pub fn json(data: &[u8]) {
    if let Ok(parsed) = kube_json::parse(data) {
        stored(&parsed.value);
    }
}

/// A value that was read from YAML can be stored as JSON.
pub fn yaml(data: &[u8]) {
    if let Ok(parsed) = kube_json::yaml::parse(data) {
        stored(&parsed.value);
    }
}

/// The result of a JSON patch can be stored. The bytes are an object and a patch, divided by a zero.
pub fn json_patch(data: &[u8]) {
    patch(PatchType::Json, data);
}

/// The result of a merge patch can be stored, and applying it again changes nothing.
pub fn merge_patch(data: &[u8]) {
    let Some(once) = patch(PatchType::Merge, data) else {
        return;
    };
    let (_, body) = divided(data);
    let again = Patch::parse(PatchType::Merge, body, FieldValidation::Ignore)
        .and_then(|patch| patch.apply(once.clone()));
    let text = |value: &Value| kube_json::to_vec(value).escape_ascii().to_string();
    assert_eq!(
        again.ok().as_ref().map(text),
        Some(text(&once)),
        "not idempotent"
    );
}

/// A selector selects the same each time, whatever the order of its requirements.
pub fn label_selector(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(selector) = LabelSelector::parse(text) else {
        return;
    };
    let all: Vec<String> = selector
        .requirements()
        .iter()
        .map(|requirement| requirement.key().to_owned())
        .collect();
    assert_eq!(selector.is_empty(), all.is_empty(), "{text:?}");
    for labels in labels() {
        let matches = selector.matches(&labels);
        assert!(!(selector.is_nothing() && matches), "{text:?}");
        for (key, value) in selector.equalities() {
            let equal = labels.get(key).is_some_and(|label| label == value);
            assert!(equal || !matches, "{text:?} matches without {key}={value}");
        }
    }
}

/// As [`label_selector`].
pub fn field_selector(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(selector) = FieldSelector::parse(text) else {
        return;
    };
    for labels in labels() {
        let matches = selector.matches(&labels);
        assert!(!(selector.is_nothing() && matches), "{text:?}");
        assert!(!selector.is_empty() || matches, "{text:?}");
    }
}

/// A path that parses finds something or fails, whatever it is applied to.
pub fn jsonpath(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(path) = JsonPath::parse(text) else {
        return;
    };
    for object in [json!({}), json!([]), json!(1), sample()] {
        let _ = path.find(&object);
    }
}

/// A pattern that compiles matches or does not.
pub fn pattern(data: &[u8]) {
    let (pattern, text) = divided(data);
    let (Ok(pattern), Ok(text)) = (std::str::from_utf8(pattern), std::str::from_utf8(text)) else {
        return;
    };
    if let Ok(pattern) = Pattern::new(pattern) {
        let _ = pattern.is_match(text);
    }
}

/// A manifest is served or rejected.
pub fn manifest(data: &[u8]) {
    let _ = gateway::resources::parse("fuzz.yaml", data, 1 << 20);
}

/// Path and query, divided by the first question mark.
pub fn request(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (path, query) = match text.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (text, None),
    };
    for method in ["GET", "POST", "DELETE", "PATCH", "HEAD"] {
        if let Ok(info) = RequestInfo::parse(method, path, query) {
            assert!(
                info.is_resource_request || info.resource.is_empty(),
                "{info:?}"
            );
        }
    }
    let query = query.unwrap_or_default();
    let _ = ListOptions::parse(query);
    let _ = CreateOptions::parse(query);
    let _ = UpdateOptions::parse(query);
    let _ = DeleteOptions::parse(query);
}

fn patch(kind: PatchType, data: &[u8]) -> Option<Value> {
    let (object, body) = divided(data);
    let object = kube_json::parse(object).ok()?.value;
    let patch = Patch::parse(kind, body, FieldValidation::Ignore).ok()?;
    let patched = patch.apply(object).ok()?;
    stored(&patched);
    Some(patched)
}

/// A whole number that was written as `1e3` is an integer once it was stored, as in Go; its text is the
/// same from then on.
fn stored(value: &Value) {
    let text = kube_json::to_vec(value);
    let again = kube_json::parse(&text);
    let again = again.unwrap_or_else(|error| panic!("{}: {error}", text.escape_ascii()));
    let rewritten = kube_json::to_vec(&again.value);
    assert_eq!(
        rewritten.escape_ascii().to_string(),
        text.escape_ascii().to_string()
    );
    assert_eq!(kube_json::reparse(&text).ok().as_ref(), Some(&again.value));
}

fn divided(data: &[u8]) -> (&[u8], &[u8]) {
    let at = data.iter().position(|byte| *byte == 0);
    at.map_or((data, &[][..]), |at| (&data[..at], &data[at + 1..]))
}

fn labels() -> Vec<BTreeMap<String, String>> {
    let of = |pairs: &[(&str, &str)]| {
        let pairs = pairs.iter();
        pairs
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    };
    vec![
        of(&[]),
        of(&[("a", "")]),
        of(&[("a", "1"), ("tier", "2")]),
        of(&[("x.io/a", "b"), ("app", "web")]),
    ]
}

fn sample() -> Value {
    json!({
        "metadata": {"name": "x", "labels": {"a.b/c": "d"}},
        "status": {"conditions": [
            {"type": "Ready", "status": "True", "n": 1},
            {"type": "Other", "status": null, "n": 2.5},
            7,
        ]},
        "list": [[1, 2], [3], "text", true, null],
    })
}
