//! Validation of metadata, with kube-apiserver's text.
//!
//! Source: `k8s.io/apimachinery/pkg/api/validation/objectmeta.go`.

use api_types::field::{Error, Errors, Path};
use api_types::meta::Meta;
use api_types::{go_text, names};
use serde_json::Value;

use crate::owners;

/// Bytes of the keys and values of all annotations.
const ANNOTATION_BYTES: usize = 256 << 10;

/// Finalizers of the garbage collector that exclude each other.
const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

/// Limits of managed fields, in bytes.
const MANAGER_BYTES: usize = 128;
const SUBRESOURCE_BYTES: usize = 256;

/// Syntax of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameRule {
    /// A DNS subdomain, for custom resources.
    Subdomain,
    /// A path segment, for every resource.
    PathSegment,
}

/// Appends the errors of a new object's metadata.
pub fn validate(meta: Meta<'_>, namespaced: bool, rule: NameRule, errors: &mut Errors) {
    let path = Path::new("metadata");
    generate_name(meta, rule, &path, errors);
    if meta.name().is_empty() {
        let detail = "name or generateName is required";
        errors.add(|| Error::required(path.child("name"), detail));
    } else {
        name(meta, rule, &path, errors);
    }
    errors.extend(namespace(
        meta.namespace(),
        namespaced,
        path.child("namespace"),
    ));
    errors.extend(not_negative(meta, path.child("generation")));
    common(meta, &path, errors);
    finalizers(meta, path.child("finalizers"), errors);
    managed_fields(meta, &path.child("managedFields"), errors);
}

/// Appends the errors of the metadata of an embedded object, where every field is optional.
pub(crate) fn validate_embedded(meta: Meta<'_>, path: &Path<'_>, errors: &mut Errors) {
    let mut found = Errors::distinct();
    generate_name(meta, NameRule::PathSegment, path, &mut found);
    if !meta.name().is_empty() {
        name(meta, NameRule::PathSegment, path, &mut found);
    }
    if !meta.namespace().is_empty() {
        let path = path.child("namespace");
        found.extend(namespace(meta.namespace(), true, path));
    }
    found.extend(not_negative(meta, path.child("generation")));
    common(meta, path, &mut found);
    finalizers(meta, path.child("finalizers"), &mut found);
    managed_fields(meta, &path.child("managedFields"), &mut found);
    errors.append(found);
}

fn generate_name(meta: Meta<'_>, rule: NameRule, path: &Path<'_>, errors: &mut Errors) {
    let prefix = meta.generate_name();
    if !prefix.is_empty() {
        let path = path.child("generateName");
        let details = rule.prefix(prefix).into_iter();
        errors.extend(details.map(|it| Error::invalid(path, prefix, it)));
    }
}

fn name(meta: Meta<'_>, rule: NameRule, path: &Path<'_>, errors: &mut Errors) {
    let details = rule.name(meta.name()).into_iter();
    errors.extend(details.map(|it| Error::invalid(path.child("name"), meta.name(), it)));
}

/// Appends the errors of labels, annotations and owners, which every write validates.
pub fn common(meta: Meta<'_>, path: &Path<'_>, errors: &mut Errors) {
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

/// The error for a negative generation.
#[must_use]
pub fn not_negative(meta: Meta<'_>, path: Path<'_>) -> Option<Error> {
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

fn finalizers(meta: Meta<'_>, path: Path<'_>, errors: &mut Errors) {
    for finalizer in meta.finalizers() {
        if errors.is_exhausted() {
            break;
        }
        let details = names::qualified_name(finalizer).into_iter();
        errors.extend(details.map(|it| Error::invalid(path, finalizer, it)));
    }
    let has = |name| meta.finalizers().any(|it| it == name);
    if has(ORPHAN) && has(FOREGROUND) {
        errors.add(|| {
            let all: Vec<String> = meta.finalizers().map(str::to_owned).collect();
            let detail = format!("finalizer {ORPHAN} and {FOREGROUND} cannot be both set");
            Error::invalid(path, all.as_slice(), detail)
        });
    }
}

/// Validates the managers of fields; `path` is that of their list.
pub fn managed_fields(meta: Meta<'_>, path: &Path<'_>, errors: &mut Errors) {
    let entries = meta.get("managedFields").and_then(Value::as_array);
    for (index, entry) in entries.into_iter().flatten().enumerate() {
        if errors.is_exhausted() {
            break;
        }
        let path = path.index(index);
        let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default();
        let operation = path.child("operation");
        match text("operation") {
            "" => errors.add(|| Error::required(operation, "must not be empty")),
            "Apply" | "Update" => {}
            other => errors.add(|| Error::not_supported(operation, other, &["Apply", "Update"])),
        }
        let fields_type = text("fieldsType");
        if !fields_type.is_empty() && fields_type != "FieldsV1" {
            let detail = "must be `FieldsV1`";
            errors.add(|| Error::invalid(path.child("fieldsType"), fields_type, detail));
        }
        let (manager, at) = (text("manager"), path.child("manager"));
        if manager.len() > MANAGER_BYTES {
            errors.add(|| Error::too_long(at, MANAGER_BYTES));
        }
        for (index, c) in manager.char_indices() {
            if !go_text::is_print(c) && !errors.is_exhausted() {
                let code = u32::from(c);
                let detail = format!("invalid character U+{code:04X} (at position {index})");
                errors.add(|| Error::invalid(at, manager, detail));
            }
        }
        if text("subresource").len() > SUBRESOURCE_BYTES {
            errors.add(|| Error::too_long(path.child("subresource"), SUBRESOURCE_BYTES));
        }
    }
}
