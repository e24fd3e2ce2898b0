//! One validation error of a field.

use std::collections::HashSet;
use std::fmt;

use crate::go_text;

/// One validation error of a field, Go's `field.Error`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The type of error.
    pub kind: ErrorType,
    /// The field's path as text.
    pub field: String,
    /// The invalid value; some error types do not print it.
    pub value: Value,
    /// What is required; may be empty.
    pub detail: String,
}

/// Types of field errors, Go's `field.ErrorType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorType {
    /// A reference to an object that does not exist.
    NotFound,
    /// A required value is missing.
    Required,
    /// A value that must be unique occurs twice.
    Duplicate,
    /// A value is malformed.
    Invalid,
    /// A value is not one of a fixed set.
    NotSupported,
    /// A value is well formed but not permitted in this state.
    Forbidden,
    /// A text has too many bytes or characters.
    TooLong,
    /// A list has too many items.
    TooMany,
    /// A list has too few items.
    TooFew,
    /// Validation itself failed.
    Internal,
    /// A value has the wrong type.
    TypeInvalid,
    /// A text has too few characters.
    TooShort,
}

/// An invalid value as messages print it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Value(Option<String>);

/// The message of several errors: the text of one, or `[first, second]`; repeated texts occur once.
/// Empty for no error.
#[must_use]
pub fn aggregate(errors: &[Error]) -> String {
    let mut seen = HashSet::new();
    let mut texts: Vec<String> = errors.iter().map(Error::to_string).collect();
    texts.retain(|text| seen.insert(text.clone()));
    match texts.len() {
        0 => String::new(),
        1 => texts.swap_remove(0),
        _ => format!("[{}]", texts.join(", ")),
    }
}

// === impl Error ===

impl Error {
    /// An error from its parts.
    #[must_use]
    pub fn new(
        kind: ErrorType,
        field: impl fmt::Display,
        value: impl Into<Value>,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            field: field.to_string(),
            value: value.into(),
            detail: detail.into(),
        }
    }

    /// `Invalid value: V: detail`, for a value of the wrong type.
    #[must_use]
    pub fn type_invalid(
        field: impl fmt::Display,
        value: impl Into<Value>,
        detail: impl Into<String>,
    ) -> Self {
        Self::new(ErrorType::TypeInvalid, field, value, detail)
    }

    /// `Not found: V`.
    #[must_use]
    pub fn not_found(field: impl fmt::Display, value: impl Into<Value>) -> Self {
        Self::new(ErrorType::NotFound, field, value, "")
    }

    /// `Required value: detail`.
    #[must_use]
    pub fn required(field: impl fmt::Display, detail: impl Into<String>) -> Self {
        Self::new(ErrorType::Required, field, Value::omitted(), detail)
    }

    /// `Duplicate value: V`.
    #[must_use]
    pub fn duplicate(field: impl fmt::Display, value: impl Into<Value>) -> Self {
        Self::new(ErrorType::Duplicate, field, value, "")
    }

    /// `Invalid value: V: detail`.
    #[must_use]
    pub fn invalid(
        field: impl fmt::Display,
        value: impl Into<Value>,
        detail: impl Into<String>,
    ) -> Self {
        Self::new(ErrorType::Invalid, field, value, detail)
    }

    /// `Unsupported value: V: supported values: "a", "b"`, in the given order.
    #[must_use]
    pub fn not_supported<T: AsRef<str>>(
        field: impl fmt::Display,
        value: impl Into<Value>,
        supported: &[T],
    ) -> Self {
        let quoted: Vec<String> = supported
            .iter()
            .map(|value| go_text::quote(value.as_ref()))
            .collect();
        let detail = if quoted.is_empty() {
            String::new()
        } else {
            format!("supported values: {}", quoted.join(", "))
        };
        Self::new(ErrorType::NotSupported, field, value, detail)
    }

    /// `Forbidden: detail`.
    #[must_use]
    pub fn forbidden(field: impl fmt::Display, detail: impl Into<String>) -> Self {
        Self::new(ErrorType::Forbidden, field, Value::omitted(), detail)
    }

    /// `Too long: may not be more than N bytes`.
    #[must_use]
    pub fn too_long(field: impl fmt::Display, max_bytes: usize) -> Self {
        let detail = at_most("may not be more than", max_bytes, "byte");
        Self::new(ErrorType::TooLong, field, Value::omitted(), detail)
    }

    /// `Too long: may not be more than N characters`.
    #[must_use]
    pub fn too_long_characters(field: impl fmt::Display, max_characters: usize) -> Self {
        let detail = at_most("may not be more than", max_characters, "character");
        Self::new(ErrorType::TooLong, field, Value::omitted(), detail)
    }

    /// `Too short: must be at least N characters`.
    #[must_use]
    pub fn too_short(field: impl fmt::Display, min_characters: usize) -> Self {
        let detail = at_most("must be at least", min_characters, "character");
        Self::new(ErrorType::TooShort, field, Value::omitted(), detail)
    }

    /// `Too many: ACTUAL: must have at most N items`.
    #[must_use]
    pub fn too_many(field: impl fmt::Display, actual: usize, max: usize) -> Self {
        let detail = at_most("must have at most", max, "item");
        Self::new(ErrorType::TooMany, field, actual, detail)
    }

    /// `Too few: ACTUAL: must have at least N items`.
    #[must_use]
    pub fn too_few(field: impl fmt::Display, actual: usize, min: usize) -> Self {
        let detail = at_most("must have at least", min, "item");
        Self::new(ErrorType::TooFew, field, actual, detail)
    }

    /// `Internal error: detail`.
    #[must_use]
    pub fn internal(field: impl fmt::Display, error: impl fmt::Display) -> Self {
        Self::new(
            ErrorType::Internal,
            field,
            Value::omitted(),
            error.to_string(),
        )
    }

    /// Total bytes of its texts.
    #[must_use]
    pub fn size(&self) -> usize {
        let value = self.value.0.as_ref().map_or(0, String::len);
        self.field.len() + value + self.detail.len()
    }

    /// Truncates every text to `bytes` bytes and notes the number of omitted bytes.
    #[must_use]
    pub fn cut(mut self, bytes: usize) -> Self {
        let cut = |text: &mut String| *text = go_text::cut(std::mem::take(text), bytes);
        cut(&mut self.field);
        cut(&mut self.detail);
        if let Some(value) = &mut self.value.0 {
            cut(value);
        }
        self
    }

    /// The text without the field's path, as in the causes of a Status.
    #[must_use]
    pub fn body(&self) -> String {
        let mut text = String::from(self.kind.text());
        if let Some(value) = self.value.0.as_ref().filter(|_| self.kind.shows_value()) {
            text.push_str(": ");
            text.push_str(value);
        }
        if !self.detail.is_empty() {
            text.push_str(": ");
            text.push_str(&self.detail);
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.field, self.body())
    }
}

