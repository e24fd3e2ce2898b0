//! Reads documents by tables of their fields, as the JSON that Go would write for them.
//!
//! Source of the encoding: `k8s.io/apimachinery/pkg/runtime/serializer/protobuf`. Fields that are no
//! pointers in Go are always encoded, and JSON omits their zero values.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::MAGIC;
use crate::time;

/// A field of a message.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its number.
    pub number: u64,
    /// Its name in JSON.
    pub name: &'static str,
    /// Its type.
    pub shape: Shape,
}

/// Type of a field. Only tables that are not nested in themselves can be written.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// A text that is omitted if it is empty.
    Text,
    /// A pointer to a text.
    OptionalText,
    /// A number that is omitted if it is zero.
    Number,
    /// A pointer to a number.
    OptionalNumber,
    /// A flag that is omitted if it is false.
    Flag,
    /// A pointer to a flag.
    OptionalFlag,
    /// `metav1.Time`.
    Time,
    /// `metav1.MicroTime`.
    MicroTime,
    /// A message.
    Message(&'static [Field]),
    /// A message with JSON, such as `FieldsV1`.
    Json,
    /// A list of texts.
    Texts,
    /// A list of messages.
    Messages(&'static [Field]),
    /// A map of texts.
    Map,
}

/// Why a document cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body is not a protobuf document of Kubernetes")]
pub struct Malformed;

/// A field of a table.
#[must_use]
pub const fn field(number: u64, name: &'static str, shape: Shape) -> Field {
    Field {
        number,
        name,
        shape,
    }
}

/// `metav1.ObjectMeta`.
pub const OBJECT_META: &[Field] = &[
    field(1, "name", Shape::Text),
    field(2, "generateName", Shape::Text),
    field(3, "namespace", Shape::Text),
    field(4, "selfLink", Shape::Text),
    field(5, "uid", Shape::Text),
    field(6, "resourceVersion", Shape::Text),
    field(7, "generation", Shape::Number),
    field(8, "creationTimestamp", Shape::Time),
    field(9, "deletionTimestamp", Shape::Time),
    field(10, "deletionGracePeriodSeconds", Shape::OptionalNumber),
    field(11, "labels", Shape::Map),
    field(12, "annotations", Shape::Map),
    field(13, "ownerReferences", Shape::Messages(OWNER_REFERENCE)),
    field(14, "finalizers", Shape::Texts),
    field(17, "managedFields", Shape::Messages(MANAGED_FIELDS)),
];

const OWNER_REFERENCE: &[Field] = &[
    field(1, "kind", Shape::Text),
    field(3, "name", Shape::Text),
    field(4, "uid", Shape::Text),
    field(5, "apiVersion", Shape::Text),
    field(6, "controller", Shape::OptionalFlag),
    field(7, "blockOwnerDeletion", Shape::OptionalFlag),
];

const MANAGED_FIELDS: &[Field] = &[
    field(1, "manager", Shape::Text),
    field(2, "operation", Shape::Text),
    field(3, "apiVersion", Shape::Text),
    field(4, "time", Shape::Time),
    field(6, "fieldsType", Shape::Text),
    field(7, "fieldsV1", Shape::Json),
    field(8, "subresource", Shape::Text),
];

/// `metav1.DeleteOptions`.
pub const DELETE_OPTIONS: &[Field] = &[
    field(1, "gracePeriodSeconds", Shape::OptionalNumber),
    field(2, "preconditions", Shape::Message(PRECONDITIONS)),
    field(3, "orphanDependents", Shape::OptionalFlag),
    field(4, "propagationPolicy", Shape::OptionalText),
    field(5, "dryRun", Shape::Texts),
    field(
        6,
        "ignoreStoreReadErrorWithClusterBreakingPotential",
        Shape::OptionalFlag,
    ),
];

const PRECONDITIONS: &[Field] = &[
    field(1, "uid", Shape::OptionalText),
    field(2, "resourceVersion", Shape::OptionalText),
];

/// `runtime.Unknown`, the envelope of a document.
const TYPE_META: u64 = 1;
const RAW: u64 = 2;
const TYPE: &[Field] = &[
    field(1, "apiVersion", Shape::Text),
    field(2, "kind", Shape::Text),
];

/// The object of a document whose message has these fields.
///
/// # Errors
/// If the bytes are no such document.
pub fn object(document: &[u8], fields: &[Field]) -> Result<Value, Malformed> {
    let envelope = document.strip_prefix(MAGIC).ok_or(Malformed)?;
    let (mut object, mut message) = (Map::new(), &[][..]);
    let mut reader = Reader(envelope);
    while let Some((number, value)) = reader.next()? {
        match (number, value) {
            (TYPE_META, Wire::Bytes(bytes)) => object.extend(fields_of(bytes, TYPE)?),
            (RAW, Wire::Bytes(bytes)) => message = bytes,
            _ => {}
        }
    }
    object.extend(fields_of(message, fields)?);
    Ok(Value::Object(object))
}

// bounded: by the depth of the table, which is a constant
fn fields_of(message: &[u8], fields: &[Field]) -> Result<Map<String, Value>, Malformed> {
    let mut object = Map::new();
    let mut reader = Reader(message);
    while let Some((number, value)) = reader.next()? {
        // Unknown fields are ignored, as in Go.
        // bounded: by the table, which is a constant
        let Some(field) = fields.iter().find(|field| field.number == number) else {
            continue;
        };
        match field.shape {
            Shape::Texts => push(&mut object, field.name, text(value)?.into())?,
            Shape::Messages(below) => {
                let item = fields_of(bytes(value)?, below)?;
                push(&mut object, field.name, Value::Object(item))?;
            }
            Shape::Map => {
                let entry = fields_of(bytes(value)?, ENTRY)?;
                let member = |name: &str| entry.get(name).and_then(Value::as_str);
                let map = object
                    .entry(field.name)
                    .or_insert_with(|| Map::new().into());
                map.as_object_mut().ok_or(Malformed)?.insert(
                    member("key").unwrap_or_default().to_owned(),
                    member("value").unwrap_or_default().into(),
                );
            }
            shape => {
                if let Some(value) = single(shape, value)? {
                    object.insert(field.name.to_owned(), value);
                }
            }
        }
    }
    Ok(object)
}

const ENTRY: &[Field] = &[field(1, "key", Shape::Text), field(2, "value", Shape::Text)];

/// The value of a field that occurs once; none if JSON omits it.
fn single(shape: Shape, value: Wire<'_>) -> Result<Option<Value>, Malformed> {
    Ok(match shape {
        Shape::Text => Some(text(value)?)
            .filter(|text| !text.is_empty())
            .map(Value::from),
        Shape::OptionalText => Some(text(value)?.into()),
        Shape::Number => Some(number(value)?)
            .filter(|number| *number != 0)
            .map(Value::from),
        Shape::OptionalNumber => Some(number(value)?.into()),
        Shape::Flag => Some(number(value)? != 0)
            .filter(|flag| *flag)
            .map(Value::from),
        Shape::OptionalFlag => Some((number(value)? != 0).into()),
        Shape::Time => moment(bytes(value)?)?.map(|it| time::format(it).into()),
        Shape::MicroTime => moment(bytes(value)?)?.map(|it| time::format_micro(it).into()),
        Shape::Json => {
            let mut reader = Reader(bytes(value)?);
            match reader.next()? {
                Some((1, Wire::Bytes(json))) => {
                    let parsed = kube_json::parse(json).map_err(|_| Malformed)?;
                    Some(parsed.value)
                }
                _ => None,
            }
        }
        Shape::Message(fields) => Some(fields_of(bytes(value)?, fields)?.into()),
        // Handled by the caller.
        Shape::Texts | Shape::Messages(_) | Shape::Map => None,
    })
}

/// A time; none for Go's zero time, which is encoded as an empty message.
fn moment(message: &[u8]) -> Result<Option<Timestamp>, Malformed> {
    if message.is_empty() {
        return Ok(None);
    }
    let (mut seconds, mut nanos) = (0, 0);
    let mut reader = Reader(message);
    while let Some((field, value)) = reader.next()? {
        match field {
            1 => seconds = number(value)?,
            2 => nanos = number(value)?,
            _ => {}
        }
    }
    let nanos = i32::try_from(nanos).map_err(|_| Malformed)?;
    Timestamp::new(seconds, nanos)
        .map(Some)
        .map_err(|_| Malformed)
}

fn push(object: &mut Map<String, Value>, name: &str, item: Value) -> Result<(), Malformed> {
    let list = object
        .entry(name)
        .or_insert_with(|| Value::Array(Vec::new()));
    list.as_array_mut().ok_or(Malformed)?.push(item);
    Ok(())
}

fn text(value: Wire<'_>) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes(value)?).map_err(|_| Malformed)
}

fn bytes(value: Wire<'_>) -> Result<&[u8], Malformed> {
    match value {
        Wire::Bytes(bytes) => Ok(bytes),
        Wire::Varint(_) | Wire::Fixed => Err(Malformed),
    }
}

/// Negative numbers are encoded as their two's complement.
fn number(value: Wire<'_>) -> Result<i64, Malformed> {
    match value {
        Wire::Varint(number) => Ok(number.cast_signed()),
        Wire::Bytes(_) | Wire::Fixed => Err(Malformed),
    }
}

/// The value of a field.
#[derive(Clone, Copy)]
enum Wire<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    /// Of four or eight bytes; no field of these tables has such a value.
    Fixed,
}

/// The rest of a message.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Number and value of the next field; none at the end.
    fn next(&mut self) -> Result<Option<(u64, Wire<'a>)>, Malformed> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Wire::Varint(self.varint()?),
            1 => self.take(8).map(|_| Wire::Fixed)?,
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
                Wire::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Wire::Fixed)?,
            _ => return Err(Malformed),
        };
        Ok(Some((tag >> 3, value)))
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Malformed)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests;
