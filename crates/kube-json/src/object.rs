//! Documents whose fields are in a fixed order instead of sorted, as Go writes its structs.

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

    /// A string field.
    pub fn string(&mut self, key: &str, text: &str) {
        self.key(key);
        write_string(text, self.out);
    }

    /// A string field, omitted if `text` is empty.
    pub fn string_unless_empty(&mut self, key: &str, text: &str) {
        if !text.is_empty() {
            self.string(key, text);
        }
    }

    /// An integer field.
    pub fn integer(&mut self, key: &str, number: i64) {
        self.key(key);
        let outcome = write!(self.out, "{number}");
        debug_assert!(outcome.is_ok(), "a Vec takes every byte");
    }

    /// A boolean field.
    pub fn boolean(&mut self, key: &str, value: bool) {
        self.raw(key, if value { b"true" } else { b"false" });
    }

    /// A field with any value, its keys sorted.
    pub fn value(&mut self, key: &str, value: &Value) {
        self.key(key);
        write(value, self.out);
    }

    /// A field whose value is JSON text.
    pub fn raw(&mut self, key: &str, json: &[u8]) {
        self.key(key);
        self.out.extend_from_slice(json);
    }

    /// An object field. The caller must [`end`](Self::end) it before the next field.
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

    /// A field whose value the caller appends; it must append exactly one JSON value.
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::ObjectWriter;

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
}
