//! Documents whose fields come in a fixed order rather than sorted, as Go writes its structs.

use std::io::Write as _;

use serde_json::Value;

use crate::write::{write, write_string};

/// Writes one JSON object, field by field, in the order of the calls.
///
/// ```
/// let mut out = Vec::new();
/// let mut status = kube_json::ObjectWriter::begin(&mut out);
/// status.string("kind", "Status");
/// status.object("metadata").end();
/// status.integer("code", 404);
/// status.end();
/// assert_eq!(out, br#"{"kind":"Status","metadata":{},"code":404}"#);
/// ```
#[must_use = "an object that is not ended lacks its brace"]
#[derive(Debug)]
pub struct ObjectWriter<'a> {
    out: &'a mut Vec<u8>,
    empty: bool,
}

impl<'a> ObjectWriter<'a> {
    /// Opens an object.
    pub fn begin(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, empty: true }
    }

    /// A field with a text.
    pub fn string(&mut self, key: &str, text: &str) {
        self.key(key);
        write_string(text, self.out);
    }

    /// A field with a text, left out if the text is empty.
    pub fn string_unless_empty(&mut self, key: &str, text: &str) {
        if !text.is_empty() {
            self.string(key, text);
        }
    }

    /// A field with an integer.
    pub fn integer(&mut self, key: &str, number: i64) {
        self.key(key);
        let outcome = write!(self.out, "{number}");
        debug_assert!(outcome.is_ok(), "a Vec takes every byte");
    }

    /// A field with a truth value.
    pub fn boolean(&mut self, key: &str, value: bool) {
        self.raw(key, if value { b"true" } else { b"false" });
    }

    /// A field with any value, its keys sorted.
    pub fn value(&mut self, key: &str, value: &Value) {
        self.key(key);
        write(value, self.out);
    }

    /// A field with a value that is JSON already.
    pub fn raw(&mut self, key: &str, json: &[u8]) {
        self.key(key);
        self.out.extend_from_slice(json);
    }

    /// A field with an object, to be ended before the next field.
    pub fn object(&mut self, key: &str) -> ObjectWriter<'_> {
        self.key(key);
        ObjectWriter::begin(self.out)
    }

    /// A field with a list of objects, one per item.
    pub fn objects<T>(
        &mut self,
        key: &str,
        items: impl IntoIterator<Item = T>,
        mut fields: impl FnMut(T, &mut ObjectWriter<'_>),
    ) {
        self.key(key);
        self.out.push(b'[');
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            let mut object = ObjectWriter::begin(self.out);
            fields(item, &mut object);
            object.end();
        }
        self.out.push(b']');
    }

    /// A field whose value is appended by the caller, who must append exactly one JSON value.
    pub fn with(&mut self, key: &str, value: impl FnOnce(&mut Vec<u8>)) {
        self.key(key);
        value(self.out);
    }

    /// Closes the object.
    pub fn end(self) {
        self.out.push(b'}');
    }

    fn key(&mut self, key: &str) {
        if !self.empty {
            self.out.push(b',');
        }
        self.empty = false;
        write_string(key, self.out);
        self.out.push(b':');
    }
}

/// The compact document with two spaces of indentation per level, its fields in the order they are
/// in. Expects JSON as this crate writes it.
#[must_use]
pub fn indent(compact: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(compact.len() * 3 / 2);
    let mut depth = 0;
    let mut in_string = false;
    let mut escaped = false;
    for (at, &byte) in compact.iter().enumerate() {
        if in_string {
            out.push(byte);
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
            continue;
        }
        let next = compact.get(at + 1);
        match byte {
            b'{' | b'[' => {
                out.push(byte);
                if !matches!(next, Some(b'}' | b']')) {
                    depth += 1;
                    new_line(depth, &mut out);
                }
            }
            b'}' | b']' => {
                let empty = at > 0 && matches!(compact[at - 1], b'{' | b'[');
                if !empty {
                    depth = usize::saturating_sub(depth, 1);
                    new_line(depth, &mut out);
                }
                out.push(byte);
            }
            b',' => {
                out.push(byte);
                new_line(depth, &mut out);
            }
            b':' => out.extend_from_slice(b": "),
            b'"' => {
                in_string = true;
                out.push(byte);
            }
            other => out.push(other),
        }
    }
    out
}

fn new_line(depth: usize, out: &mut Vec<u8>) {
    out.push(b'\n');
    for _ in 0..depth {
        out.extend_from_slice(b"  ");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{ObjectWriter, indent};
    use crate::{to_vec, to_vec_pretty};

    #[test]
    fn fields_keep_the_order_of_calls() {
        let mut out = Vec::new();
        let mut object = ObjectWriter::begin(&mut out);
        object.boolean("z", true);
        object.string_unless_empty("none", "");
        object.value("y", &json!({"b": 1, "a": 2}));
        object.objects("x", [1, 2], |number, item| item.integer("n", number));
        object.raw("w", b"null");
        object.end();
        let want = r#"{"z":true,"y":{"a":2,"b":1},"x":[{"n":1},{"n":2}],"w":null}"#;
        assert_eq!(String::from_utf8_lossy(&out), want);
    }

    #[test]
    fn indent_equals_the_pretty_form() {
        let value = json!({"a": [1, "x\\\"],{", {}, [], [[]], {"k": null}], "b": {"c": "\\"}});
        assert_eq!(
            String::from_utf8_lossy(&indent(&to_vec(&value))),
            String::from_utf8_lossy(&to_vec_pretty(&value)),
        );
    }
}
