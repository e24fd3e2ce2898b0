//! Rows of tables.
//!
//! The cells of an object are computed once and cached with the object; only ages are computed when
//! a row is written.

use api_types::media_type::MetaVersion;
use api_types::table::IncludeObject;
use api_types::time;
use bytes::Bytes;
use crd_schema::columns::{Column, Shown};
use jiff::Timestamp;
use serde_json::Value;

use super::partial;
use crate::resources::Served;
use crate::store::{DecodeError, Stored};

/// Variant of [`key`] for cells; frames of watches use the other variants.
const CELLS: u8 = 0;

/// Bytes of an age in encoded cells: offset (u32), seconds (i64) and nanoseconds (i32) of its time.
const AGE_BYTES: usize = 16;

/// Encoder of the rows of one response.
#[derive(Clone, Debug)]
pub(super) struct Rows {
    served: Served,
    version: MetaVersion,
    include: IncludeObject,
}

impl Rows {
    pub(super) const fn new(served: Served, version: MetaVersion, include: IncludeObject) -> Self {
        Self {
            served,
            version,
            include,
        }
    }

    /// Appends the row of a stored object.
    pub(super) fn stored(
        &self,
        object: &Stored,
        now: Timestamp,
        out: &mut Vec<u8>,
    ) -> Result<(), DecodeError> {
        let mut failed = None;
        let key = key(&self.served, CELLS);
        let cells =
            object
                .encodings()
                .get_or_encode(key, || match self.served.view(object.bytes()) {
                    Ok(bytes) => self.cells(&bytes),
                    Err(error) => {
                        failed = Some(error);
                        Bytes::new()
                    }
                });
        if cells.is_empty() {
            return Err(failed.unwrap_or_else(unreadable));
        }
        match self.include {
            IncludeObject::Object => {
                let bytes = self.served.view(object.bytes())?;
                self.write(&cells, &bytes, now, out);
            }
            // Metadata is the same in every version.
            IncludeObject::Metadata | IncludeObject::None => {
                self.write(&cells, object.bytes(), now, out);
            }
        }
        Ok(())
    }

    /// Appends the row of an object in the served version.
    pub(super) fn object(&self, object: &[u8], now: Timestamp, out: &mut Vec<u8>) {
        self.write(&self.cells(object), object, now, out);
    }

    fn write(&self, cells: &[u8], object: &[u8], now: Timestamp, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"cells\":");
        write_cells(cells, now, out);
        out.extend_from_slice(b",\"object\":");
        match self.include {
            IncludeObject::None => out.extend_from_slice(b"null"),
            IncludeObject::Metadata => partial::write(self.version, object, out),
            IncludeObject::Object => out.extend_from_slice(object),
        }
        out.push(b'}');
    }

    fn cells(&self, object: &[u8]) -> Bytes {
        cells(object, &self.served.version().columns)
    }
}

/// Cache key of an encoding that depends on the served version.
pub(super) fn key(served: &Served, variant: u8) -> u64 {
    let version = served.index() as u64 & 0xff_ffff;
    u64::from(served.resource().fingerprint()) << 32 | version << 8 | u64::from(variant)
}

/// The error for an empty cached encoding: an earlier request failed to encode the object.
pub(super) fn unreadable() -> DecodeError {
    DecodeError("the object cannot be read".to_owned())
}

