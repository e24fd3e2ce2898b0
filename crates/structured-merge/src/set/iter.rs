//! Iteration over the paths of a set.

use crate::element::{Path, PathElement};
use crate::set::view::{Children, View};

/// Iterator over the members of a set; see [`FieldSet::paths`](crate::FieldSet::paths).
pub struct Paths<'a> {
    path: Vec<PathElement>,
    /// The levels above the current one, and the current one last.
    levels: Vec<Level<'a>>,
}

/// A level of which first the members are visited, then the nodes below.
struct Level<'a> {
    members: Children<'a>,
    parents: Children<'a>,
}

// === impl Paths ===

impl<'a> Paths<'a> {
    pub(crate) fn new(view: View<'a>) -> Self {
        Self {
            path: Vec::new(),
            levels: vec![Level::new(view)],
        }
    }
}

impl Iterator for Paths<'_> {
    type Item = Path;

    fn next(&mut self) -> Option<Path> {
        loop {
            let level = self.levels.last_mut()?;
            if let Some(member) = level.members.find(|child| child.is_member()) {
                let path = self.path.iter().chain([member.element()]);
                return Some(Path(path.cloned().collect()));
            }
            match level.parents.find(|child| !child.below().is_empty()) {
                Some(parent) => {
                    self.path.push(parent.element().clone());
                    self.levels.push(Level::new(parent.below()));
                }
                None => {
                    self.levels.pop();
                    self.path.pop();
                }
            }
        }
    }
}

// === impl Level ===

impl<'a> Level<'a> {
    const fn new(view: View<'a>) -> Self {
        Self {
            members: view.children(),
            parents: view.children(),
        }
    }
}
