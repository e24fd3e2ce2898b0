//! Where a walk stands, as a chain on the stack: paths are made only where they are needed.

use std::sync::Arc;

use crate::element::PathElement;
use crate::set::Builder;
use crate::typed::error::ValidationErrors;
use crate::typed::item::ItemKey;

/// The steps from the root.
#[derive(Clone, Copy)]
pub(crate) struct Trail<'a> {
    above: Option<(&'a Self, Step<'a>)>,
    depth: usize,
}

/// One step.
#[derive(Clone, Copy)]
pub(crate) enum Step<'a> {
    /// To a declared member.
    Declared(&'a Arc<str>),
    /// To a member that is not declared.
    Named(&'a str),
    /// To an item of a set or keyed list.
    Item(&'a ItemKey<'a>),
    /// To an item of an atomic list.
    Index(usize),
}

// === impl Trail ===

impl<'a> Trail<'a> {
    pub(crate) const ROOT: Self = Self {
        above: None,
        depth: 0,
    };

    pub(crate) const fn then(&'a self, step: Step<'a>) -> Self {
        Self {
            above: Some((self, step)),
            depth: self.depth + 1,
        }
    }

    /// Number of steps.
    pub(crate) const fn depth(&self) -> usize {
        self.depth
    }

    /// Adds an error about this field.
    pub(crate) fn error(&self, errors: &mut ValidationErrors, problem: impl FnOnce() -> String) {
        if errors.is_full() {
            return;
        }
        let mut path = String::new();
        for step in self.steps(0) {
            step.element().write(&mut path);
        }
        errors.push(path, problem());
    }

    /// Adds this field to a set. The root has no field.
    pub(crate) fn mark(&self, set: &mut Builder) {
        for step in self.steps(set.depth()) {
            let depth = set.depth();
            set.push(depth, step.element(), false);
        }
        set.mark();
    }

    /// The steps after the first `skipped` ones.
    fn steps(&self, skipped: usize) -> impl Iterator<Item = Step<'a>> + use<'a> {
        let mut steps = Vec::with_capacity(self.depth.saturating_sub(skipped));
        let mut at = *self;
        while at.depth > skipped
            && let Some((above, step)) = at.above
        {
            steps.push(step);
            at = *above;
        }
        steps.into_iter().rev()
    }
}

// === impl Step ===

impl Step<'_> {
    fn element(self) -> PathElement {
        match self {
            Self::Declared(name) => PathElement::Field(Arc::clone(name)),
            Self::Named(name) => PathElement::field(name),
            Self::Item(key) => key.to_element(),
            Self::Index(index) => PathElement::Index(i64::try_from(index).unwrap_or(i64::MAX)),
        }
    }

    /// The step to a member.
    pub(crate) const fn member<'a>(declared: Option<&'a Arc<str>>, name: &'a str) -> Step<'a> {
        match declared {
            Some(name) => Step::Declared(name),
            None => Step::Named(name),
        }
    }
}
