//! Schemas inside `allOf`, `anyOf`, `oneOf` and `not`: they restrict values and add no structure.

use api_types::field::{Error, Path};

use super::super::{Additional, Kind, Rules, Structural};

/// Checks the rules of a node, with the two patterns that int-or-string permits.
pub(super) fn rules(schema: &Structural, path: &Path<'_>, errors: &mut Vec<Error>) {
    let rules = &schema.rules;
    let skip_any = schema.extensions.int_or_string && is_int_or_string(&rules.any_of);
    let skip_first = schema.extensions.int_or_string
        && rules
            .all_of
            .first()
            .is_some_and(|first| is_int_or_string(&first.rules.any_of));
    value_rules(rules, skip_any, skip_first, path, errors);
}

/// `[{type: integer}, {type: string}]`.
fn is_int_or_string(any_of: &[Structural]) -> bool {
    let is = |schema: &Structural, kind| {
        schema.kind == Some(kind) && !schema.rules.any() && schema.properties.is_empty()
    };
    matches!(any_of, [a, b] if is(a, Kind::Integer) && is(b, Kind::String))
}

fn value_rules(
    rules: &Rules,
    skip_any: bool,
    skip_first_all: bool,
    path: &Path<'_>,
    errors: &mut Vec<Error>,
) {
    for (key, schemas) in [
        ("anyOf", &rules.any_of),
        ("allOf", &rules.all_of),
        ("oneOf", &rules.one_of),
    ] {
        if key == "anyOf" && skip_any {
            continue;
        }
        let path = path.child(key);
        for (index, schema) in schemas.iter().enumerate() {
            let skip = key == "allOf" && skip_first_all && index == 0;
            nested(schema, skip, &path.index(index), errors);
        }
    }
    if let Some(schema) = &rules.not {
        nested(schema, false, &path.child("not"), errors);
    }
}

fn nested(schema: &Structural, skip_any: bool, path: &Path<'_>, errors: &mut Vec<Error>) {
    value_rules(&schema.rules, skip_any, false, path, errors);
    if let Some(items) = &schema.items {
        nested(items, false, &path.child("items"), errors);
    }
    let properties = path.child("properties");
    for (name, schema) in &schema.properties {
        nested(schema, false, &properties.key(name), errors);
    }
    let extensions = &schema.extensions;
    let additional = match &schema.additional_properties {
        None => false,
        Some(Additional::Any(_) | Additional::Schema(_)) => true,
    };
    for (key, set, must) in [
        ("type", schema.kind.is_some(), "empty"),
        ("additionalProperties", additional, "undefined"),
        ("default", schema.default.is_some(), "undefined"),
        ("title", !schema.title.is_empty(), "empty"),
        ("description", !schema.description.is_empty(), "empty"),
        ("nullable", schema.nullable, "false"),
        (
            "x-kubernetes-preserve-unknown-fields",
            extensions.preserve_unknown_fields,
            "false",
        ),
        (
            "x-kubernetes-embedded-resource",
            extensions.embedded_resource,
            "false",
        ),
        (
            "x-kubernetes-int-or-string",
            extensions.int_or_string,
            "false",
        ),
        (
            "x-kubernetes-list-map-keys",
            !extensions.list_map_keys.is_empty(),
            "empty",
        ),
        (
            "x-kubernetes-list-type",
            extensions.list_type.is_some(),
            "undefined",
        ),
        (
            "x-kubernetes-map-type",
            extensions.map_type.is_some(),
            "undefined",
        ),
        (
            "x-kubernetes-validations",
            !extensions.validations.is_empty(),
            "empty",
        ),
    ] {
        if set {
            let detail = format!("must be {must} to be structural");
            errors.push(Error::forbidden(path.child(key), detail));
        }
    }
    if schema.properties.contains_key("metadata") {
        let detail = "must not be specified in a nested context";
        errors.push(Error::forbidden(properties.key("metadata"), detail));
    }
}

/// Fields that the nested schemas restrict must be declared outside of them.
pub(super) fn completeness(
    rules: &Rules,
    declared: Option<&Structural>,
    path: &Path<'_>,
    rules_path: &Path<'_>,
    errors: &mut Vec<Error>,
) {
    for (key, schemas) in [
        ("allOf", &rules.all_of),
        ("anyOf", &rules.any_of),
        ("oneOf", &rules.one_of),
    ] {
        let rules_path = rules_path.child(key);
        for (index, schema) in schemas.iter().enumerate() {
            complete(schema, declared, path, &rules_path.index(index), errors);
        }
    }
    if let Some(schema) = &rules.not {
        complete(schema, declared, path, &rules_path.child("not"), errors);
    }
}

fn complete(
    schema: &Structural,
    declared: Option<&Structural>,
    path: &Path<'_>,
    rules_path: &Path<'_>,
    errors: &mut Vec<Error>,
) {
    let Some(declared) = declared else {
        let detail = format!("because it is defined in {rules_path}");
        errors.push(Error::required(path, detail));
        return;
    };
    completeness(&schema.rules, Some(declared), path, rules_path, errors);
    if let Some(items) = &schema.items {
        let declared = declared.items.as_deref();
        let (path, rules_path) = (path.child("items"), rules_path.child("items"));
        complete(items, declared, &path, &rules_path, errors);
    }
    let (path, rules_path) = (path.child("properties"), rules_path.child("properties"));
    for (name, schema) in &schema.properties {
        let declared = declared.properties.get(name);
        complete(
            schema,
            declared,
            &path.key(name),
            &rules_path.key(name),
            errors,
        );
    }
}
