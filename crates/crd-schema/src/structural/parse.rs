//! Parses a schema of a manifest.

use std::collections::BTreeMap;

use api_types::field::{Error, Path};
use serde_json::{Map, Value};

use super::{Additional, Extensions, Kind, ListType, MapType, Rules, Structural};
use crate::regexp::Pattern;

/// Parses a schema; adds every error to `errors`.
pub(crate) fn parse(value: &Value, path: &Path<'_>, errors: &mut Vec<Error>) -> Structural {
    let Value::Object(map) = value else {
        errors.push(Error::type_invalid(path, value, "must be an object"));
        return Structural::default();
    };
    let mut node = Reader { map, path, errors };
    let kind = node.kind();
    let mut schema = Structural {
        kind,
        title: node.text("title"),
        description: node.text("description"),
        nullable: node.flag("nullable"),
        default: map.get("default").filter(|v| !v.is_null()).cloned(),
        properties: node.properties(),
        additional_properties: node.additional(),
        items: node.items(),
        extensions: node.extensions(),
        rules: node.rules(),
        example: map.get("example").cloned(),
        external_docs: map.get("externalDocs").cloned(),
        ..Structural::default()
    };
    node.forbidden();
    schema.finish();
    schema
}

/// State while one node is parsed.
struct Reader<'a, 'p> {
    map: &'a Map<String, Value>,
    path: &'a Path<'p>,
    errors: &'a mut Vec<Error>,
}

impl Reader<'_, '_> {
    fn get<T>(&mut self, key: &str, what: &str, read: impl Fn(&Value) -> Option<T>) -> Option<T> {
        let value = self.map.get(key).filter(|value| !value.is_null())?;
        let found = read(value);
        if found.is_none() {
            let detail = format!("must be {what}");
            self.errors
                .push(Error::type_invalid(self.path.child(key), value, detail));
        }
        found
    }

    fn text(&mut self, key: &str) -> String {
        self.get(key, "a string", |value| value.as_str().map(String::from))
            .unwrap_or_default()
    }

    fn flag(&mut self, key: &str) -> bool {
        self.get(key, "a boolean", Value::as_bool)
            .unwrap_or_default()
    }

    fn number(&mut self, key: &str) -> Option<f64> {
        self.get(key, "a number", Value::as_f64)
    }

    fn count(&mut self, key: &str) -> Option<i64> {
        self.get(key, "an integer", Value::as_i64)
    }

    fn texts(&mut self, key: &str) -> Vec<String> {
        let read = |value: &Value| {
            let items = value.as_array()?;
            let texts = items.iter().map(|item| item.as_str().map(String::from));
            texts.collect::<Option<Vec<_>>>()
        };
        self.get(key, "a list of strings", read).unwrap_or_default()
    }

    fn values(&mut self, key: &str) -> Vec<Value> {
        self.get(key, "a list", |value| value.as_array().cloned())
            .unwrap_or_default()
    }

    fn kind(&mut self) -> Option<Kind> {
        let name = self.text("type");
        if name.is_empty() {
            return None;
        }
        let found = Kind::ALL.into_iter().find(|kind| kind.name() == name);
        if found.is_none() {
            let names = Kind::ALL.map(Kind::name);
            self.errors
                .push(Error::not_supported(self.path.child("type"), name, &names));
        }
        found
    }

    fn properties(&mut self) -> BTreeMap<String, Structural> {
        let map = self.get("properties", "an object", |value| {
            value.as_object().cloned()
        });
        let path = self.path.child("properties");
        map.unwrap_or_default()
            .into_iter()
            .map(|(name, value)| {
                let schema = parse(&value, &path.key(&name), self.errors);
                (name, schema)
            })
            .collect()
    }

    fn additional(&mut self) -> Option<Additional> {
        match self.map.get("additionalProperties")? {
            Value::Null => None,
            Value::Bool(allowed) => Some(Additional::Any(*allowed)),
            schema => {
                let path = self.path.child("additionalProperties");
                let schema = parse(schema, &path, self.errors);
                Some(Additional::Schema(Box::new(schema)))
            }
        }
    }

    fn items(&mut self) -> Option<Box<Structural>> {
        let path = self.path.child("items");
        match self.map.get("items")? {
            Value::Null => None,
            Value::Array(_) => {
                let detail = "items must be a schema object and not an array";
                self.errors.push(Error::forbidden(path, detail));
                None
            }
            schema => Some(Box::new(parse(schema, &path, self.errors))),
        }
    }

