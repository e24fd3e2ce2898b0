//! Filters: which fields of a computed set count.

use std::collections::BTreeMap;

use crate::element::PathElement;
use crate::set::{Builder, FieldSet, View};

/// Restricts a set.
#[derive(Clone, Debug)]
pub enum Filter {
    /// Drops the members of this set and everything below them.
    Exclude(FieldSet),
    /// Keeps what matches.
    Include(Matcher),
}

/// A pattern of paths: everything below any of its prefixes, and the prefixes themselves.
///
/// ```
/// use structured_merge::{FieldSet, Matcher, Path, Step};
///
/// let containers = Matcher::prefix([Step::is("spec"), Step::is("containers"), Step::Any]);
/// let set: FieldSet = [Path::fields(["spec", "containers", "0"]), Path::fields(["spec", "x"])]
///     .iter()
///     .collect();
/// assert_eq!(
///     containers.apply(&set).to_json(),
///     r#"{"f:spec":{"f:containers":{"f:0":{}}}}"#
/// );
/// ```
#[derive(Clone, Debug, Default)]
pub struct Matcher {
    /// Everything matches.
    all: bool,
    /// Pattern of the paths below every element.
    any: Option<Box<Self>>,
    /// Patterns of the paths below one element, by its serialized form.
    elements: BTreeMap<String, Self>,
}

/// One step of a prefix.
#[derive(Clone, Debug)]
pub enum Step {
    /// Any element.
    Any,
    /// This element.
    Is(PathElement),
}

// === impl Filter ===

impl Filter {
    /// The members of the set that the filter keeps.
    #[must_use]
    pub fn apply(&self, set: &FieldSet) -> FieldSet {
        match self {
            Self::Exclude(excluded) => set.recursive_difference(excluded),
            Self::Include(matcher) => matcher.apply(set),
        }
    }
}

// === impl Matcher ===

impl Matcher {
    /// Matches every path.
    #[must_use]
    pub fn everything() -> Self {
        Self {
            all: true,
            ..Self::default()
        }
    }

    /// Matches the paths that begin with these steps, and the paths above them that consist of the
    /// first of them.
    #[must_use]
    pub fn prefix<I>(steps: I) -> Self
    where
        I: IntoIterator<Item = Step>,
        I::IntoIter: DoubleEndedIterator,
    {
        let mut matcher = Self::everything();
        for step in steps.into_iter().rev() {
            let below = std::mem::take(&mut matcher);
            match step {
                Step::Any => matcher.any = Some(Box::new(below)),
                Step::Is(element) => {
                    matcher.elements.insert(element.to_serialized(), below);
                }
            }
        }
        matcher
    }

    /// Matches what either matches.
    // bounded: by the steps of the caller's patterns
    #[must_use]
    pub fn or(mut self, other: Self) -> Self {
        if self.all || other.all {
            return Self::everything();
        }
        self.any = match (self.any.take(), other.any) {
            (Some(a), Some(b)) => Some(Box::new(a.or(*b))),
            (a, b) => a.or(b),
        };
        for (element, below) in other.elements {
            let merged = match self.elements.remove(&element) {
                Some(own) => own.or(below),
                None => below,
            };
            self.elements.insert(element, merged);
        }
        self
    }

    /// The members that match. At an element that both [`Step::Any`] and its own pattern match, the
    /// pattern of `Any` decides.
    #[must_use]
    pub fn apply(&self, set: &FieldSet) -> FieldSet {
        let mut out = Builder::default();
        self.filter(set.view(), 0, &mut out);
        out.finish()
    }

    // bounded: by the steps of the caller's patterns
    fn filter(&self, view: View<'_>, depth: usize, out: &mut Builder) {
        for child in view.children() {
            let below = match (&self.any, self.all) {
                (_, true) => Some(self),
                (Some(any), false) => Some(&**any),
                (None, false) => self.elements.get(&child.element().to_serialized()),
            };
            let Some(below) = below else {
                continue;
            };
            if below.all {
                out.copy(child.nodes());
                continue;
            }
            out.push(depth, child.element().clone(), child.is_member());
            below.filter(child.below(), depth + 1, out);
        }
    }
}

// === impl Step ===

impl Step {
    /// The member of a map with this name, or any other element.
    pub fn is(element: impl Into<PathElement>) -> Self {
        Self::Is(element.into())
    }
}
