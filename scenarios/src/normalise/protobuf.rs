//! Decodes the protobuf messages of Kubernetes responses, field by field, to JSON.
//!
//! Every field on the wire is shown, empty strings included. An unknown field makes decoding fail,
//! and then the bytes are compared.

use serde_json::{Map, Value, json};

const MAGIC: &[u8] = b"k8s\0";

/// A field of a message: number, name, and content.
type Field = (u64, &'static str, FieldType);

#[derive(Clone, Copy)]
enum FieldType {
    Text,
    Number,
    Flag,
    Seconds,
    /// A map of strings.
    Map,
    /// JSON within a message.
    Fields,
    One(&'static [Field]),
    Many(&'static [Field]),
    Texts,
}

use FieldType::{Fields, Flag, Many, Number, One, Seconds, Text, Texts};

const OWNER: &[Field] = &[
    (1, "kind", Text),
    (3, "name", Text),
    (4, "uid", Text),
    (5, "apiVersion", Text),
    (6, "controller", Flag),
    (7, "blockOwnerDeletion", Flag),
];
const MANAGER: &[Field] = &[
    (1, "manager", Text),
    (2, "operation", Text),
    (3, "apiVersion", Text),
    (4, "time", Seconds),
    (6, "fieldsType", Text),
    (7, "fieldsV1", Fields),
    (8, "subresource", Text),
];
const OBJECT_META: &[Field] = &[
    (1, "name", Text),
    (2, "generateName", Text),
    (3, "namespace", Text),
    (4, "selfLink", Text),
    (5, "uid", Text),
    (6, "resourceVersion", Text),
    (7, "generation", Number),
    (8, "creationTimestamp", Seconds),
    (9, "deletionTimestamp", Seconds),
    (10, "deletionGracePeriodSeconds", Number),
    (11, "labels", FieldType::Map),
    (12, "annotations", FieldType::Map),
    (13, "ownerReferences", Many(OWNER)),
    (14, "finalizers", Texts),
    (17, "managedFields", Many(MANAGER)),
];
const LIST_META: &[Field] = &[
    (1, "selfLink", Text),
    (2, "resourceVersion", Text),
    (3, "continue", Text),
    (4, "remainingItemCount", Number),
];
const CAUSE: &[Field] = &[
    (1, "reason", Text),
    (2, "message", Text),
    (3, "field", Text),
];
const DETAILS: &[Field] = &[
    (1, "name", Text),
    (2, "group", Text),
    (3, "kind", Text),
    (4, "causes", Many(CAUSE)),
    (5, "retryAfterSeconds", Number),
    (6, "uid", Text),
];
const STATUS: &[Field] = &[
    (1, "metadata", One(LIST_META)),
    (2, "status", Text),
    (3, "message", Text),
    (4, "reason", Text),
    (5, "details", One(DETAILS)),
    (6, "code", Number),
];
const PARTIAL: &[Field] = &[(1, "metadata", One(OBJECT_META))];
const PARTIAL_LIST: &[Field] = &[(1, "metadata", One(LIST_META)), (2, "items", Many(PARTIAL))];
const PARTIAL_LIST_BETA: &[Field] = &[(1, "items", Many(PARTIAL)), (2, "metadata", One(LIST_META))];

/// The document that these bytes encode; `None` if they encode none.
pub(super) fn document(bytes: &[u8]) -> Option<Value> {
    let unknown = raw(bytes.strip_prefix(MAGIC)?)?;
    let [
        (1, Raw::Bytes(type_meta)),
        (2, Raw::Bytes(message)),
        rest @ ..,
    ] = &*unknown
    else {
        return None;
    };
    let version = text(type_meta, 1)?;
    let kind = text(type_meta, 2)?;
    let fields = match (&*kind, &*version) {
        ("Status", "v1") => STATUS,
        ("PartialObjectMetadata", _) => PARTIAL,
        ("PartialObjectMetadataList", "meta.k8s.io/v1beta1") => PARTIAL_LIST_BETA,
        ("PartialObjectMetadataList", _) => PARTIAL_LIST,
        _ => return None,
    };
    let [(3, Raw::Bytes([])), (4, Raw::Bytes([]))] = rest else {
        return None;
    };
    let mut value = read(message, fields)?;
    value["kind"] = kind.into();
    value["apiVersion"] = version.into();
    Some(value)
}

/// The watch events that these bytes encode, each with a length prefix.
pub(super) fn events(mut bytes: &[u8]) -> Option<Vec<Value>> {
    let mut events = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (event, rest) = rest.split_at_checked(length)?;
        bytes = rest;
        let fields = raw(event)?;
        let [(1, Raw::Bytes(kind)), (2, Raw::Bytes(object))] = &*fields else {
            return None;
        };
        let object = raw(object)?;
        let [(1, Raw::Bytes(object))] = &*object else {
            return None;
        };
        let kind = String::from_utf8(kind.to_vec()).ok()?;
        events.push(json!({"type": kind, "object": document(object)?}));
    }
    bytes.is_empty().then_some(events)
}

/// A field in wire format.
enum Raw<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
}

fn raw(mut message: &[u8]) -> Option<Vec<(u64, Raw<'_>)>> {
    let mut fields = Vec::new();
    while !message.is_empty() {
        let key = varint(&mut message)?;
        let value = match key & 7 {
            0 => Raw::Varint(varint(&mut message)?),
            2 => {
                let length = usize::try_from(varint(&mut message)?).ok()?;
                let (value, rest) = message.split_at_checked(length)?;
                message = rest;
                Raw::Bytes(value)
            }
            _ => return None,
        };
        fields.push((key >> 3, value));
    }
    Some(fields)
}

fn varint(from: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn text(message: &[u8], field: u64) -> Option<String> {
    let fields = raw(message)?.into_iter();
    let mut found = fields.filter(|(number, _)| *number == field);
    match found.next()?.1 {
        Raw::Bytes(bytes) => String::from_utf8(bytes.to_vec()).ok(),
        Raw::Varint(_) => None,
    }
}

fn read(message: &[u8], known: &[Field]) -> Option<Value> {
    let mut out = Map::new();
    for (number, value) in raw(message)? {
        let (_, name, holds) = known.iter().find(|(known, ..)| *known == number)?;
        let slot = out.entry(*name).or_insert(Value::Null);
        match (holds, value) {
            (Text, Raw::Bytes(bytes)) => *slot = String::from_utf8(bytes.to_vec()).ok()?.into(),
            (Number, Raw::Varint(value)) => *slot = value.cast_signed().into(),
            (Flag, Raw::Varint(value)) => *slot = Value::Bool(value != 0),
            (Seconds, Raw::Bytes(bytes)) => *slot = time(bytes)?,
            (Fields, Raw::Bytes(bytes)) => *slot = serde_json::from_str(&text(bytes, 1)?).ok()?,
            (One(fields), Raw::Bytes(bytes)) => *slot = read(bytes, fields)?,
            (FieldType::Map, Raw::Bytes(bytes)) => slot[text(bytes, 1)?] = text(bytes, 2)?.into(),
            (Many(_) | Texts, Raw::Bytes(bytes)) => {
                let item = match holds {
                    Many(fields) => read(bytes, fields)?,
                    _ => String::from_utf8(bytes.to_vec()).ok()?.into(),
                };
                match slot {
                    Value::Array(items) => items.push(item),
                    slot => *slot = json!([item]),
                }
            }
            _ => return None,
        }
    }
    Some(Value::Object(out))
}

/// A time in its JSON format; null for the zero time.
fn time(message: &[u8]) -> Option<Value> {
    match &*raw(message)? {
        [] => Some(Value::Null),
        [(1, Raw::Varint(seconds)), (2, Raw::Varint(0))] => {
            let time = jiff::Timestamp::from_second(seconds.cast_signed()).ok()?;
            Some(time.to_string().into())
        }
        _ => None,
    }
}
