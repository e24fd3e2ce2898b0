//! One of `spec.versions`.

use std::sync::Arc;

use api_types::field::{Error, Path};
use api_types::names::dns1035_label;
use serde_json::{Map, Value};

use super::fields::{flag, list, object, text};
use super::{Version, defaults};
use crate::columns::{self, Column};
use crate::scale::ScalePaths;
use crate::selectable::{self, SelectableField};
use crate::structural::{self, Structural};

pub(super) fn read(
    value: &Value,
    path: &Path<'_>,
    errors: &mut Vec<Error>,
    warnings: &mut Vec<String>,
) -> Version {
    let map = object(Some(value), path, errors);
    let name = text(map, "name", path, errors).to_owned();
    let wrong = dns1035_label(&name);
    if !wrong.is_empty() {
        errors.push(Error::invalid(path.child("name"), &name, wrong.join(",")));
    }
    let deprecated = deprecation(map, path, errors);
    let subresources = map.get("subresources").filter(|value| !value.is_null());
    let has = |key| {
        subresources
            .and_then(|map| map.get(key))
            .is_some_and(|v| !v.is_null())
    };
    let status = has("status");
    let schema = schema(map, status, path, errors, warnings);
    let sub_path = path.child("subresources");
    let scale = subresources.and_then(|subs| scale(subs, &sub_path, errors));
    Version {
        served: flag(map, "served", path, errors),
        storage: flag(map, "storage", path, errors),
        deprecated,
        status,
        scale,
        columns: columns(map, path, errors, warnings),
        selectable_fields: selectable(map, &schema, path, errors),
        schema: Arc::new(schema),
        name,
    }
}

/// The warning of a deprecated version; empty if it has no custom one.
fn deprecation(
    map: &Map<String, Value>,
    path: &Path<'_>,
    errors: &mut Vec<Error>,
) -> Option<String> {
    let deprecated = flag(map, "deprecated", path, errors);
    let warning = map
        .get("deprecationWarning")
        .filter(|value| !value.is_null());
    let Some(warning) = warning else {
        return deprecated.then(String::new);
    };
    let text = text(map, "deprecationWarning", path, errors);
    let path = path.child("deprecationWarning");
    if !deprecated {
        let detail = "can only be set for deprecated versions";
        errors.push(Error::invalid(path, warning, detail));
        return None;
    }
    if text.len() > 256 {
        errors.push(Error::invalid(path, text, "must be <= 256 characters long"));
    }
    if text.is_empty() {
        errors.push(Error::invalid(path, text, "must not be an empty string"));
    }
    let hidden = |c: char| !api_types::go_text::is_print(c);
    if let Some((index, _)) = text.char_indices().find(|(_, c)| hidden(*c)) {
        let detail = format!(
            "must only contain printable UTF-8 characters; non-printable character found at index \
             {index}"
        );
        errors.push(Error::invalid(path, text, detail));
    }
    Some(text.to_owned())
}

fn schema(
    map: &Map<String, Value>,
    status: bool,
    path: &Path<'_>,
    errors: &mut Vec<Error>,
    warnings: &mut Vec<String>,
) -> Structural {
    let schema_path = path.child("schema");
    let path = schema_path.child("openAPIV3Schema");
    let value = map
        .get("schema")
        .and_then(|schema| schema.get("openAPIV3Schema"));
    let Some(value) = value.filter(|value| !value.is_null()) else {
        errors.push(Error::required(path, ""));
        return Structural::default();
    };
    let before = errors.len();
    let schema = structural::parse(value, &path, errors);
    if errors.len() == before {
        structural::check(&schema, value, status, &path, errors, warnings);
    }
    if errors.len() == before {
        defaults::check(&schema, &path, errors);
    }
    schema
}

fn scale(value: &Value, path: &Path<'_>, errors: &mut Vec<Error>) -> Option<ScalePaths> {
    let scale = value.get("scale")?.as_object()?;
    let scale_path = path.child("scale");
    let mut read = |key: &str, parents: &[&str], required: bool, should: &str| {
        let text = text(scale, key, &scale_path, errors);
        let path = scale_path.child(key);
        if text.is_empty() {
            if required {
                errors.push(Error::required(path, ""));
            }
        } else if !text.starts_with('.') {
            let detail = "must be a simple json path starting with .";
            errors.push(Error::invalid(path, text, detail));
        } else if !parents.iter().any(|parent| text.starts_with(parent)) {
            errors.push(Error::invalid(path, text, should));
        }
        text.to_owned()
    };
    let spec = ".spec.";
    let status = ".status.";
    Some(ScalePaths {
        spec_replicas: read(
            "specReplicasPath",
            &[spec],
            true,
            "should be a json path under .spec",
        ),
        status_replicas: read(
            "statusReplicasPath",
            &[status],
            true,
            "should be a json path under .status",
        ),
        label_selector: Some(read(
            "labelSelectorPath",
            &[spec, status],
            false,
            "should be a json path under either .spec or .status",
        ))
        .filter(|path| !path.is_empty()),
    })
}

fn columns(
    map: &Map<String, Value>,
    path: &Path<'_>,
    errors: &mut Vec<Error>,
    warnings: &mut Vec<String>,
) -> Vec<Column> {
    let key = "additionalPrinterColumns";
    let items = list(map, key, path, errors);
    let path = path.child(key);
    if items.is_empty() {
        return vec![Column::age()];
    }
    let read = |(index, value)| columns::read(value, &path.index(index), errors, warnings);
    let columns: Vec<Option<Column>> = items.iter().enumerate().map(read).collect();
    columns.into_iter().map_while(|column| column).collect()
}

fn selectable(
    map: &Map<String, Value>,
    schema: &Structural,
    path: &Path<'_>,
    errors: &mut Vec<Error>,
) -> Vec<SelectableField> {
    let items = list(map, "selectableFields", path, errors);
    selectable::read(items, schema, &path.child("selectableFields"), errors)
}
