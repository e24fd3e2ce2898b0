//! The documents as protobuf messages of `gnostic-models`, which kubectl and client-go request.

mod v2;
mod v3;

use api_types::protobuf::Writer;
use serde_json::{Map, Value};

/// An OpenAPI 2 document as `openapi.v2.Document`.
#[must_use]
pub fn v2(document: &Value) -> Vec<u8> {
    encode(document, v2::document)
}

/// An OpenAPI 3 document as `openapi.v3.Document`.
#[must_use]
pub fn v3(document: &Value) -> Vec<u8> {
    encode(document, v3::document)
}

fn encode(document: &Value, write: Fields) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut Message {
        from: document,
        to: Writer::new(&mut out),
    });
    out
}

/// Writes the fields of one type of message.
type Fields = fn(&mut Message<'_, '_>);

/// A message made from a JSON value. Fields that are absent or zero are omitted, as in proto 3.
struct Message<'a, 'b> {
    from: &'a Value,
    to: Writer<'b>,
}

impl<'a> Message<'a, '_> {
    fn member(&self, key: &str) -> Option<&'a Value> {
        self.from.get(key)
    }

    fn string(&mut self, field: u32, key: &str) {
        let text = self.member(key).and_then(Value::as_str);
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            self.to.string(field, text);
        }
    }

    fn boolean(&mut self, field: u32, key: &str) {
        if self.member(key) == Some(&Value::Bool(true)) {
            self.to.boolean(field, true);
        }
    }

    fn integer(&mut self, field: u32, key: &str) {
        let number = self.member(key).and_then(Value::as_i64);
        if let Some(number) = number.filter(|number| *number != 0) {
            self.to.integer(field, number);
        }
    }

    fn double(&mut self, field: u32, key: &str) {
        let number = self.member(key).and_then(Value::as_f64);
        if let Some(number) = number.filter(|number| *number != 0.0) {
            self.to.double(field, number);
        }
    }

    /// A string, or a list of strings.
    fn strings(&mut self, field: u32, key: &str) {
        for text in each(self.member(key)).filter_map(Value::as_str) {
            self.to.string(field, text);
        }
    }

    /// A value of any type, as YAML.
    fn any(&mut self, field: u32, key: &str) {
        if let Some(value) = self.member(key) {
            write_any(&mut self.to, field, value);
        }
    }

    /// A list of values of any type.
    fn anys(&mut self, field: u32, key: &str) {
        for value in each(self.member(key)) {
            write_any(&mut self.to, field, value);
        }
    }

    /// A message made from a member, or one for each item of it.
    fn messages(&mut self, field: u32, key: &str, write: Fields) {
        for value in each(self.member(key)) {
            self.message(field, value, write);
        }
    }

    /// A message with a pair of name and message for each entry of a member.
    fn map(&mut self, field: u32, key: &str, write: Fields) {
        if let Some(value) = self.member(key) {
            self.message_with(field, value, |message| message.entries(1, write));
        }
    }

    /// A pair of name and message for each entry.
    fn entries(&mut self, field: u32, write: Fields) {
        for (name, value) in self.from.as_object().into_iter().flatten() {
            self.message_with(field, value, |pair| {
                pair.to.string(1, name);
                pair.message(2, pair.from, write);
            });
        }
    }

    /// Fields outside of the specification, as pairs of name and value.
    fn extensions(&mut self, field: u32) {
        let members = self.from.as_object().into_iter().flat_map(Map::iter);
        for (name, value) in members.filter(|(name, _)| name.starts_with("x-")) {
            self.extension(field, name, &kube_json::yaml::to_string(value));
        }
    }

    /// One extension, as YAML.
    fn extension(&mut self, field: u32, name: &str, yaml: &str) {
        self.to.message(field, |pair| {
            pair.string(1, name);
            pair.message(2, |any| any.string(2, yaml));
        });
    }

    /// A `oneof` of a reference and the value.
    fn or_reference(&mut self, thing: (u32, Fields), reference: (u32, Fields)) {
        let is_reference = self.member("$ref").is_some();
        let (field, write) = if is_reference { reference } else { thing };
        self.same(field, write);
    }

    /// A message made from the same value.
    fn same(&mut self, field: u32, write: Fields) {
        self.message(field, self.from, write);
    }

    fn message(&mut self, field: u32, from: &Value, write: Fields) {
        self.message_with(field, from, write);
    }

    fn message_with(&mut self, field: u32, from: &Value, write: impl FnOnce(&mut Message<'_, '_>)) {
        self.to.message(field, |to| {
            let to = to.reborrow();
            write(&mut Message { from, to });
        });
    }
}

/// The items of a list; any other value is a single item.
fn each(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    match value {
        Some(Value::Array(items)) => items.as_slice(),
        Some(one) => std::slice::from_ref(one),
        None => &[],
    }
    .iter()
}

fn write_any(to: &mut Writer<'_>, field: u32, value: &Value) {
    let yaml = kube_json::yaml::to_string(value);
    to.message(field, |any| any.string(2, &yaml));
}

fn info(message: &mut Message<'_, '_>, version: u32) {
    message.string(1, "title");
    message.string(version, "version");
}

#[cfg(test)]
mod tests;