/// Encoded cells of an object: a count (u16) of ages, the ages, and the text of a list without
/// them.
pub(super) fn cells(object: &[u8], columns: &[Column]) -> Bytes {
    // The bytes parsed when they were stored. If not, the cells are empty.
    let object = kube_json::reparse(object).unwrap_or(Value::Null);
    let name = object.pointer("/metadata/name").and_then(Value::as_str);
    let (mut text, mut ages) = (Vec::with_capacity(128), Vec::new());
    text.push(b'[');
    kube_json::write_string(name.unwrap_or_default(), &mut text);
    for column in columns {
        text.push(b',');
        match column.shown(&object) {
            Shown::Value(value) => kube_json::write(&value, &mut text),
            Shown::Age(time) => ages.push((text.len(), time)),
        }
    }
    text.push(b']');
    let mut encoded = Vec::with_capacity(2 + ages.len() * AGE_BYTES + text.len());
    let count = u16::try_from(ages.len()).unwrap_or(u16::MAX);
    encoded.extend_from_slice(&count.to_le_bytes());
    for (at, time) in ages.into_iter().take(usize::from(count)) {
        let at = u32::try_from(at).unwrap_or(u32::MAX);
        encoded.extend_from_slice(&at.to_le_bytes());
        encoded.extend_from_slice(&time.as_second().to_le_bytes());
        encoded.extend_from_slice(&time.subsec_nanosecond().to_le_bytes());
    }
    encoded.extend_from_slice(&text);
    encoded.into()
}

/// Appends the result of [`cells`] as a list.
pub(super) fn write_cells(encoded: &[u8], now: Timestamp, out: &mut Vec<u8>) {
    let Some((count, rest)) = encoded.split_first_chunk::<2>() else {
        out.extend_from_slice(b"[]");
        return;
    };
    let count = usize::from(u16::from_le_bytes(*count));
    let (ages, text) = rest.split_at((count * AGE_BYTES).min(rest.len()));
    let mut written = 0;
    for age in ages.chunks_exact(AGE_BYTES) {
        let Some((at, time)) = read_age(age) else {
            continue;
        };
        let at = at.min(text.len());
        out.extend_from_slice(&text[written..at]);
        written = at;
        out.push(b'"');
        out.extend_from_slice(escaped(&time::age(time, now)).as_bytes());
        out.push(b'"');
    }
    out.extend_from_slice(&text[written..]);
}

fn read_age(bytes: &[u8]) -> Option<(usize, Timestamp)> {
    let (at, rest) = bytes.split_first_chunk::<4>()?;
    let (seconds, rest) = rest.split_first_chunk::<8>()?;
    let nanoseconds = rest.first_chunk::<4>()?;
    let time = Timestamp::new(
        i64::from_le_bytes(*seconds),
        i32::from_le_bytes(*nanoseconds),
    );
    Some((u32::from_le_bytes(*at) as usize, time.ok()?))
}

/// An age as the content of a JSON string; only `<invalid>` needs escapes.
fn escaped(age: &str) -> &str {
    match age {
        "<invalid>" => "\\u003cinvalid\\u003e",
        age => age,
    }
}

#[cfg(test)]
mod tests {
    use crd_schema::columns::Column;
    use jiff::Timestamp;

    use super::{cells, write_cells};

    fn check(object: &str, want: &str) {
        let columns = [Column::age(), Column::age()];
        let now: Timestamp = "2024-01-01T01:00:00Z".parse().expect("a time");
        let mut out = Vec::new();
        write_cells(&cells(object.as_bytes(), &columns), now, &mut out);
        assert_eq!(String::from_utf8_lossy(&out), want, "{object}");
    }

    #[test]
    fn ages_are_computed_when_row_is_written() {
        let at =
            |time: &str| format!(r#"{{"metadata":{{"name":"a<b","creationTimestamp":"{time}"}}}}"#);
        check(&at("2024-01-01T00:59:02Z"), r#"["a\u003cb","58s","58s"]"#);
        check(&at("2024-01-01T00:59:00.9Z"), r#"["a\u003cb","59s","59s"]"#);
        check(
            &at("2024-01-01T02:00:00Z"),
            r#"["a\u003cb","\u003cinvalid\u003e","\u003cinvalid\u003e"]"#,
        );
        check(
            &at("soon"),
            r#"["a\u003cb","\u003cinvalid\u003e","\u003cinvalid\u003e"]"#,
        );
        check(r#"{"metadata":{}}"#, r#"["",null,null]"#);
        check("no object", r#"["",null,null]"#);
    }
}
