//! Validates an object: metadata, schema, scale, embedded objects, unique lists, in
//! kube-apiserver's order.
//!
//! CEL rules come last and are not evaluated yet: a definition with rules is loaded with a warning.

use api_types::field::{Error, ErrorType, Errors, Path, Value as Shown};
use api_types::meta::Meta;
use crd_schema::object_meta::{self, NameRule};
use crd_schema::{Structural, embedded, list_type, scale};
use serde_json::Value;

use super::metadata;
use super::prepare::Part;
use crate::resources::Served;

/// Errors of a new object.
pub(crate) fn create(served: &Served, object: &Value) -> Errors {
    let (schema, namespaced) = (served.schema(), served.namespaced());
    let meta = Meta::of(object);
    let mut errors = Errors::from_iter(type_meta(served, object));
    if errors.is_empty() {
        // Only metadata errors are deduplicated; see `ValidateObjectMetaDeclaratively` in
        // kube-apiserver.
        let mut distinct = Errors::distinct();
        object_meta::validate(meta, namespaced, NameRule::Subdomain, &mut distinct);
        errors.append(distinct);
        errors.append(crd_schema::validate::validate(object, None, schema));
        errors.extend(scales(served, object, Part::Main));
    }
    errors.append(embedded::validate(object, schema));
    errors.append(list_type::validate(object, None, schema));
    errors.extend(unchecked_rules(served, &errors));
    if errors.is_empty() {
        object_meta::validate(meta, namespaced, NameRule::PathSegment, &mut errors);
    }
    errors
}

/// Errors of an update.
pub(crate) fn update(served: &Served, object: &Value, old: &Value, part: Part) -> Errors {
    let (meta, before) = (Meta::of(object), Meta::of(old));
    let mut errors = Errors::new();
    object_meta::validate(
        meta,
        served.namespaced(),
        NameRule::PathSegment,
        &mut errors,
    );
    metadata::validate_update(meta, before, &mut errors);
    errors.append(custom_update(served, object, old, part));
    errors
}

/// The rules of custom resources, which validate metadata a second time, as in kube-apiserver.
fn custom_update(served: &Served, object: &Value, old: &Value, part: Part) -> Errors {
    let mut errors = Errors::from_iter(type_meta(served, object));
    if errors.is_empty() {
        let mut distinct = Errors::distinct();
        metadata::validate_update(Meta::of(object), Meta::of(old), &mut distinct);
        errors.append(distinct);
        errors.append(content(served.schema(), object, old, part));
        errors.extend(scales(served, object, part));
    }
    if part == Part::Main {
        errors.append(embedded::validate(object, served.schema()));
    }
    errors.append(list_type::validate(object, Some(old), served.schema()));
    errors.extend(unchecked_rules(served, &errors));
    errors
}

fn content(schema: &Structural, object: &Value, old: &Value, part: Part) -> Errors {
    match part {
        Part::Main => crd_schema::validate::validate(object, Some(old), schema),
        Part::Status => crd_schema::validate::validate_status(object, Some(old), schema),
    }
}

fn scales(served: &Served, object: &Value, part: Part) -> Vec<Error> {
    let paths = served.version().scale.as_ref();
    paths.map_or_else(Vec::new, |paths| {
        scale::validate(object, paths, part == Part::Status)
    })
}

/// `kind` and `apiVersion` must be those of the endpoint.
fn type_meta(served: &Served, object: &Value) -> Vec<Error> {
    let wanted = [
        ("kind", served.kind()),
        ("apiVersion", served.api_version()),
    ];
    let mut errors = Vec::new();
    for (field, wanted) in wanted {
        let found = object.get(field).and_then(Value::as_str).unwrap_or("");
        if found != wanted {
            let detail = format!("must be {wanted}");
            errors.push(Error::invalid(Path::new(field), found, detail));
        }
    }
    errors
}

/// The error that rules were not evaluated because of other errors.
fn unchecked_rules(served: &Served, errors: &[Error]) -> Option<Error> {
    let blocking = [
        ErrorType::NotSupported,
        ErrorType::Required,
        ErrorType::TooLong,
        ErrorType::TooMany,
        ErrorType::TypeInvalid,
    ];
    let blocked = errors.iter().any(|error| blocking.contains(&error.kind));
    let detail = "some validation rules were not checked because the object was invalid; correct \
                  the existing errors to complete validation";
    (served.has_rules() && blocked)
        .then(|| Error::invalid(Path::nil(), Shown::from("null"), detail))
}
