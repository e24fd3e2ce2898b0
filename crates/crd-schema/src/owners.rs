//! Owner references.

use std::collections::HashSet;

use api_types::field::{Error, Errors, Path, Value as Shown};
use api_types::gvk::GroupVersion;
use api_types::meta::{Meta, OwnerReference};
use serde_json::Value;

/// The fields of `metav1.OwnerReference`, in the order of their declaration.
const FIELDS: [&str; 6] = [
    "apiVersion",
    "kind",
    "name",
    "uid",
    "controller",
    "blockOwnerDeletion",
];

/// Validates the references; `path` is that of their list.
pub(crate) fn validate(meta: Meta<'_>, path: &Path<'_>, errors: &mut Errors) {
    let mut controller: Option<String> = None;
    // Each of these errors quotes all references, so a duplicate must not be built only to be
    // dropped.
    let mut named = HashSet::new();
    for (index, reference) in meta.owner_references().enumerate() {
        if errors.is_exhausted() {
            break;
        }
        errors.extend(one(meta, index, &reference, &path.index(index)));
        if !reference.controller {
            continue;
        }
        let name = format!("{}/{}", reference.kind, reference.name);
        let Some(first) = &controller else {
            controller = Some(name);
            continue;
        };
        let repeated = !named.insert((reference.kind, reference.name));
        if repeated && errors.is_distinct() {
            continue;
        }
        errors.add(|| {
            let detail = format!(
                "Only one reference can have Controller set to true. Found \"true\" in references \
                 for {first} and {name}"
            );
            Error::invalid(*path, all_shown(meta), detail)
        });
    }
}

fn one(
    meta: Meta<'_>,
    index: usize,
    reference: &OwnerReference<'_>,
    path: &Path<'_>,
) -> Vec<Error> {
    let mut errors = Vec::new();
    let version = GroupVersion::parse(reference.api_version);
    if reference.api_version.is_empty() {
        errors.push(Error::required(
            path.child("apiVersion"),
            "must not be empty",
        ));
    } else if !version.as_ref().is_ok_and(|it| !it.version.is_empty()) {
        errors.push(Error::invalid(
            path.child("apiVersion"),
            reference.api_version,
            "must be <group>/<version> or <version>",
        ));
    }
    let parts = [
        ("kind", reference.kind),
        ("name", reference.name),
        ("uid", reference.uid),
    ];
    for (field, value) in parts {
        if value.is_empty() {
            errors.push(Error::required(path.child(field), "must not be empty"));
        }
    }
    if (reference.api_version, reference.kind) == ("v1", "Event") {
        let detail = "/v1, Kind=Event is disallowed from being an owner";
        errors.push(Error::invalid(*path, one_shown(meta, index), detail));
    }
    errors
}

/// The references in Go's struct format: fields in the order of their declaration.
fn all_shown(meta: Meta<'_>) -> Shown {
    let references = meta.get("ownerReferences").and_then(Value::as_array);
    let texts: Vec<String> = references.into_iter().flatten().map(in_order).collect();
    Shown::verbatim(format!("[{}]", texts.join(",")))
}

fn one_shown(meta: Meta<'_>, index: usize) -> Shown {
    let references = meta.get("ownerReferences").and_then(Value::as_array);
    references
        .and_then(|it| it.get(index))
        .map_or(Shown::omitted(), |it| Shown::verbatim(in_order(it)))
}

fn in_order(reference: &Value) -> String {
    let fields = FIELDS.iter().filter_map(|field| {
        let value = reference.get(field).filter(|it| !it.is_null())?;
        let value = String::from_utf8_lossy(&kube_json::to_vec(value)).into_owned();
        Some(format!("\"{field}\":{value}"))
    });
    format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
}
