//! Sets of fields.

mod algebra;
mod build;
mod iter;
mod lookup;
mod matcher;
mod named;
#[cfg(test)]
mod tests;
pub(crate) mod view;

use std::fmt;
use std::sync::Arc;

use crate::element::{Path, PathElement};

pub(crate) use build::{Builder, normalize};
pub use iter::Paths;
pub(crate) use lookup::Lookup;
pub use matcher::{Filter, Matcher, Step};
pub(crate) use view::View;

/// A set of fields, each named by its path.
///
/// A path is a member or not, independent of the paths above and below it. The root has no path and
/// is never a member.
///
/// The set is one sorted list of nodes in depth-first order, not a tree of allocations: 32 bytes
/// per node besides shared names. Clones share the list. No operation recurses, and all except
/// those that say otherwise are linear in the size of the sets.
///
/// ```
/// use structured_merge::{FieldSet, Path};
///
/// let mut set = FieldSet::default();
/// set.insert(&Path::fields(["spec", "a"]));
/// let other: FieldSet = [Path::fields(["spec", "b"])].iter().collect();
/// let both = set.union(&other);
/// assert_eq!(both.to_json(), r#"{"f:spec":{"f:a":{},"f:b":{}}}"#);
/// assert_eq!(both.difference(&set), other);
/// ```
#[derive(Clone, Default)]
pub struct FieldSet {
    nodes: Arc<Vec<Node>>,
}

/// A member of the set, or the way to one.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) element: PathElement,
    /// Depth, and in the lowest bit whether the path is a member.
    head: u32,
    /// Number of nodes of this subtree, this one included. Sets come from documents that are
    /// shorter than 4 GiB, of which a node takes at least 4 bytes.
    span: u32,
}

// === impl FieldSet ===

impl FieldSet {
    pub(crate) fn from_nodes(nodes: Vec<Node>) -> Self {
        Self {
            nodes: Arc::new(nodes),
        }
    }

    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    pub(crate) fn view(&self) -> View<'_> {
        View::new(&self.nodes)
    }

    /// Whether there is no member.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Number of members.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.iter().filter(|node| node.is_member()).count()
    }

    /// Adds a path; the paths above it do not become members. The empty path is ignored.
    ///
    /// Linear in the size of the set: collect many paths instead.
    pub fn insert(&mut self, path: &Path) {
        *self = self.union(&Self::of(path));
    }

    /// The set of one path.
    pub(crate) fn of(path: &Path) -> Self {
        let mut builder = Builder::default();
        for (depth, element) in path.0.iter().enumerate() {
            builder.push(depth, element.clone(), depth + 1 == path.0.len());
        }
        builder.finish()
    }

    /// Whether the path is a member. Linear in the number of siblings on the way.
    #[must_use]
    pub fn contains(&self, path: &Path) -> bool {
        let mut view = self.view();
        let mut member = false;
        for element in &path.0 {
            let Some(child) = view.child(element) else {
                return false;
            };
            member = child.is_member();
            view = child.below();
        }
        member
    }

    /// The members below an element of the root, with paths that begin below it. Linear in the size
    /// of the set.
    #[must_use]
    pub fn with_prefix(&self, element: &PathElement) -> Self {
        match self.view().child(element) {
            Some(child) => child.below().to_set(),
            None => Self::default(),
        }
    }

    /// The paths of the members: those of one level first, then those below each of its elements.
    /// Conflicts are reported in this order.
    #[must_use]
    pub fn paths(&self) -> Paths<'_> {
        Paths::new(self.view())
    }
}

impl PartialEq for FieldSet {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.nodes, &other.nodes)
            || self.nodes.len() == other.nodes.len()
                && self
                    .nodes
                    .iter()
                    .zip(other.nodes.iter())
                    .all(|(a, b)| a.head == b.head && a.element == b.element)
    }
}

impl<'a> FromIterator<&'a Path> for FieldSet {
    /// n log n in the total length of the paths.
    fn from_iter<T: IntoIterator<Item = &'a Path>>(paths: T) -> Self {
        Self::union_all(paths.into_iter().map(Self::of))
    }
}

impl fmt::Display for FieldSet {
    /// One path per line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, path) in self.paths().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            path.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Debug for FieldSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_json())
    }
}

// === impl Node ===

impl Node {
    pub(crate) fn new(element: PathElement, depth: usize, member: bool) -> Self {
        let depth = u32::try_from(depth).unwrap_or(u32::MAX >> 1);
        Self {
            element,
            head: depth << 1 | u32::from(member),
            span: 1,
        }
    }

    pub(crate) const fn depth(&self) -> usize {
        (self.head >> 1) as usize
    }

    pub(crate) const fn is_member(&self) -> bool {
        self.head & 1 == 1
    }

    pub(crate) const fn set_member(&mut self, member: bool) {
        self.head = self.head & !1 | member as u32;
    }

    pub(crate) const fn span(&self) -> usize {
        self.span as usize
    }

    pub(crate) fn set_span(&mut self, span: usize) {
        self.span = u32::try_from(span).unwrap_or(u32::MAX);
    }

    /// Whether there are members below.
    pub(crate) const fn has_children(&self) -> bool {
        self.span > 1
    }
}
