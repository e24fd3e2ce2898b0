//! Label selectors: `app in (a,b),tier!=db,!canary`.

use std::sync::Arc;

use super::merged::Labels;
use super::requirement::{Operator, Requirement};
use super::{Lookup, SelectorError, parser};

/// Requirements that must all hold. The empty selector matches everything. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    /// Sorted by key.
    requirements: Arc<[Requirement]>,
    merged: Arc<Labels>,
}

impl LabelSelector {
    /// Parses a selector.
    ///
    /// # Errors
    ///
    /// The message of kube-apiserver's 400.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut requirements = parser::parse(text)?;
        requirements.sort_by(|a, b| a.key().cmp(b.key()));
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
                one.operator(),
                Operator::In | Operator::Equals | Operator::DoubleEquals
            );
            match one.values() {
                [value] if exact => Some((one.key(), value.as_str())),
                _ => None,
            }
        })
    }
}
