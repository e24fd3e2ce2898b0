//! Operations on two sets: one pass over both lists.
//!
//! Two cursors move in depth-first order. While the nodes that they passed last are equal, they are
//! below common nodes, so comparing their depths shows which list has no more nodes on this level.

use std::cmp::Ordering;

use crate::set::{Builder, FieldSet, Node};

/// Where the next nodes of two lists stand to each other.
enum Next<'a> {
    /// A subtree of the left list only.
    Left(&'a [Node]),
    /// A subtree of the right list only.
    Right(&'a [Node]),
    /// The same path in both.
    Both(&'a Node, &'a Node),
}

/// Walks two lists; the caller consumes the nodes.
struct Pair<'a> {
    left: &'a [Node],
    right: &'a [Node],
}

// === impl FieldSet ===

impl FieldSet {
    /// The members of either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        if other.is_empty() {
            return self.clone();
        }
        if self.is_empty() {
            return other.clone();
        }
        let mut out = Builder::default();
        let mut pair = Pair::new(self, other);
        while let Some(next) = pair.next() {
            match next {
                Next::Left(subtree) => {
                    out.copy(subtree);
                    pair.skip_left(subtree);
                }
                Next::Right(subtree) => {
                    out.copy(subtree);
                    pair.skip_right(subtree);
                }
                Next::Both(a, b) => {
                    let member = a.is_member() || b.is_member();
                    // Equal integers and floats may be written differently beyond 2^53. The
                    // reference keeps the left element for the way to members below it, and the
                    // right one for a member.
                    let element = if a.has_children() { a } else { b };
                    out.push(a.depth(), element.element.clone(), member);
                    pair.descend();
                }
            }
        }
        out.finish()
    }

    /// The members of any of the sets. n log n in their total size.
    #[must_use]
    pub fn union_all(sets: impl IntoIterator<Item = Self>) -> Self {
        let mut sets: Vec<Self> = sets.into_iter().collect();
        // Unions of neighbours, so that each set takes part in log n of them.
        while sets.len() > 1 {
            sets = sets
                .chunks(2)
                .map(|pair| match pair {
                    [a, b] => a.union(b),
                    rest => rest.first().cloned().unwrap_or_default(),
                })
                .collect();
        }
        sets.pop().unwrap_or_default()
    }

    /// The members of both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let mut out = Builder::default();
        let mut pair = Pair::new(self, other);
        while let Some(next) = pair.next_while(|pair| pair.has_left() && pair.has_right()) {
            match next {
                Next::Left(subtree) => pair.skip_left(subtree),
                Next::Right(subtree) => pair.skip_right(subtree),
                Next::Both(a, b) => {
                    let member = a.is_member() && b.is_member();
                    out.push(a.depth(), a.element.clone(), member);
                    pair.descend();
                }
            }
        }
        out.finish()
    }

    /// The members that are not members of the other set.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        self.minus(other, false)
    }

    /// The members that are neither members of the other set nor below one.
    ///
    /// ```
    /// use structured_merge::{FieldSet, Path};
    ///
    /// let set: FieldSet = [Path::fields(["a"]), Path::fields(["a", "b"])].iter().collect();
    /// let a: FieldSet = [Path::fields(["a"])].iter().collect();
    /// assert_eq!(set.difference(&a).to_json(), r#"{"f:a":{"f:b":{}}}"#);
    /// assert!(set.recursive_difference(&a).is_empty());
    /// ```
    #[must_use]
    pub fn recursive_difference(&self, other: &Self) -> Self {
        self.minus(other, true)
    }

    /// The members without members below them.
    #[must_use]
    pub fn leaves(&self) -> Self {
        let nodes = self.nodes().iter().map(|node| {
            let mut node = node.clone();
            node.set_member(!node.has_children());
            node
        });
        Self::from_nodes(nodes.collect())
    }

    fn minus(&self, other: &Self, recursive: bool) -> Self {
        if self.is_empty() || other.is_empty() {
            return self.clone();
        }
        let mut out = Builder::default();
        let mut pair = Pair::new(self, other);
        while let Some(next) = pair.next_while(Pair::has_left) {
            match next {
                Next::Left(subtree) => {
                    out.copy(subtree);
                    pair.skip_left(subtree);
                }
                Next::Right(subtree) => pair.skip_right(subtree),
                Next::Both(_, b) if recursive && b.is_member() => pair.skip_both(),
                Next::Both(a, b) => {
                    let member = a.is_member() && !b.is_member();
                    out.push(a.depth(), a.element.clone(), member);
                    pair.descend();
                }
            }
        }
        out.finish()
    }
}

// === impl Pair ===

impl<'a> Pair<'a> {
    fn new(left: &'a FieldSet, right: &'a FieldSet) -> Self {
        Self {
            left: left.nodes(),
            right: right.nodes(),
        }
    }

    const fn has_left(&self) -> bool {
        !self.left.is_empty()
    }

    const fn has_right(&self) -> bool {
        !self.right.is_empty()
    }

    fn next_while(&self, condition: impl Fn(&Self) -> bool) -> Option<Next<'a>> {
        condition(self).then(|| self.next())?
    }

    fn next(&self) -> Option<Next<'a>> {
        let (a, b) = match (self.left.first(), self.right.first()) {
            (Some(a), Some(b)) => (a, b),
            (Some(a), None) => return Some(Next::Left(&self.left[..a.span()])),
            (None, Some(b)) => return Some(Next::Right(&self.right[..b.span()])),
            (None, None) => return None,
        };
        // The deeper node is the only one on its level.
        let order = b.depth().cmp(&a.depth());
        Some(match order.then_with(|| a.element.compare(&b.element)) {
            Ordering::Less => Next::Left(&self.left[..a.span()]),
            Ordering::Greater => Next::Right(&self.right[..b.span()]),
            Ordering::Equal => Next::Both(a, b),
        })
    }

    fn skip_left(&mut self, subtree: &[Node]) {
        self.left = &self.left[subtree.len()..];
    }

    fn skip_right(&mut self, subtree: &[Node]) {
        self.right = &self.right[subtree.len()..];
    }

    fn skip_both(&mut self) {
        self.left = &self.left[self.left.first().map_or(0, Node::span)..];
        self.right = &self.right[self.right.first().map_or(0, Node::span)..];
    }

    fn descend(&mut self) {
        self.left = &self.left[1..];
        self.right = &self.right[1..];
    }
}
