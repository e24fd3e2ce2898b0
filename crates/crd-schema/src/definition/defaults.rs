//! Default values: they must satisfy their own schema.
//!
//! Source: `apiextensions-apiserver/pkg/apiserver/schema/defaulting/validation.go`, and
//! `withForbiddenDefaults` in `pkg/apis/apiextensions/validation`. Defaults below
//! `additionalProperties` are not checked there, and neither are they here.

use api_types::field::{Error, Path, aggregate};
use serde_json::{Value, json};

use crate::coerce::{self, Mode};
use crate::{Structural, embedded, prune, validate};

/// A level of a value.
#[derive(Clone, Copy)]
enum Step<'a> {
    Item,
    Field(&'a str),
}

/// An embedded object, and the way from its root to the current schema.
#[derive(Clone)]
struct Surrounding<'a> {
    root: &'a Structural,
    way: Vec<Step<'a>>,
    /// Whether the current schema is that of `apiVersion`, `kind` or `metadata`, or below it.
    inside_meta: bool,
}

/// Where a schema is.
#[derive(Clone, Default)]
struct Place {
    /// The root of the resource.
    root: bool,
    inside_meta: bool,
    /// Why defaults are forbidden.
    forbidden: Option<String>,
}

/// Reports the defaults that are forbidden, and, if there are no other errors, those that their
/// schemas reject.
pub(super) fn check(schema: &Structural, path: &Path<'_>, errors: &mut Vec<Error>) {
    let before = errors.len();
    forbidden(schema, path, errors);
    if errors.len() == before {
        values(schema, path, errors);
    }
}

/// Reports the defaults that their schemas reject.
fn values(schema: &Structural, path: &Path<'_>, errors: &mut Vec<Error>) {
    // The root is an object with type and metadata, even if the schema does not say so.
    let mut root = schema.clone();
    root.extensions.embedded_resource = true;
    root.finish();
    let surrounding = Surrounding {
        root: &root,
        way: Vec::new(),
        inside_meta: false,
    };
    node(&root, &surrounding, path, errors);
}

// bounded: manifests are written by operators, and the parser limits their depth
fn node<'a>(
    schema: &'a Structural,
    surrounding: &Surrounding<'a>,
    path: &Path<'_>,
    errors: &mut Vec<Error>,
) {
    if !schema.below.default {
        return;
    }
    let own = Surrounding {
        root: schema,
        way: Vec::new(),
        inside_meta: false,
    };
    let embedded = schema.extensions.embedded_resource;
    let surrounding = if embedded { &own } else { surrounding };
    if let Some(default) = &schema.default {
        let path = path.child("default");
        if surrounding.inside_meta {
            inside_meta(schema, default, surrounding, &path, errors);
        } else {
            outside_meta(schema, default, &path, errors);
        }
    }
    let below = |step| {
        let mut below = surrounding.clone();
        below.way.push(step);
        below
    };
    if let Some(items) = schema.items.as_deref() {
        node(items, &below(Step::Item), &path.child("items"), errors);
    }
    let properties = path.child("properties");
    for (name, child) in &schema.properties {
        let mut below = below(Step::Field(name));
        below.inside_meta |= embedded && prune::is_meta(name);
        node(child, &below, &properties.key(name), errors);
    }
}

fn outside_meta(schema: &Structural, default: &Value, path: &Path<'_>, errors: &mut Vec<Error>) {
    let mut value = default.clone();
    prune::prune_part(&mut value, schema);
    if value != *default {
        errors.push(Error::invalid(
            path,
            default,
            "must not have unknown fields",
        ));
    }
    let mut value = default.clone();
    let found: Vec<Error> = match coerce::embedded(&mut value, schema, Mode::Strict) {
        Err(coerce::CoerceError::Embedded(error)) => vec![error],
        Err(error @ coerce::CoerceError::Root(_)) => {
            vec![Error::invalid(Path::nil(), default, error.to_string())]
        }
        Ok(_) => first_of(
            || embedded::validate(default, schema).into_vec(),
            || validate::validate(default, None, schema).into_vec(),
        ),
    };
    errors.extend(found.into_iter().map(|error| under(error, path)));
}

