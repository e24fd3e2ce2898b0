//! The documents of a manifest file, as `kubectl apply -f` reads them: YAML documents between
//! `---`, JSON documents one after another, and lists of objects.

use serde_json::Value;

/// The texts of the documents that are not empty.
pub(super) fn split(text: &str) -> Vec<&str> {
    let parts = yaml_documents(text).into_iter();
    parts
        .flat_map(|part| json_documents(part).unwrap_or_else(|| vec![part]))
        .collect()
}

/// The objects of a document, with the position within it: the document itself, or the items of a
/// `List` and of a list of one kind, which may contain lists.
pub(super) fn objects(document: Value) -> Vec<(String, Value)> {
    let mut objects = Vec::new();
    // The last element is the next one in order.
    let mut open = vec![(String::new(), document)];
    while let Some((at, mut value)) = open.pop() {
        let Some(items) = take_items(&mut value) else {
            objects.push((at, value));
            continue;
        };
        let numbered = items.into_iter().enumerate();
        let items: Vec<_> = numbered
            .map(|(index, item)| (format!("{at}: item {}", index + 1), item))
            .collect();
        open.extend(items.into_iter().rev());
    }
    objects
}

/// The items of a list. An item of a list of one kind may omit its kind, as in responses of
/// kube-apiserver.
fn take_items(value: &mut Value) -> Option<Vec<Value>> {
    let kind = value
        .get("kind")?
        .as_str()?
        .strip_suffix("List")?
        .to_owned();
    let api_version = value.get("apiVersion").cloned();
    let Value::Array(mut items) = value.get_mut("items")?.take() else {
        return None;
    };
    for item in items.iter_mut().filter_map(Value::as_object_mut) {
        if !kind.is_empty() && !item.contains_key("kind") && !item.contains_key("apiVersion") {
            item.insert("kind".to_owned(), kind.clone().into());
            item.extend(api_version.clone().map(|it| ("apiVersion".to_owned(), it)));
        }
    }
    Some(items)
}

/// The parts between lines that start with `---`.
fn yaml_documents(text: &str) -> Vec<&str> {
    let mut documents = Vec::new();
    let (mut start, mut at) = (0, 0);
    for line in text.split_inclusive('\n') {
        if line.starts_with("---") && line[3..].chars().next().is_none_or(char::is_whitespace) {
            documents.push(&text[start..at]);
            start = at + line.len();
        }
        at += line.len();
    }
    documents.push(&text[start..]);
    documents.retain(|document| {
        let mut lines = document.lines().map(str::trim);
        lines.any(|line| !line.is_empty() && !line.starts_with('#'))
    });
    documents
}

/// The objects of a text that consists of JSON objects only; `None` if it is something else, such
/// as YAML in flow style.
fn json_documents(text: &str) -> Option<Vec<&str>> {
    let mut documents = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (document, after) = rest.split_at(json_object_end(rest)?);
        kube_json::parse(document.as_bytes()).ok()?;
        documents.push(document);
        rest = after.trim_start();
    }
    Some(documents)
}

/// The position after the closing brace of the object at the beginning of a text.
fn json_object_end(text: &str) -> Option<usize> {
    if !text.starts_with('{') {
        return None;
    }
    let (mut depth, mut quoted, mut escaped) = (0usize, false, false);
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'{' => depth += 1,
            b'}' if depth == 1 => return Some(index + 1),
            b'}' => depth -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{objects, split};

    #[test]
    fn texts_are_split_into_documents() {
        for (text, want) in [
            ("a: 1\n---\nb: 2\n", vec!["a: 1\n", "b: 2\n"]),
            ("---\n# nothing\n---\na: 1\n", vec!["a: 1\n"]),
            (
                r#"{"a":"}{"} {"b":{"c":"\"}"}}"#,
                vec![r#"{"a":"}{"}"#, r#"{"b":{"c":"\"}"}}"#],
            ),
            (
                "{\"a\":1}\n\n{\"b\":2}\n---\n{\"c\":3}{\"d\":4}",
                vec![r#"{"a":1}"#, r#"{"b":2}"#, r#"{"c":3}"#, r#"{"d":4}"#],
            ),
            // YAML in flow style.
            ("{a: '}'}\n", vec!["{a: '}'}\n"]),
            ("{\"a\": 1, }\n", vec!["{\"a\": 1, }\n"]),
            ("{\"a\":", vec!["{\"a\":"]),
        ] {
            assert_eq!(split(text), want, "{text}");
        }
    }

    #[test]
    fn lists_are_replaced_by_their_items() {
        let named =
            |kind: &str, name: &str| json!({"apiVersion": "x/v1", "kind": kind, "name": name});
        let inner = json!({"apiVersion": "x/v1", "kind": "FooList", "items": [
            {"name": "b"}, named("Bar", "c"),
        ]});
        let list = json!({"apiVersion": "v1", "kind": "List", "items": [
            named("Foo", "a"), inner, named("Foo", "d"),
        ]});
        let found = objects(list);
        let want = [
            (": item 1", named("Foo", "a")),
            (": item 2: item 1", named("Foo", "b")),
            (": item 2: item 2", named("Bar", "c")),
            (": item 3", named("Foo", "d")),
        ];
        assert_eq!(found, want.map(|(at, value)| (at.to_owned(), value)));
        let empty = json!({"apiVersion": "v1", "kind": "List", "items": []});
        assert_eq!(objects(empty), []);
        // Without items it is an object like any other.
        let shopping = json!({"apiVersion": "x/v1", "kind": "ShoppingList"});
        assert_eq!(objects(shopping.clone()), [(String::new(), shopping)]);
    }
}