impl std::error::Error for Error {}

// === impl ErrorType ===

impl ErrorType {
    /// The machine-readable name, used as the `reason` of a cause.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::NotFound => "FieldValueNotFound",
            Self::Required => "FieldValueRequired",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::TooFew => "FieldValueTooFew",
            Self::Internal => "InternalError",
            Self::TypeInvalid => "FieldValueTypeInvalid",
            Self::TooShort => "FieldValueTooShort",
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::NotFound => "Not found",
            Self::Required => "Required value",
            Self::Duplicate => "Duplicate value",
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
            Self::TooFew => "Too few",
            Self::Internal => "Internal error",
            Self::TooShort => "Too short",
        }
    }

    const fn shows_value(self) -> bool {
        !matches!(
            self,
            Self::Required | Self::Forbidden | Self::TooLong | Self::TooShort | Self::Internal
        )
    }
}

// === impl Value ===

impl Value {
    /// Prints no value.
    #[must_use]
    pub const fn omitted() -> Self {
        Self(None)
    }

    /// A text printed without quotes.
    #[must_use]
    pub fn verbatim(text: impl Into<String>) -> Self {
        Self(Some(text.into()))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self(Some(go_text::quote(text)))
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self(Some(value.to_string()))
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self(Some(value.to_string()))
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Self::from(i64::from(value))
    }
}

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Self(Some(value.to_string()))
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self(Some(go_text::float(value)))
    }
}

/// Lists and objects are printed as JSON.
impl From<&serde_json::Value> for Value {
    fn from(value: &serde_json::Value) -> Self {
        use serde_json::Value as Json;
        match value {
            Json::String(text) => Self::from(text.as_str()),
            Json::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(integer), _) => Self::from(integer),
                (None, Some(float)) => Self::from(float),
                (None, None) => Self(Some(number.to_string())),
            },
            other => Self(Some(
                String::from_utf8_lossy(&kube_json::to_vec(other)).into_owned(),
            )),
        }
    }
}

impl From<&[String]> for Value {
    fn from(items: &[String]) -> Self {
        Self::from(&serde_json::Value::from(items.to_vec()))
    }
}

/// `<words> 1 item` or `<words> N items`.
fn at_most(words: &str, count: usize, unit: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{words} {count} {unit}{plural}")
}
