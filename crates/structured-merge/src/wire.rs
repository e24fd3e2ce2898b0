//! The serialized form of sets: `fieldsV1` of managed fields entries.
//!
//! A set is a JSON object with one member per element: `f:NAME` for fields, `k:OBJECT` for keys,
//! `v:VALUE` for values, `i:INTEGER` for indexes. The value of the member is an object of the same
//! form. An empty object is a member of the set; a node that is a member and has members below it
//! contains the member `"."`.
//!
//! Numbers are read as floats, so an integer beyond 2^53 is rounded, as in Go. Elements with another
//! prefix are skipped. The text inside an element is read as leniently as the reference reads it.

mod lenient;
mod read;
#[cfg(test)]
mod tests;
mod write;

use serde_json::Value;

use crate::element::PathElement;
use crate::schema::Schema;
use crate::set::FieldSet;

pub use read::FieldsError;

/// Reads sets.
///
/// Names that the schema declares are shared with it instead of allocated.
///
/// ```
/// use structured_merge::FieldsReader;
///
/// let reader = FieldsReader::default();
/// let set = reader.read(r#"{"f:spec":{".":{},"v:1":{}},"f:a":{}}"#)?;
/// assert_eq!(set.to_json(), r#"{"f:a":{},"f:spec":{".":{},"v:1":{}}}"#);
/// assert!(reader.read(r#"{"f:spec":1}"#).is_err());
/// # Ok::<(), structured_merge::FieldsError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct FieldsReader<'a> {
    /// Schema whose names are shared.
    pub names: Option<&'a Schema>,
    /// Limit of nested objects, and of nested values within an element.
    pub depth: usize,
}

// === impl FieldsReader ===

impl Default for FieldsReader<'_> {
    fn default() -> Self {
        Self {
            names: None,
            depth: crate::DEFAULT_DEPTH,
        }
    }
}

impl FieldsReader<'_> {
    /// Reads a JSON document. n log n in its length; does not recurse, except into values within
    /// elements.
    ///
    /// # Errors
    /// If the text is no JSON object of this form, or nested beyond the limit.
    pub fn read(&self, text: &str) -> Result<FieldSet, FieldsError> {
        read::text(self, text)
    }

    /// Reads a parsed document.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_value(&self, value: &Value) -> Result<FieldSet, FieldsError> {
        read::value(self, value)
    }

    /// Reads one element; `None` if its prefix is not known.
    ///
    /// # Errors
    /// If the text is not an element.
    pub fn read_element(&self, text: &str) -> Result<Option<PathElement>, FieldsError> {
        read::element(self, text)
    }
}

// === impl FieldSet ===

impl FieldSet {
    /// The set as JSON: the bytes that Go's `Set.ToJSON` writes.
    #[must_use]
    pub fn to_json(&self) -> String {
        write::set(self)
    }

    /// The set as a JSON value.
    #[must_use]
    pub fn to_value(&self) -> Value {
        write::tree(self)
    }
}

// === impl PathElement ===

impl PathElement {
    /// The element as the name of a member in `fieldsV1`.
    ///
    /// ```
    /// use serde_json::json;
    /// use structured_merge::PathElement;
    ///
    /// let element = PathElement::key([("name", json!("a")), ("port", json!(80))]);
    /// assert_eq!(element.to_serialized(), r#"k:{"name":"a","port":80}"#);
    /// ```
    #[must_use]
    pub fn to_serialized(&self) -> String {
        let mut out = String::new();
        write::element(self, &mut out);
        out
    }
}
