//! Uniqueness of items in lists that are sets or maps.

use std::hash::{BuildHasher as _, RandomState};

use api_types::field::{Error, Errors, Path};
use serde_json::{Map, Value};

use crate::structural::{ListType, Structural};

/// Reports repeated items, once per value, at the second occurrence. Reports nothing if the old
/// object already had repeated items (ratcheting).
#[must_use]
pub fn validate(object: &Value, old: Option<&Value>, schema: &Structural) -> Errors {
    let mut errors = Errors::new();
    node(object, schema, &Path::nil(), &mut errors);
    if !errors.is_empty()
        && let Some(old) = old
    {
        let mut before = Errors::new();
        node(old, schema, &Path::nil(), &mut before);
        if !before.is_empty() {
            return Errors::new();
        }
    }
    errors
}

fn node(value: &Value, schema: &Structural, path: &Path<'_>, errors: &mut Errors) {
    if !schema.below.unique_list {
        return;
    }
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                if let Some(below) = schema.properties.get(key) {
                    node(value, below, &path.child(key), errors);
                } else if let Some(below) = schema.additional() {
                    node(value, below, &path.key(key), errors);
                }
            }
        }
        Value::Array(items) => {
            match schema.extensions.list_type {
                Some(ListType::Set) => set(items, path, errors),
                Some(ListType::Map) => map(items, schema, path, errors),
                Some(ListType::Atomic) | None => {}
            }
            if let Some(below) = schema.items.as_deref() {
                for (index, item) in items.iter().enumerate() {
                    node(item, below, &path.index(index), errors);
                }
            }
        }
        _ => {}
    }
}

fn set(items: &[Value], path: &Path<'_>, errors: &mut Errors) {
    for index in repeated(items, kube_json::write) {
        errors.add(|| Error::duplicate(path.index(index), &items[index]));
    }
}

fn map(items: &[Value], schema: &Structural, path: &Path<'_>, errors: &mut Errors) {
    let fits = |item: &Value| item.is_object() || item.is_null();
    if let Some(index) = items.iter().position(|item| !fits(item)) {
        let detail = "must be an object for an array of list-type map";
        errors.add(|| Error::invalid(path.index(index), &items[index], detail));
        return;
    }
    let names = &schema.extensions.list_map_keys;
    let write = |item: &Value, text: &mut Vec<u8>| {
        for name in names {
            // A missing key differs from null and from every other value.
            if let Some(value) = item.get(name) {
                kube_json::write(value, text);
            }
            text.push(b',');
        }
    };
    for index in repeated(items, write) {
        errors.add(|| {
            let found = names
                .iter()
                .filter_map(|name| Some((name.clone(), items[index].get(name)?.clone())));
            let key = Value::Object(found.collect::<Map<_, _>>());
            Error::duplicate(path.index(index), &key)
        });
    }
}

/// Indexes of the second occurrence of items, where `write` gives the text that must be unique.
///
/// Sorted hashes need 16 bytes per item, whereas a map of the texts would need a multiple of the
/// list.
fn repeated(items: &[Value], write: impl Fn(&Value, &mut Vec<u8>)) -> Vec<usize> {
    if items.len() < 2 {
        return Vec::new();
    }
    let state = RandomState::new();
    let mut text = Vec::new();
    let mut hashes = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        text.clear();
        write(item, &mut text);
        hashes.push((state.hash_one(&text), index));
    }
    hashes.sort_unstable();
    let mut repeated: Vec<usize> = hashes
        .chunk_by(|left, right| left.0 == right.0)
        .filter(|same| same.len() > 1)
        .flat_map(|same| second(items, same, &write))
        .collect();
    repeated.sort_unstable();
    repeated
}

/// The index of the second occurrence of each text among items with equal hashes; usually all have
/// the same text.
fn second(
    items: &[Value],
    same: &[(u64, usize)],
    write: impl Fn(&Value, &mut Vec<u8>),
) -> Vec<usize> {
    let mut seen: Vec<(Vec<u8>, usize)> = Vec::new();
    let mut text = Vec::new();
    let mut repeated = Vec::new();
    for (_, index) in same {
        text.clear();
        write(&items[*index], &mut text);
        match seen.iter_mut().find(|(known, _)| *known == text) {
            Some((_, times)) => {
                *times += 1;
                if *times == 2 {
                    repeated.push(*index);
                }
            }
            None => seen.push((text.clone(), 1)),
        }
    }
    repeated
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::validate;
    use crate::structural;

    fn check(list: &Value, value: &Value, want: &[&str]) {
        let schema = json!({"type": "object", "properties": {"l": list}});
        let path = api_types::field::Path::new("schema");
        let schema = structural::parse(&schema, &path, &mut Vec::new());
        let errors = validate(&json!({"l": value}), None, &schema);
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(errors, want, "{value}");
    }

    #[test]
    fn repeated_items_are_reported_at_the_second_occurrence() {
        let set = json!({"type": "array", "x-kubernetes-list-type": "set", "items": {}});
        check(
            &set,
            &json!(["a", "b", "a", "b", "a"]),
            &[
                "l[2]: Duplicate value: \"a\"",
                "l[3]: Duplicate value: \"b\"",
            ],
        );
        check(&set, &json!([1, "1", null, {}, [1], {"a": 1}]), &[]);
        let map = json!({
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["a", "b"],
            "items": {"type": "object"},
        });
        check(
            &map,
            &json!([{"a": 1, "b": 2}, {"a": 12}, {"b": 12}, {"b": 2, "a": 1, "c": 3}]),
            &["l[3]: Duplicate value: {\"a\":1,\"b\":2}"],
        );
        check(
            &map,
            &json!([{}, {"a": null}, null]),
            &["l[2]: Duplicate value: {}"],
        );
        check(
            &map,
            &json!([{}, 5]),
            &["l[1]: Invalid value: 5: must be an object for an array of list-type map"],
        );
    }

    #[test]
    fn repeated_items_beyond_the_limit_are_not_reported() {
        let items: Vec<usize> = (0..200_000).map(|index| index % 100_000).collect();
        let set = json!({"type": "array", "x-kubernetes-list-type": "set", "items": {}});
        let schema = json!({"type": "object", "properties": {"l": set}});
        let path = api_types::field::Path::new("schema");
        let schema = structural::parse(&schema, &path, &mut Vec::new());
        let errors = validate(&json!({"l": items}), None, &schema);
        assert!((1_000..20_000).contains(&errors.len()), "{}", errors.len());
    }
}
