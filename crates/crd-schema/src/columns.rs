//! Columns of tables, and the cells of an object.

use std::borrow::Cow;

use api_types::field::{Error, Path};
use api_types::{go_text, time};
use jiff::Timestamp;
use serde_json::Value;

use crate::jsonpath::JsonPath;

const TYPES: &str = "boolean,date,integer,number,string";
const FORMATS: &str = "byte,date,date-time,double,float,int32,int64,password";

/// One of `additionalPrinterColumns`.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// The heading.
    pub name: String,
    /// The type of the cells.
    pub kind: ColumnType,
    /// A hint for clients; may be empty.
    pub format: String,
    /// The description; derived from the path if the definition has none.
    pub description: String,
    /// 0 is always shown, higher values only in wide output.
    pub priority: i32,
    /// The path as written.
    pub json_path: String,
    path: JsonPath,
}

/// Types of columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// True or false.
    Boolean,
    /// A timestamp, shown as an age.
    Date,
    /// A number without fraction.
    Integer,
    /// A number.
    Number,
    /// Any value as text.
    String,
}

/// The cell of an object, independent of the current time.
#[derive(Clone, Debug, PartialEq)]
pub enum Shown {
    /// A constant; null if the value is missing or has another type than the column.
    Value(Value),
    /// The age of this time.
    Age(Timestamp),
}

impl ColumnType {
    /// The name in definitions and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Date => "date",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::String => "string",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [
            Self::Boolean,
            Self::Date,
            Self::Integer,
            Self::Number,
            Self::String,
        ]
        .into_iter()
        .find(|kind| kind.name() == name)
    }
}

impl Column {
    /// The column of a resource that declares none: the age.
    #[must_use]
    pub fn age() -> Self {
        let json_path = ".metadata.creationTimestamp";
        Self {
            name: String::from("Age"),
            kind: ColumnType::Date,
            format: String::new(),
            description: String::from(CREATION_TIMESTAMP),
            priority: 0,
            json_path: String::from(json_path),
            path: JsonPath::parse(json_path).expect("the path is well formed"),
        }
    }

    /// The cell of an object at `now`; null if the value is missing or has another type than the
    /// column.
    #[must_use]
    pub fn cell(&self, object: &Value, now: Timestamp) -> Value {
        match self.shown(object) {
            Shown::Value(value) => value,
            Shown::Age(time) => Value::from(time::age(time, now)),
        }
    }

    /// The cell of an object. Only ages depend on the time.
    #[must_use]
    pub fn shown(&self, object: &Value) -> Shown {
        let found = self.path.find(object).ok();
        match found.and_then(|found| found.into_iter().next()) {
            Some(value) => self.show(value),
            None => Shown::Value(Value::Null),
        }
    }

    fn show(&self, value: Cow<'_, Value>) -> Shown {
        Shown::Value(match (self.kind, value.as_ref()) {
            (ColumnType::String, _) => Value::String(text(value)),
            (ColumnType::Integer, Value::Number(number)) => {
                // Go's conversion of a float beyond int64 depends on the platform; this one
                // saturates.
                let float = || number.as_f64().map_or(0, |float| float as i64);
                Value::from(number.as_i64().unwrap_or_else(float))
            }
            (ColumnType::Number, Value::Number(_)) | (ColumnType::Boolean, Value::Bool(_)) => {
                value.into_owned()
            }
            (ColumnType::Date, Value::String(date)) => return age(date),
            _ => Value::Null,
        })
    }
}

/// The description of `metadata.creationTimestamp` in `api/core/v1`.
const CREATION_TIMESTAMP: &str = "CreationTimestamp is a timestamp representing the server time \
    when this object was created. It is not guaranteed to be set in happens-before order across \
    separate operations. Clients may not set this value. It is represented in RFC3339 form and is \
    in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: \
    https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";

/// A value in the format of Go's `fmt.Print`, maps and lists as JSON.
fn text(value: Cow<'_, Value>) -> String {
    match value {
        Cow::Owned(Value::String(text)) => text,
        value => match value.as_ref() {
            Value::Null => String::from("<no value>"),
            Value::String(text) => text.clone(),
            Value::Bool(value) => value.to_string(),
            Value::Number(number) => match number.as_i64() {
                Some(integer) => integer.to_string(),
                None => go_text::float(number.as_f64().unwrap_or_default()),
            },
            composite => String::from_utf8_lossy(&kube_json::to_vec(composite)).into_owned(),
        },
    }
}

