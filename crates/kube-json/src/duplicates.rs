//! Collects the paths of keys that a document repeats.

use std::fmt::Write as _;

/// Where in a document the parser is: a list linked towards the root, free until it is printed.
pub(crate) struct Frame<'a> {
    parent: Option<&'a Self>,
    step: Step<'a>,
}

enum Step<'a> {
    Field(&'a str),
    Item(usize),
}

/// Paths of repeated keys.
pub(crate) struct Duplicates {
    paths: Vec<String>,
    /// Bytes of path text that may still be built. A hostile document could otherwise repeat one
    /// key below long names until the paths cost far more than the document.
    budget: usize,
}

/// As many as Go's decoder keeps.
const MAX_PATHS: usize = 100;

const MAX_PATH_BYTES: usize = 1 << 20;

// === impl Frame ===

impl<'a> Frame<'a> {
    pub(crate) const fn field(parent: Option<&'a Self>, name: &'a str) -> Self {
        Self {
            parent,
            step: Step::Field(name),
        }
    }

    pub(crate) const fn item(parent: Option<&'a Self>, index: usize) -> Self {
        Self {
            parent,
            step: Step::Item(index),
        }
    }

    fn path(&self) -> String {
        let mut way = Vec::new();
        let mut next = Some(self);
        while let Some(frame) = next {
            way.push(&frame.step);
            next = frame.parent;
        }
        let mut text = String::new();
        for step in way.into_iter().rev() {
            match step {
                Step::Field(name) => {
                    if !text.is_empty() {
                        text.push('.');
                    }
                    text.push_str(name);
                }
                Step::Item(index) => {
                    let outcome = write!(text, "[{index}]");
                    debug_assert!(outcome.is_ok(), "a String takes every character");
                }
            }
        }
        text
    }
}

// === impl Duplicates ===

impl Duplicates {
    /// The place in the order of paths of a key that is being read now.
    pub(crate) const fn mark(&self) -> usize {
        self.paths.len()
    }

    /// Notes a repeated key, before everything found since its mark.
    pub(crate) fn record(&mut self, mark: usize, frame: &Frame<'_>) {
        if mark >= MAX_PATHS || self.budget == 0 {
            return;
        }
        let path = frame.path();
        self.budget = self.budget.saturating_sub(path.len() + 1);
        if !self.paths.contains(&path) {
            self.paths.insert(mark, path);
            self.paths.truncate(MAX_PATHS);
        }
    }

    pub(crate) fn into_paths(self) -> Vec<String> {
        self.paths
    }
}

impl Default for Duplicates {
    fn default() -> Self {
        Self {
            paths: Vec::new(),
            budget: MAX_PATH_BYTES,
        }
    }
}
