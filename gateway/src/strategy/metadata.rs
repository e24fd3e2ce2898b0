//! Validation of metadata, with kube-apiserver's text.

use api_types::field::{Error, Errors, Path, Value as Shown};
use api_types::meta::Meta;
use api_types::names;
use serde_json::Value;

use super::{finalizers, owners};

/// Bytes of the keys and values of all annotations.
const ANNOTATION_BYTES: usize = 256 << 10;

/// Syntax of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NameRule {
    /// A DNS subdomain, for custom resources.
    Subdomain,
    /// A path segment, for every resource.
    PathSegment,
}

/// Appends the errors of an object's metadata.
pub(crate) fn validate(meta: Meta<'_>, namespaced: bool, rule: NameRule, errors: &mut Errors) {
    let path = Path::new("metadata");
    let generate_name = meta.generate_name();
    if !generate_name.is_empty() {
        let path = path.child("generateName");
        let details = rule.prefix(generate_name).into_iter();
        errors.extend(details.map(|it| Error::invalid(path, generate_name, it)));
    }
    if meta.name().is_empty() {
        let detail = "name or generateName is required";
        errors.add(|| Error::required(path.child("name"), detail));
    } else {
        let details = rule.name(meta.name()).into_iter();
        errors.extend(details.map(|it| Error::invalid(path.child("name"), meta.name(), it)));
    }
    errors.extend(namespace(
        meta.namespace(),
        namespaced,
        path.child("namespace"),
    ));
    errors.extend(not_negative(meta, path.child("generation")));
    common(meta, &path, errors);
    finalizers::validate(meta, path.child("finalizers"), errors);
}

/// Appends the errors of a metadata update.
pub(crate) fn validate_update(meta: Meta<'_>, old: Meta<'_>, errors: &mut Errors) {
    let path = Path::new("metadata");
    if old.is_deleting() {
        errors.extend(finalizers::none_added(meta, old, path.child("finalizers")));
    }
    if meta.resource_version().is_empty() {
        let detail = "must be specified for an update";
        errors.add(|| Error::invalid(path.child("resourceVersion"), "", detail));
    }
    errors.extend(not_negative(meta, path.child("generation")));
    if meta.generation() < old.generation() {
        let detail = "must not be decremented";
        errors.add(|| Error::invalid(path.child("generation"), meta.generation(), detail));
    }
    for field in IMMUTABLE {
        let (new, old) = (meta.get(field), old.get(field));
        if new.filter(|it| !is_empty(it)) != old.filter(|it| !is_empty(it)) {
            let detail = "field is immutable";
            errors.add(|| Error::invalid(path.child(field), shown(field, new), detail));
        }
    }
    common(meta, &path, errors);
}

/// Fields that an update cannot change.
const IMMUTABLE: [&str; 6] = [
    "name",
    "namespace",
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
];

/// The value of a field in Go's format.
fn shown(field: &str, value: Option<&Value>) -> Shown {
    match value {
        None if field == "deletionGracePeriodSeconds" || field == "deletionTimestamp" => {
            Shown::from("null")
        }
        None => Shown::from(""),
        Some(other) => Shown::from(other),
    }
}

fn is_empty(value: &Value) -> bool {
    value.as_str().is_some_and(str::is_empty)
}

/// Labels, annotations and owners: validated on every write.
fn common(meta: Meta<'_>, path: &Path<'_>, errors: &mut Errors) {
    let labels = path.child("labels");
    for (key, value) in meta.labels() {
        let details = names::qualified_name(key).into_iter();
        errors.extend(details.map(|it| Error::invalid(labels, key, it)));
        let details = names::label_value(value).into_iter();
        errors.extend(details.map(|it| Error::invalid(labels, value, it)));
    }
    let annotations = path.child("annotations");
    let mut bytes = 0;
    for (key, value) in meta.annotations() {
        let details = names::qualified_name(&key.to_lowercase()).into_iter();
        errors.extend(details.map(|it| Error::invalid(annotations, key, it)));
        bytes += key.len() + value.len();
    }
    if bytes > ANNOTATION_BYTES {
        errors.add(|| Error::too_long(annotations, ANNOTATION_BYTES));
    }
    owners::validate(meta, &path.child("ownerReferences"), errors);
}

fn namespace(namespace: &str, namespaced: bool, path: Path<'_>) -> Vec<Error> {
    match (namespaced, namespace) {
        (true, "") => vec![Error::required(path, "")],
        (true, name) => names::dns1123_label(name)
            .into_iter()
            .map(|it| Error::invalid(path, name, it))
            .collect(),
        (false, "") => Vec::new(),
        (false, _) => vec![Error::forbidden(path, "not allowed on this type")],
    }
}

fn not_negative(meta: Meta<'_>, path: Path<'_>) -> Option<Error> {
    let generation = meta.generation();
    let detail = "must be greater than or equal to 0";
    (generation < 0).then(|| Error::invalid(path, generation, detail))
}

impl NameRule {
    fn name(self, name: &str) -> Vec<String> {
        match self {
            Self::Subdomain => names::dns1123_subdomain(name),
            Self::PathSegment => names::path_segment(name),
        }
    }

    /// Validates a `generateName` prefix.
    fn prefix(self, prefix: &str) -> Vec<String> {
        match self {
            Self::Subdomain => names::dns1123_subdomain(&without_trailing_dash(prefix)),
            // Dots alone are not a name, but may start one.
            Self::PathSegment if prefix.chars().all(|c| c == '.') => Vec::new(),
            Self::PathSegment => names::path_segment(prefix),
        }
    }
}

/// A prefix may end with a dash, although a name may not. As in Go, the preceding character is
/// removed with it.
fn without_trailing_dash(prefix: &str) -> String {
    match prefix.strip_suffix('-') {
        Some(rest) if !rest.is_empty() => {
            let mut rest = rest.chars();
            rest.next_back();
            format!("{}a", rest.as_str())
        }
        _ => prefix.to_owned(),
    }
}