fn inside_meta(
    schema: &Structural,
    default: &Value,
    surrounding: &Surrounding<'_>,
    path: &Path<'_>,
    errors: &mut Vec<Error>,
) {
    let mut object = surrounding.object(default);
    let problem = match coerce::embedded(&mut object, surrounding.root, Mode::Strict) {
        Err(error) => Some(error.to_string()),
        Ok(_) => {
            let found = embedded::validate(&object, surrounding.root);
            (!found.is_empty()).then(|| aggregate(&found))
        }
    };
    if let Some(problem) = problem {
        let detail = format!("must result in valid metadata: {problem}");
        errors.push(Error::invalid(path, default, detail));
        return;
    }
    let found = validate::validate(default, None, schema).into_vec();
    errors.extend(found.into_iter().map(|error| under(error, path)));
}

/// The errors of the first check that has any.
fn first_of(first: impl FnOnce() -> Vec<Error>, second: impl FnOnce() -> Vec<Error>) -> Vec<Error> {
    let found = first();
    if found.is_empty() { second() } else { found }
}

/// Moves an error of the default value to the field `default` of the schema.
fn under(mut error: Error, path: &Path<'_>) -> Error {
    error.field = match error.field.as_str() {
        "" | "<nil>" => path.to_string(),
        field if field.starts_with('[') => format!("{path}{field}"),
        field => format!("{path}.{field}"),
    };
    error
}

/// Forbids defaults in the metadata of the object itself, and in maps of any metadata.
fn forbidden(schema: &Structural, path: &Path<'_>, errors: &mut Vec<Error>) {
    let root = Place {
        root: true,
        ..Place::default()
    };
    forbidden_at(schema, &root, path, errors);
}

// bounded: manifests are written by operators, and the parser limits their depth
fn forbidden_at(schema: &Structural, place: &Place, path: &Path<'_>, errors: &mut Vec<Error>) {
    if let Some(reason) = place
        .forbidden
        .as_ref()
        .filter(|_| schema.default.is_some())
    {
        let detail = format!("must not be set {reason}");
        errors.push(Error::forbidden(path.child("default"), detail));
    }
    let embedded = schema.extensions.embedded_resource;
    if place.inside_meta && embedded {
        let detail = "must not be used inside of resource meta";
        let path = path.child("x-kubernetes-embedded-resource");
        errors.push(Error::forbidden(path, detail));
    }
    let inner = Place {
        root: false,
        ..place.clone()
    };
    let properties = path.child("properties");
    for (name, child) in &schema.properties {
        let mut below = inner.clone();
        if (place.root || embedded) && prune::is_meta(name) {
            below.inside_meta = true;
            if place.root {
                below.forbidden = Some(format!("in top-level {name}"));
            }
        }
        forbidden_at(child, &below, &properties.key(name), errors);
    }
    if let Some(child) = schema.additional() {
        let mut below = inner.clone();
        if place.inside_meta {
            let reason = "inside additionalProperties applying to object metadata";
            below.forbidden = Some(reason.to_owned());
        }
        forbidden_at(child, &below, &path.child("additionalProperties"), errors);
    }
    if let Some(child) = &schema.items {
        forbidden_at(child, &inner, &path.child("items"), errors);
    }
}

// === impl Surrounding ===

impl Surrounding<'_> {
    /// The smallest object of the root schema that contains the value at the current place.
    fn object(&self, value: &Value) -> Value {
        let wrap = |inner: Value, step: &Step<'_>| match step {
            Step::Item => Value::Array(vec![inner]),
            Step::Field(name) => json!({ *name: inner }),
        };
        let mut object = self.way.iter().rev().fold(value.clone(), wrap);
        if let Value::Object(map) = &mut object {
            let mut set = |key: &str, text: &str| {
                let slot = map.entry(key.to_owned());
                slot.or_insert_with(|| text.into());
            };
            set("kind", "Validation");
            set("apiVersion", "validation/v1");
        }
        object
    }
}
