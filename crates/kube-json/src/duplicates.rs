//! Paths of keys that a document repeats.

use std::fmt::Write as _;

/// A step from a container to one of its values.
#[derive(Clone, Copy)]
pub(crate) enum Step<'a> {
    Field(&'a str),
    Item(usize),
}

pub(crate) struct Duplicates {
    paths: Vec<String>,
    /// Remaining cost, in bytes and steps, of paths that may be built. Without it, a document that
    /// repeats one key below long names or many levels deep would make paths far larger than
    /// itself.
    budget: usize,
}

/// The limit of Go's decoder (`sigs.k8s.io/json`).
const MAX_PATHS: usize = 100;

/// Limit of the total cost; 100 paths of real documents need far less.
const MAX_PATH_COST: usize = 1 << 20;

// === impl Duplicates ===

impl Duplicates {
    /// The position among the paths at which a repeated key that is being read now belongs.
    pub(crate) const fn mark(&self) -> usize {
        self.paths.len()
    }

    /// Records a repeated key before all paths recorded since its mark; `steps` leads to the key from
    /// the root.
    pub(crate) fn record<'a>(&mut self, mark: usize, steps: impl Iterator<Item = Step<'a>>) {
        if mark >= MAX_PATHS || self.budget == 0 {
            return;
        }
        let (path, count) = path(steps);
        self.budget = self.budget.saturating_sub(path.len() + count);
        if !self.paths.contains(&path) {
            self.paths.insert(mark, path);
            self.paths.truncate(MAX_PATHS);
        }
    }

    pub(crate) fn into_paths(self) -> Vec<String> {
        self.paths
    }
}

/// The text of a path, and its number of steps.
fn path<'a>(steps: impl Iterator<Item = Step<'a>>) -> (String, usize) {
    let (mut text, mut count) = (String::new(), 0);
    for step in steps {
        count += 1;
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
    (text, count)
}

impl Default for Duplicates {
    fn default() -> Self {
        Self {
            paths: Vec::new(),
            budget: MAX_PATH_COST,
        }
    }
}
