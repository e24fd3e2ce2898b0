//! Collects the paths of keys that a document repeats.

use std::fmt::Write as _;

/// A step from a container to what is in it.
#[derive(Clone, Copy)]
pub(crate) enum Step<'a> {
    Field(&'a str),
    Item(usize),
}

/// Paths of repeated keys.
pub(crate) struct Duplicates {
    paths: Vec<String>,
    /// Bytes and steps of paths that may still be built. A hostile document could otherwise repeat
    /// one key below long names, or many levels deep, until the paths cost far more than the
    /// document.
    budget: usize,
}

/// As many as Go's decoder keeps.
const MAX_PATHS: usize = 100;

/// Far more than 100 paths of any real document need.
const MAX_PATH_COST: usize = 1 << 20;

// === impl Duplicates ===

impl Duplicates {
    /// The place in the order of paths of a key that is being read now.
    pub(crate) const fn mark(&self) -> usize {
        self.paths.len()
    }

    /// Notes a repeated key, before everything found since its mark; `way` leads to it from the
    /// root.
    pub(crate) fn record<'a>(&mut self, mark: usize, way: impl Iterator<Item = Step<'a>>) {
        if mark >= MAX_PATHS || self.budget == 0 {
            return;
        }
        let (path, steps) = path(way);
        self.budget = self.budget.saturating_sub(path.len() + steps);
        if !self.paths.contains(&path) {
            self.paths.insert(mark, path);
            self.paths.truncate(MAX_PATHS);
        }
    }

    pub(crate) fn into_paths(self) -> Vec<String> {
        self.paths
    }
}

/// The text of a path, and how many steps it has.
fn path<'a>(way: impl Iterator<Item = Step<'a>>) -> (String, usize) {
    let (mut text, mut steps) = (String::new(), 0);
    for step in way {
        steps += 1;
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
    (text, steps)
}

impl Default for Duplicates {
    fn default() -> Self {
        Self {
            paths: Vec::new(),
            budget: MAX_PATH_COST,
        }
    }
}
