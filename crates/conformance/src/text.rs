//! Text of requests, with the names of the `.proto`: authors of drivers in other languages do not
//! know the Rust types.

use std::fmt::Write as _;
use std::sync::LazyLock;

use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, Value};
use tonic::Code;

/// Bytes of a string or value that are printed; a longer one is printed as its length.
const VALUE_CHARS: usize = 48;

/// Printed elements of a repeated field.
const ELEMENTS: usize = 3;

static PROTOCOL: LazyLock<Option<DescriptorPool>> =
    LazyLock::new(|| DescriptorPool::decode(backend_proto::FILE_DESCRIPTOR_SET).ok());

/// Returns a call with its encoded request on one line: `Get { key { name: "a" } revision: 7 }`.
pub(crate) fn call(rpc: &str, request: &[u8]) -> String {
    let message = PROTOCOL.as_ref().and_then(|protocol| {
        let descriptor = protocol.get_message_by_name(&format!("ark.backend.v1.{rpc}Request"))?;
        DynamicMessage::decode(descriptor, request).ok()
    });
    match message {
        Some(message) => format!("{rpc} {}", braced(&message)),
        None => rpc.to_owned(),
    }
}

/// Returns a status code as gRPC spells it: `INVALID_ARGUMENT`.
pub(crate) fn code(code: Code) -> String {
    let mut name = String::new();
    for character in format!("{code:?}").chars() {
        if character.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(character.to_ascii_uppercase());
    }
    name
}

fn braced(message: &DynamicMessage) -> String {
    let mut text = String::from("{");
    for (field, value) in message.fields() {
        print(&mut text, &field, value);
    }
    text.push_str(" }");
    text
}

/// Appends a field as in the text format of Protocol Buffers.
fn print(text: &mut String, field: &FieldDescriptor, value: &Value) {
    let name = field.name();
    // Writing to a string cannot fail.
    let _ = match value {
        Value::List(values) => {
            for value in values.iter().take(ELEMENTS) {
                print(text, field, value);
            }
            match values.len().saturating_sub(ELEMENTS) {
                0 => Ok(()),
                more => write!(text, " # and {more} more of {name}"),
            }
        }
        Value::Map(map) => {
            let mut entries: Vec<_> = map.iter().map(|(key, value)| entry(key, value)).collect();
            entries.sort();
            let more = entries.len().saturating_sub(ELEMENTS);
            for entry in entries.iter().take(ELEMENTS) {
                let _ = write!(text, " {name} {{ {entry} }}");
            }
            match more {
                0 => Ok(()),
                more => write!(text, " # and {more} more of {name}"),
            }
        }
        Value::Message(message) => write!(text, " {name} {}", braced(message)),
        Value::EnumNumber(number) => write!(text, " {name}: {}", enum_name(field, *number)),
        value => write!(text, " {name}: {}", scalar(value)),
    };
}

fn entry(key: &MapKey, value: &Value) -> String {
    let key = match key {
        MapKey::String(text) => quoted(text.as_bytes()),
        other => format!("{other:?}"),
    };
    format!("key: {key} value: {}", scalar(value))
}

fn enum_name(field: &FieldDescriptor, number: i32) -> String {
    let named = match field.kind() {
        Kind::Enum(kind) => kind.get_value(number).map(|value| value.name().to_owned()),
        _ => None,
    };
    named.unwrap_or_else(|| number.to_string())
}

fn scalar(value: &Value) -> String {
    match value {
        Value::Bool(value) => value.to_string(),
        Value::I32(value) => value.to_string(),
        Value::I64(value) => value.to_string(),
        Value::U32(value) => value.to_string(),
        Value::U64(value) => value.to_string(),
        Value::String(text) => quoted(text.as_bytes()),
        Value::Bytes(bytes) => quoted(bytes),
        other => other.to_string(),
    }
}

/// Quotes a short text; a longer one is printed as its beginning and its length.
fn quoted(bytes: &[u8]) -> String {
    match bytes.len() {
        0..=VALUE_CHARS => format!("\"{}\"", bytes.escape_ascii()),
        length => format!(
            "\"{}\" # of {length} bytes",
            bytes[..VALUE_CHARS / 4].escape_ascii()
        ),
    }
}

#[cfg(test)]
mod tests {
    use backend_proto::v1::op::Action;
    use backend_proto::v1::{Index, Key, Op, WriteRequest};
    use prost::Message as _;
    use tonic::Code;

    #[test]
    fn requests_print_with_the_names_of_the_protocol() {
        let op = Op {
            op_id: vec![7; 2].into(),
            key: Some(Key {
                group: "a.test".to_owned(),
                resource: "things".to_owned(),
                name: "é\"".to_owned(),
                ..Key::default()
            }),
            action: Action::Create.into(),
            value: vec![b'v'; 100].into(),
            index: Some(Index {
                labels: [("app".to_owned(), "x".to_owned())].into(),
                ..Index::default()
            }),
            ..Op::default()
        };
        let small = Op {
            action: Action::Delete.into(),
            ..Op::default()
        };
        let ops = vec![op, small.clone(), small.clone(), small];
        let text = super::call("Write", &WriteRequest { ops }.encode_to_vec());
        let key = r#"key { group: "a.test" resource: "things" name: "\xc3\xa9\"" }"#;
        let index = r#"index { labels { key: "app" value: "x" } }"#;
        let create = format!(
            "ops {{ op_id: \"\\x07\\x07\" {key} action: CREATE \
             value: \"vvvvvvvvvvvv\" # of 100 bytes {index} }}"
        );
        let delete = "ops { action: DELETE }";
        assert_eq!(
            text,
            format!("Write {{ {create} {delete} {delete} # and 1 more of ops }}")
        );
    }

    #[test]
    fn codes_are_spelled_as_in_grpc() {
        assert_eq!(super::code(Code::Ok), "OK");
        assert_eq!(super::code(Code::InvalidArgument), "INVALID_ARGUMENT");
        assert_eq!(super::code(Code::DataLoss), "DATA_LOSS");
    }
}
