//! `Table`, which `kubectl get` prints: columns, rows and their cells.

use jiff::Timestamp;
use kube_json::ObjectWriter;
use serde_json::Value;

use crate::field;
use crate::media_type::MetaVersion;
use crate::status::ApiError;
use crate::{go_text, time};

/// One column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnDefinition {
    /// The title.
    pub name: String,
    /// The type of the cells: `string`, `integer`, `number`, `boolean` or `date`.
    pub kind: String,
    /// A hint, such as `name` for the column of the object's name; may be empty.
    pub format: String,
    /// Human-readable description.
    pub description: String,
    /// 0 for columns that are always shown.
    pub priority: i32,
}

/// The part of its object that a row includes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IncludeObject {
    /// Nothing.
    None,
    /// The metadata.
    #[default]
    Metadata,
    /// The whole object.
    Object,
}

/// The list metadata of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListMeta {
    /// The revision; empty if there is none.
    pub resource_version: String,
    /// The continue token; may be empty.
    pub continue_token: String,
    /// The number of objects after this page, if known.
    pub remaining_item_count: Option<i64>,
}

/// Appends a table. `rows` appends each row by [`write_row`]; in a watch only the first table has
/// `columns`.
pub fn write(
    version: MetaVersion,
    meta: &ListMeta,
    columns: Option<&[ColumnDefinition]>,
    rows: impl FnOnce(&mut Vec<u8>),
    out: &mut Vec<u8>,
) {
    let mut table = ObjectWriter::begin(out);
    table.string("kind", "Table");
    table.string("apiVersion", version.api_version());
    let mut metadata = table.object("metadata");
    metadata.string_unless_empty("resourceVersion", &meta.resource_version);
    metadata.string_unless_empty("continue", &meta.continue_token);
    if let Some(count) = meta.remaining_item_count {
        metadata.integer("remainingItemCount", count);
    }
    metadata.end();
    match columns {
        None => table.raw("columnDefinitions", b"null"),
        Some(columns) => table.objects("columnDefinitions", columns, |column, object| {
            object.string("name", &column.name);
            object.string("type", &column.kind);
            object.string("format", &column.format);
            object.string("description", &column.description);
            object.integer("priority", i64::from(column.priority));
        }),
    }
    table.with("rows", |out| {
        out.push(b'[');
        rows(out);
        out.push(b']');
    });
    table.end();
}

/// Appends one row; `object` is JSON, `null` if the row includes none.
pub fn write_row(cells: &[Value], object: &[u8], out: &mut Vec<u8>) {
    let mut row = ObjectWriter::begin(out);
    row.with("cells", |out| {
        out.push(b'[');
        for (index, cell) in cells.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            kube_json::write(cell, out);
        }
        out.push(b']');
    });
    row.raw("object", object);
    row.end();
}

/// The cell of a column with this type, for the first value at the column's path.
#[must_use]
pub fn cell(found: Option<&Value>, kind: &str, now: Timestamp) -> Value {
    let Some(value) = found else {
        return Value::Null;
    };
    match (kind, value) {
        ("string", value) => Value::from(text(value)),
        ("integer", Value::Number(number)) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => Value::from(integer),
            #[expect(
                clippy::cast_possible_truncation,
                reason = "cut towards zero, as Go does"
            )]
            (None, Some(float)) => Value::from(float as i64),
            (None, None) => Value::Null,
        },
        ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) => value.clone(),
        ("date", Value::String(text)) => Value::from(date(text, now)),
        _ => Value::Null,
    }
}

/// The cell of a date: its age.
#[must_use]
pub fn date(text: &str, now: Timestamp) -> String {
    if matches!(text, "" | "null") {
        return String::from("<unknown>");
    }
    match time::parse(text) {
        None => String::from("<invalid>"),
        Some(time) if time::format(time) == time::ZERO => String::from("<unknown>"),
        Some(time) => time::age(time, now),
    }
}