fn age(date: &str) -> Shown {
    let words = |words: &str| Shown::Value(Value::from(words));
    if date.is_empty() || date == "null" {
        return words("<unknown>");
    }
    match time::parse(date) {
        // Go's zero time: the year 1.
        Some(then) if time::format(then) == time::ZERO => words("<unknown>"),
        Some(then) => Shown::Age(then),
        None => words("<invalid>"),
    }
}

/// Reads a column of a definition; `None`, and a warning, if its path cannot be parsed.
/// kube-apiserver then serves the columns before it.
pub(crate) fn read(
    value: &Value,
    path: &Path<'_>,
    errors: &mut Vec<Error>,
    warnings: &mut Vec<String>,
) -> Option<Column> {
    let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or("");
    let name = text("name");
    if name.is_empty() {
        errors.push(Error::required(path.child("name"), ""));
    }
    let type_name = text("type");
    let kind = ColumnType::parse(type_name);
    let detail = format!("must be one of {TYPES}");
    if type_name.is_empty() {
        errors.push(Error::required(path.child("type"), detail));
    } else if kind.is_none() {
        errors.push(Error::invalid(path.child("type"), type_name, detail));
    }
    let format = text("format");
    if !format.is_empty() && !FORMATS.split(',').any(|known| known == format) {
        let detail = format!("must be one of {FORMATS}");
        errors.push(Error::invalid(path.child("format"), format, detail));
    }
    let json_path = text("jsonPath");
    let json_field = path.child("JSONPath");
    if json_path.is_empty() {
        errors.push(Error::required(json_field, ""));
    } else if !json_path.starts_with('.') {
        let detail = "must be a simple json path starting with .";
        errors.push(Error::invalid(json_field, json_path, detail));
    }
    let parsed = match JsonPath::parse(json_path) {
        Ok(parsed) => parsed,
        Err(error) => {
            warnings.push(format!(
                "{json_field}: {json_path:?} cannot be parsed, so that this column and those after \
                 it are not shown: {error}"
            ));
            return None;
        }
    };
    let description = match text("description") {
        "" => format!("Custom resource definition column (in JSONPath format): {json_path}"),
        description => description.to_owned(),
    };
    let priority = value.get("priority").and_then(Value::as_i64).unwrap_or(0);
    Some(Column {
        name: name.to_owned(),
        kind: kind.unwrap_or(ColumnType::String),
        format: format.to_owned(),
        description,
        priority: i32::try_from(priority).unwrap_or(i32::MAX),
        json_path: json_path.to_owned(),
        path: parsed,
    })
}

#[cfg(test)]
mod tests {
    use api_types::time;
    use serde_json::{Value, json};

    use super::read;

    fn check(kind: &str, path: &str, want: &Value) {
        let object = json!({
            "i": 5, "f": 2.7, "b": true, "s": "x", "m": {"a": "<"}, "l": [1], "n": null,
            "t": "2024-01-02T03:04:05Z", "zero": "0001-01-01T00:00:00Z", "big": 1_000_000.5e6,
        });
        let mut errors = Vec::new();
        let manifest = json!({"name": "C", "type": kind, "jsonPath": path});
        let mut warnings = Vec::new();
        let at = api_types::field::Path::new("c");
        let column = read(&manifest, &at, &mut errors, &mut warnings).expect("a column");
        assert_eq!(errors, [], "{path}");
        let now = time::parse("2024-01-02T03:06:05Z").expect("a time");
        assert_eq!(column.cell(&object, now), *want, "{kind} {path}");
    }

    #[test]
    fn cells_are_converted_to_the_column_type() {
        check("integer", ".i", &json!(5));
        check("integer", ".f", &json!(2));
        check("integer", ".s", &Value::Null);
        check("number", ".f", &json!(2.7));
        check("number", ".i", &json!(5));
        check("boolean", ".b", &json!(true));
        check("boolean", ".s", &Value::Null);
        check("string", ".i", &json!("5"));
        check("string", ".f", &json!("2.7"));
        check("string", ".big", &json!("1.0000005e+12"));
        check("string", ".m", &json!("{\"a\":\"\\u003c\"}"));
        check("string", ".l", &json!("[1]"));
        check("string", ".n", &json!("<no value>"));
        check("string", ".nope", &Value::Null);
        check("date", ".t", &json!("2m"));
        check("date", ".s", &json!("<invalid>"));
        check("date", ".zero", &json!("<unknown>"));
        check("date", ".n", &Value::Null);
        check("integer", ".l[7]", &Value::Null);
    }
}