    fn nested(&mut self, key: &str) -> Vec<Structural> {
        let path = self.path.child(key);
        let values = self.values(key);
        let read = |(index, value)| parse(value, &path.index(index), self.errors);
        values.iter().enumerate().map(read).collect()
    }

    fn extensions(&mut self) -> Extensions {
        let key = "x-kubernetes-preserve-unknown-fields";
        if self.map.get(key) == Some(&Value::Bool(false)) {
            let detail = "must be true or undefined";
            self.errors
                .push(Error::invalid(self.path.child(key), false, detail));
        }
        Extensions {
            preserve_unknown_fields: self.flag(key),
            embedded_resource: self.flag("x-kubernetes-embedded-resource"),
            int_or_string: self.flag("x-kubernetes-int-or-string"),
            list_type: self.choice(
                "x-kubernetes-list-type",
                &[
                    ("atomic", ListType::Atomic),
                    ("set", ListType::Set),
                    ("map", ListType::Map),
                ],
            ),
            list_map_keys: self.texts("x-kubernetes-list-map-keys"),
            map_type: self.choice(
                "x-kubernetes-map-type",
                &[("atomic", MapType::Atomic), ("granular", MapType::Granular)],
            ),
            validations: self.values("x-kubernetes-validations"),
        }
    }

    fn choice<T: Copy>(&mut self, key: &str, choices: &[(&str, T)]) -> Option<T> {
        let name = self.get(key, "a string", |value| value.as_str().map(String::from))?;
        let found = choices.iter().find(|(choice, _)| *choice == name);
        if found.is_none() {
            let names: Vec<&str> = choices.iter().map(|(choice, _)| *choice).collect();
            self.errors
                .push(Error::not_supported(self.path.child(key), name, &names));
        }
        found.map(|(_, choice)| *choice)
    }

    fn rules(&mut self) -> Rules {
        let path = self.path.child("not");
        let not = self.map.get("not").filter(|value| !value.is_null());
        let not = not.map(|value| Box::new(parse(value, &path, self.errors)));
        Rules {
            format: self.text("format"),
            maximum: self.number("maximum"),
            exclusive_maximum: self.flag("exclusiveMaximum"),
            minimum: self.number("minimum"),
            exclusive_minimum: self.flag("exclusiveMinimum"),
            multiple_of: self.number("multipleOf"),
            max_length: self.count("maxLength"),
            min_length: self.count("minLength"),
            pattern: self.pattern(),
            max_items: self.count("maxItems"),
            min_items: self.count("minItems"),
            unique_items: self.unique_items(),
            max_properties: self.count("maxProperties"),
            min_properties: self.count("minProperties"),
            required: self.texts("required"),
            values: self.values("enum").into(),
            all_of: self.nested("allOf"),
            any_of: self.nested("anyOf"),
            one_of: self.nested("oneOf"),
            not,
        }
    }

    fn pattern(&mut self) -> Option<Pattern> {
        let text = self.text("pattern");
        if text.is_empty() {
            return None;
        }
        match Pattern::new(&text) {
            Ok(pattern) => Some(pattern),
            Err(error) => {
                let detail = format!("must be a valid regular expression, but isn't: {error}");
                self.errors
                    .push(Error::invalid(self.path.child("pattern"), text, detail));
                None
            }
        }
    }

    fn unique_items(&mut self) -> bool {
        let unique = self.flag("uniqueItems");
        if unique {
            let detail = "uniqueItems cannot be set to true since the runtime complexity becomes \
                          quadratic";
            self.errors
                .push(Error::forbidden(self.path.child("uniqueItems"), detail));
        }
        unique
    }

    /// Rejects keywords of JSON Schema that definitions must not use.
    fn forbidden(&mut self) {
        for (key, detail) in [
            ("definitions", "definitions is not supported"),
            ("dependencies", "dependencies is not supported"),
            ("patternProperties", "patternProperties is not supported"),
            ("additionalItems", "additionalItems is not supported"),
            ("$ref", "$ref is not supported"),
            ("id", "id is not supported"),
        ] {
            if self.map.get(key).is_some_and(|value| !value.is_null()) {
                self.errors
                    .push(Error::forbidden(self.path.child(key), detail));
            }
        }
    }
}
