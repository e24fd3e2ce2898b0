//! Requirements of which selectors consist.

use crate::{field, names};

/// A requirement of one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    key: String,
    operator: Operator,
    values: Vec<String>,
}

/// The comparison of a requirement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// The label is one of the values.
    In,
    /// The label is none of the values, or missing.
    NotIn,
    /// `=`: the label is the value.
    Equals,
    /// `==`: the same as [`Operator::Equals`].
    DoubleEquals,
    /// The label is not the value, or missing.
    NotEquals,
    /// The label exists.
    Exists,
    /// The label is missing.
    DoesNotExist,
    /// The label is a greater integer.
    GreaterThan,
    /// The label is a lesser integer.
    LessThan,
}

/// A requirement of one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldRequirement {
    /// The field's path, such as `metadata.name`.
    pub field: String,
    /// The value to compare with.
    pub value: String,
    /// Whether field and value must be equal; otherwise they must differ.
    pub equal: bool,
}

impl Requirement {
    /// The label's key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The comparison.
    #[must_use]
    pub const fn operator(&self) -> Operator {
        self.operator
    }

    /// The values to compare with, sorted.
    #[must_use]
    pub fn values(&self) -> &[String] {
        &self.values
    }

    pub(super) fn new(
        key: String,
        operator: Operator,
        values: Vec<String>,
    ) -> Result<Self, String> {
        let mut errors = Vec::new();
        let root = field::Path::new("values");
        if matches!(operator, Operator::GreaterThan | Operator::LessThan) {
            let words = "for 'Gt', 'Lt' operators, the value must be an integer";
            errors.extend(
                values
                    .iter()
                    .enumerate()
                    .filter(|(_, value)| value.parse::<i64>().is_err())
                    .map(|(at, value)| field::Error::invalid(root.index(at), value, words)),
            );
        }
        for (at, value) in values.iter().enumerate() {
            let wrong = names::label_value(value);
            if !wrong.is_empty() {
                let item = root.index(at);
                let detail = wrong.join("; ");
                errors.push(field::Error::invalid(item.key(&key), value, detail));
            }
        }
        if !errors.is_empty() {
            return Err(field::aggregate(&errors));
        }
        Ok(Self {
            key,
            operator,
            values,
        })
    }

    pub(super) fn check_key(key: &str) -> Result<(), String> {
        let wrong = names::qualified_name(key);
        if wrong.is_empty() {
            return Ok(());
        }
        Err(field::Error::invalid(field::Path::nil(), key, wrong.join("; ")).to_string())
    }
}
