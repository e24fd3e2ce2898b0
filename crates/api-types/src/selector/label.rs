//! Label selectors: `app in (a,b),tier!=db,!canary`.

use std::sync::Arc;

use super::merged::Labels;
use super::{Lookup, SelectorError, parser};
use crate::{field, names};

/// Requirements that must all hold. The empty selector matches everything. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    /// Sorted by key.
    requirements: Arc<[Requirement]>,
    merged: Arc<Labels>,
}

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

// === impl LabelSelector ===

impl LabelSelector {
    /// Parses a selector.
    ///
    /// # Errors
    ///
    /// The message of kube-apiserver's 400.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut requirements = parser::parse(text)?;
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Self {
            merged: Arc::new(Labels::of(&requirements)),
            requirements: requirements.into(),
        })
    }

    /// Whether the requirements contradict each other, so that nothing matches.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.merged.is_nothing()
    }

    /// Whether there are no requirements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// The requirements, sorted by key.
    #[must_use]
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// Whether the labels meet every requirement. The cost is proportional to the number of labels
    /// or of keys in the selector, whichever is smaller, and independent of the number of
    /// requirements and values.
    #[must_use]
    pub fn matches(&self, labels: &(impl Lookup + ?Sized)) -> bool {
        self.merged.matches(labels)
    }

    /// Labels that must have exactly one value, for use with an index.
    pub fn equalities(&self) -> impl Iterator<Item = (&str, &str)> {
        self.requirements.iter().filter_map(|one| {
            let exact = matches!(
                one.operator,
                Operator::In | Operator::Equals | Operator::DoubleEquals
            );
            match one.values.as_slice() {
                [value] if exact => Some((one.key.as_str(), value.as_str())),
                _ => None,
            }
        })
    }
}

// === impl Requirement ===

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
