//! What was found, and how it is told.

use std::fmt;

use api_types::field::{Error, ErrorType, Value as Shown};
use serde_json::Value;

/// Where a value is; the root is nothing, fields are joined with dots.
#[derive(Clone, Copy)]
pub(super) enum Way<'a> {
    Root,
    Key(&'a Self, &'a str),
    Index(&'a Self, usize),
}

/// What is wrong, and how much is right.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) faults: Vec<Fault>,
    pub(super) matches: u64,
}

/// One thing that is wrong. A composite's own fault has no place.
pub(super) struct Fault(Error);

impl Outcome {
    pub(super) fn add(&mut self, fault: Fault) {
        self.faults.push(fault);
    }
}

impl fmt::Display for Way<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Way::Root => Ok(()),
            Way::Key(parent, key) => match parent {
                Way::Root => out.write_str(key),
                parent => write!(out, "{parent}.{key}"),
            },
            Way::Index(parent, index) => write!(out, "{parent}[{index}]"),
        }
    }
}

impl Fault {
    fn new(kind: ErrorType, way: Way<'_>, value: impl Into<Shown>, detail: String) -> Self {
        Self(Error::new(kind, way, value, detail))
    }

    pub(super) fn wrong_type(way: Way<'_>, want: &str, found: &str) -> Self {
        let quoted = api_types::go_text::quote(found);
        let detail = format!("{way} in body must be of type {want}: {quoted}");
        Self::new(ErrorType::TypeInvalid, way, found, detail)
    }

    pub(super) fn invalid(way: Way<'_>, value: impl Into<Shown>, what: &str) -> Self {
        Self::new(
            ErrorType::Invalid,
            way,
            value,
            format!("{way} in body {what}"),
        )
    }

    pub(super) fn too_long(way: Way<'_>, most: i64) -> Self {
        Self(Error::too_long(way, usize::try_from(most).unwrap_or(0)))
    }

    pub(super) fn too_many(way: Way<'_>, count: i64, most: i64) -> Self {
        let count = usize::try_from(count).unwrap_or(0);
        let most = usize::try_from(most).unwrap_or(0);
        Self(Error::too_many(way, count, most))
    }

    pub(super) fn required(way: Way<'_>, name: &str) -> Self {
        Self(Error::required(Way::Key(&way, name), ""))
    }

    pub(super) fn forbidden_field(way: Way<'_>, name: &str) -> Self {
        let detail = format!("{way}.{name} in body is a forbidden property");
        Self::new(ErrorType::Invalid, way, name, detail)
    }

    pub(super) fn not_supported(way: Way<'_>, value: &Value, values: &[Value]) -> Self {
        let texts: Vec<String> = values
            .iter()
            .map(|value| match value {
                Value::String(text) => text.clone(),
                other => String::from_utf8_lossy(&kube_json::to_vec(other)).into_owned(),
            })
            .collect();
        Self(Error::not_supported(way, value, &texts))
    }

    pub(super) fn bad_factor(way: Way<'_>, factor: String) -> Self {
        let detail = format!("factor MultipleOf declared for {way} must be positive: {factor}");
        Self::new(ErrorType::Invalid, way, Shown::verbatim(factor), detail)
    }

    /// A fault without a place of its own.
    pub(super) fn plain(text: String) -> Self {
        Self(Error::invalid("", "", text))
    }

    /// Says it, below a prefix if there is one.
    pub(super) fn report(self, prefix: Option<&str>) -> Error {
        let mut error = self.0;
        error.field = match (prefix, error.field.as_str()) {
            (None, "") => String::from("<nil>"),
            (None, _) => return error,
            (Some(prefix), "") => prefix.to_owned(),
            (Some(prefix), field) => format!("{prefix}.{field}"),
        };
        error
    }
}
