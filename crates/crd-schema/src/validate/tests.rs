//! Invalid objects and their errors, keyword by keyword.

use api_types::field::Path;
use serde_json::{Value, json};

use super::validate;
use crate::structural::{self, Structural};

fn schema(spec: &Value) -> Structural {
    let mut errors = Vec::new();
    let schema = json!({"type": "object", "properties": {"spec": spec}});
    let schema = structural::parse(&schema, &Path::new("schema"), &mut errors);
    assert_eq!(errors, []);
    schema
}

fn check(spec: &Value, value: &Value, want: &[&str]) {
    check_update(spec, value, None, want);
}

fn check_update(spec: &Value, value: &Value, old: Option<&Value>, want: &[&str]) {
    let object = json!({"spec": value});
    let old = old.map(|old| json!({"spec": old}));
    let errors = validate(&object, old.as_ref(), &schema(spec));
    let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(errors, want, "{spec} {value}");
}

#[test]
fn messages_equal_kube_apiserver() {
    let string = |rules: Value| {
        let mut schema = json!({"type": "string"});
        schema
            .as_object_mut()
            .expect("a map")
            .extend(rules.as_object().expect("a map").clone());
        schema
    };
    check(
        &json!({"type": "boolean"}),
        &json!("x"),
        &[r#"spec: Invalid value: "string": spec in body must be of type boolean: "string""#],
    );
    check(
        &json!({"x-kubernetes-int-or-string": true}),
        &json!(true),
        &[
            r#"spec: Invalid value: "boolean": spec in body must be of type integer,string: "boolean""#,
        ],
    );
    check(
        &string(json!({"format": "date-time"})),
        &json!("nodate"),
        &[r#"spec: Invalid value: "nodate": spec in body must be of type date-time: "nodate""#],
    );
    check(
        &string(json!({"maxLength": 5, "pattern": "^x"})),
        &json!("éééééé"),
        &["spec: Too long: may not be more than 5 bytes"],
    );
    check(
        &string(json!({"pattern": "^a$"})),
        &json!("Z"),
        &[r#"spec: Invalid value: "Z": spec in body should match '^a$'"#],
    );
    check(
        &string(json!({"enum": ["a", "b"]})),
        &json!("zz"),
        &[r#"spec: Unsupported value: "zz": supported values: "a", "b""#],
    );
    check(
        &json!({"type": "object", "required": ["k"]}),
        &json!({}),
        &["spec.k: Required value"],
    );
    check(
        &json!({"type": "integer", "minimum": 1}),
        &json!(0),
        &["spec: Invalid value: 0: spec in body should be greater than or equal to 1"],
    );
    check(
        &json!({"type": "array", "items": {"type": "string"}, "maxItems": 2}),
        &json!(["a", "b", 3]),
        &[
            r#"spec[2]: Invalid value: "integer": spec[2] in body must be of type string: "integer""#,
            "spec: Too many: 3: must have at most 2 items",
        ],
    );
    check(
        &json!({"type": "object", "additionalProperties": {"type": "string"}}),
        &json!({"a": 1}),
        &[r#"spec.a: Invalid value: "integer": spec.a in body must be of type string: "integer""#],
    );
    check(
        &json!({
            "type": "object",
            "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
            "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
        }),
        &json!({"a": "1", "b": "2"}),
        &[
            r#"<nil>: Invalid value: "": "spec" must validate one and only one schema (oneOf). Found 2 valid alternatives"#,
        ],
    );
}

#[test]
fn errors_in_unchanged_values_are_dropped() {
    let spec = json!({
        "type": "object",
        "properties": {
            "a": {"type": "string", "maxLength": 1},
            "b": {"type": "string", "maxLength": 1},
            "l": {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["k"],
                "items": {
                    "type": "object",
                    "properties": {"k": {"type": "string"}, "v": {"type": "integer", "minimum": 5}},
                },
            },
        },
    });
    let old = json!({"a": "long", "l": [{"k": "x", "v": 1}, {"k": "y", "v": 2}]});
    check_update(&spec, &old, Some(&old), &[]);
    check_update(
        &spec,
        &json!({"a": "long", "b": "long", "l": [{"k": "y", "v": 2}, {"k": "x", "v": 3}]}),
        Some(&old),
        &[
            "spec.b: Too long: may not be more than 1 byte",
            "spec.l[1].v: Invalid value: 3: spec.l[1].v in body should be greater than or equal to 5",
        ],
    );
}

/// The responses of kube-apiserver 1.37.2 to objects of `reference/schema.json`.
#[test]
fn responses_equal_the_reference() {
    let parse = |text: &str| kube_json::parse(text.as_bytes()).expect("JSON").value;
    let file = parse(include_str!("reference/schema.json"));
    let mut errors = Vec::new();
    let schema = structural::parse(&file["schema"], &Path::new("schema"), &mut errors);
    assert_eq!(errors, []);
    let answers = parse(include_str!("reference/answers.json"));
    for row in answers.as_array().expect("a list") {
        let mut object = json!({"spec": row["spec"]});
        let want = row["message"].as_str().expect("a text");
        assert_eq!(response(&mut object, &schema), want, "{}", row["spec"]);
    }
}

fn response(object: &mut Value, schema: &Structural) -> String {
    crate::prune::prune(object, schema);
    crate::nulls::drop_nulls(object, schema);
    if let Err(error) = crate::coerce::metadata(object, schema, crate::coerce::Mode::Strict) {
        return error.to_string();
    }
    crate::default::apply(object, schema, 1 << 20).expect("defaults fit");
    let paths = crate::ScalePaths {
        spec_replicas: String::from(".spec.replicas"),
        status_replicas: String::from(".status.replicas"),
        label_selector: None,
    };
    let mut errors = validate(object, None, schema);
    errors.extend(crate::scale::validate(object, &paths, false));
    errors.append(crate::embedded::validate(object, schema));
    errors.append(crate::list_type::validate(object, None, schema));
    api_types::field::aggregate(&errors)
}

/// Checks that the errors of an object with very many errors are limited.
fn bounded(spec: &Value, value: &Value) {
    let errors = validate(&json!({"spec": value}), None, &schema(spec));
    let bytes: usize = errors.iter().map(api_types::field::Error::size).sum();
    assert!(errors.len() > 10, "{}", errors.len());
    assert!(bytes <= 2 * api_types::field::MAX_BYTES, "{bytes}");
    let last = errors.last().expect("an error").to_string();
    assert!(last.contains("some errors are not shown"), "{last}");
}

#[test]
fn errors_beyond_the_limit_are_not_built() {
    let list = |items: Value| json!({"type": "array", "items": items});
    let many = |value: Value| Value::Array(vec![value; 20_000]);
    let names: Vec<String> = (0..2_000).map(|n| format!("value-{n:04}")).collect();
    bounded(
        &list(json!({"type": "string", "enum": names})),
        &many(json!("x")),
    );
    let names: Vec<String> = (0..100).map(|n| format!("field-{n:04}")).collect();
    bounded(
        &list(json!({"type": "object", "required": names})),
        &many(json!({})),
    );
    let long = "p".repeat(10_000);
    bounded(
        &list(json!({"type": "string", "pattern": long})),
        &many(json!("x")),
    );
    let branch = json!({"minimum": 1});
    bounded(
        &list(json!({"type": "integer", "anyOf": [branch, branch], "allOf": [branch], "not": {}})),
        &many(json!(0)),
    );
}

/// Errors in unchanged values must not use up the limit for those in changed values.
#[test]
fn dropped_errors_do_not_count_against_the_limit() {
    let items = json!({"type": "array", "items": {"type": "string", "maxLength": 1}});
    let spec = json!({"type": "object", "properties": {
        "a": items,
        "b": {"type": "string", "maxLength": 1},
    }});
    let long = json!(vec!["long"; 50_000]);
    check_update(
        &spec,
        &json!({"a": long, "b": "long"}),
        Some(&json!({"a": long})),
        &["spec.b: Too long: may not be more than 1 byte"],
    );
}

#[test]
fn pattern_matching_time_is_bounded() {
    let pattern = json!({"pattern": "^[ab]*a[ab]{500}c?$"});
    let spec = json!({"type": "string", "allOf": [pattern, pattern]});
    let errors = |length: usize| {
        let object = json!({"spec": "a".repeat(length)});
        validate(&object, None, &schema(&spec)).into_vec()
    };
    assert_eq!(errors(10_000), []);
    let texts: Vec<String> = errors(3 << 20).iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "spec: Too long: takes too long to match with '^[ab]*a[ab]{500}c?$'",
            "<nil>: Invalid value: \"\": \"spec\" must validate all the schemas (allOf). None validated",
        ]
    );
}

/// Thousands of items with the same key, each with a list that is compared with the same old list.
#[test]
fn indexing_of_old_lists_is_bounded() {
    let list = |items: Value| {
        json!({
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["k"],
            "items": items,
        })
    };
    let leaf = json!({"type": "object", "properties": {
        "k": {"type": "integer"},
        "v": {"type": "integer", "minimum": 1},
    }});
    let branch = json!({"type": "object", "properties": {
        "k": {"type": "integer"},
        "l": list(leaf),
    }});
    let old: Vec<Value> = (0..20_000).map(|k| json!({"k": k, "v": 0})).collect();
    let old = json!({"spec": [{"k": 1, "l": old}]});
    let new = vec![json!({"k": 1, "l": [{"k": 5, "v": 0}]}); 20_000];
    let errors = validate(&json!({"spec": new}), Some(&old), &schema(&list(branch)));
    // The first items are unchanged, so their errors are dropped.
    let first = errors.first().expect("an error").to_string();
    assert!(
        first.starts_with("spec[52].l[0].v: Invalid value: 0"),
        "{first}"
    );
}

/// Each branch visits each item, and no branch matches.
#[test]
fn branch_validation_time_is_bounded() {
    let branch = |at: usize| json!({"properties": {format!("p{at}"): {"type": "integer"}}, "required": [format!("p{at}")]});
    let branches: Vec<Value> = (0..60).map(branch).collect();
    for kind in ["anyOf", "oneOf", "allOf"] {
        let items = json!({"type": "object", kind: branches});
        let spec = json!({"type": "array", "items": items});
        let errors = |count: usize| {
            let object = json!({"spec": vec![json!({}); count]});
            validate(&object, None, &schema(&spec)).into_vec()
        };
        let started = std::time::Instant::now();
        assert!(!errors(900_000).is_empty(), "{kind}");
        // Without the limit this took 34 s in a release build.
        assert!(
            started.elapsed() < std::time::Duration::from_secs(15),
            "{kind}"
        );
    }
    // A `not` whose branch was not checked must not pass.
    let items = json!({"type": "object", "not": {"required": ["a"]}});
    let spec = json!({"type": "array", "items": items});
    let object = json!({"spec": vec![json!({}); 3 << 20]});
    let errors = validate(&object, None, &schema(&spec)).into_vec();
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        ["<nil>: Too long: takes too long to check with anyOf, oneOf, allOf and not"]
    );
}

/// kube-openapi divides, and accepts quotients that are nearly integers on either side.
#[test]
fn hundredths_are_multiples_of_a_hundredth() {
    let schema = schema(&json!({"type": "number", "multipleOf": 0.01}));
    let is_valid = |value: f64| {
        let object = json!({"spec": value});
        validate(&object, None, &schema).is_empty()
    };
    for hundredths in 1..=400 {
        let value = f64::from(hundredths) / 100.0;
        assert!(is_valid(value), "{value}");
    }
    for value in [0.005, 0.015, 3.999, 1e-9] {
        assert!(!is_valid(value), "{value}");
    }
}