/// A value in a string cell.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::from("<no value>"),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (None, Some(float)) => go_text::float(float),
            _ => number.to_string(),
        },
        Value::String(text) => text.clone(),
        other => String::from_utf8_lossy(&kube_json::to_vec(other)).into_owned(),
    }
}

impl IncludeObject {
    /// Parses the `includeObject` parameter of a query.
    ///
    /// # Errors
    ///
    /// 400 for an unknown value.
    pub fn parse(query: &str) -> Result<Self, ApiError> {
        let value = form_urlencoded::parse(query.as_bytes())
            .find(|(key, _)| key == "includeObject")
            .map(|(_, value)| value)
            .unwrap_or_default();
        match value.as_ref() {
            "" | "Metadata" => Ok(Self::Metadata),
            "Object" => Ok(Self::Object),
            "None" => Ok(Self::None),
            other => {
                let why = "must be 'Metadata', 'Object', 'None', or empty";
                let error = field::Error::invalid("includeObject", other, why);
                let message = format!("Unable to convert to Table as requested: {error}");
                Err(ApiError::bad_request(message))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::{ColumnDefinition, IncludeObject, ListMeta, cell, write, write_row};
    use crate::media_type::MetaVersion;

    #[test]
    fn cells_are_converted_to_the_column_type() {
        let now: Timestamp = "2024-01-01T00:01:00Z".parse().expect("a time");
        for (kind, value, want) in [
            ("string", json!("a"), json!("a")),
            ("string", json!(5), json!("5")),
            ("string", json!(1e6 + 0.5), json!("1.0000005e+06")),
            ("string", json!(true), json!("true")),
            ("string", json!({"a": "<"}), json!("{\"a\":\"\\u003c\"}")),
            ("string", json!(null), json!("<no value>")),
            ("integer", json!(5), json!(5)),
            ("integer", json!(-5.9), json!(-5)),
            ("integer", json!("5"), json!(null)),
            ("number", json!(2.5), json!(2.5)),
            ("boolean", json!(true), json!(true)),
            ("boolean", json!("true"), json!(null)),
            ("date", json!("2024-01-01T00:00:02Z"), json!("58s")),
            ("date", json!(""), json!("<unknown>")),
            ("date", json!("soon"), json!("<invalid>")),
            ("date", json!(1), json!(null)),
            ("integer", json!(null), json!(null)),
        ] {
            assert_eq!(cell(Some(&value), kind, now), want, "{kind} {value}");
        }
        assert_eq!(cell(None, "string", now), json!(null));
    }

    #[test]
    fn tables_are_written_in_struct_order() {
        let column = ColumnDefinition {
            name: "Name".into(),
            kind: "string".into(),
            format: "name".into(),
            ..ColumnDefinition::default()
        };
        let meta = ListMeta {
            resource_version: "7".into(),
            ..ListMeta::default()
        };
        let mut out = Vec::new();
        let row = |out: &mut Vec<u8>| write_row(&[json!("a"), json!(null)], b"null", out);
        write(MetaVersion::V1, &meta, Some(&[column]), row, &mut out);
        assert_eq!(
            String::from_utf8_lossy(&out),
            r#"{"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":{"resourceVersion":"7"},"columnDefinitions":[{"name":"Name","type":"string","format":"name","description":"","priority":0}],"rows":[{"cells":["a",null],"object":null}]}"#
        );
    }

    #[test]
    fn unknown_include_object_is_rejected() {
        assert_eq!(IncludeObject::parse("").ok(), Some(IncludeObject::Metadata));
        assert_eq!(
            IncludeObject::parse("includeObject=None").ok(),
            Some(IncludeObject::None)
        );
        let error = IncludeObject::parse("includeObject=x").expect_err("unknown");
        assert_eq!(
            error.to_string(),
            "Unable to convert to Table as requested: includeObject: Invalid value: \"x\": must be 'Metadata', 'Object', 'None', or empty"
        );
    }
}
