//! A large set with which many small ones are compared.

use crate::element::PathElement;
use crate::set::{Builder, FieldSet};

/// A set whose nodes are found by binary search.
///
/// An operation on two lists visits both. For 10,000 managers that own a field each, that would be
/// 10,000 times the fields that a write changes.
pub(crate) struct Lookup {
    set: FieldSet,
    /// Positions of nodes, grouped by the node above them.
    children: Vec<usize>,
    /// Where the group of each node begins; the first one is that of the root, and the last entry
    /// is the end.
    groups: Vec<usize>,
}

// === impl Lookup ===

impl Lookup {
    /// Linear in the size of the set.
    pub(crate) fn new(set: FieldSet) -> Self {
        let nodes = set.nodes();
        let mut children = Vec::with_capacity(nodes.len());
        let mut groups = Vec::with_capacity(nodes.len() + 2);
        let subtrees = nodes.iter().enumerate();
        let subtrees = subtrees.map(|(at, node)| (at + 1, at + node.span()));
        for (start, end) in std::iter::once((0, nodes.len())).chain(subtrees) {
            groups.push(children.len());
            let mut at = start;
            while at < end {
                children.push(at);
                at += nodes[at].span();
            }
        }
        groups.push(children.len());
        Self {
            set,
            children,
            groups,
        }
    }

    /// The members of a set that are in this one, and those that are not. Each node of the set
    /// costs one binary search.
    pub(crate) fn split(&self, set: &FieldSet) -> (FieldSet, FieldSet) {
        if self.set.is_empty() {
            return (FieldSet::default(), set.clone());
        }
        let (mut inside, mut outside) = (Builder::default(), Builder::default());
        // Groups of the nodes on the way to the current one.
        let mut way = vec![0];
        let mut nodes = set.nodes();
        while let Some(node) = nodes.first() {
            way.truncate(node.depth() + 1);
            let group = way.last().copied().unwrap_or_default();
            if let Some(at) = self.find(group, &node.element) {
                let listed = self.set.nodes()[at].is_member();
                let element = || node.element.clone();
                inside.push(node.depth(), element(), node.is_member() && listed);
                outside.push(node.depth(), element(), node.is_member() && !listed);
                way.push(at + 1);
                nodes = &nodes[1..];
            } else {
                let (subtree, rest) = nodes.split_at(node.span());
                outside.copy(subtree);
                nodes = rest;
            }
        }
        (inside.finish(), outside.finish())
    }

    fn find(&self, group: usize, element: &PathElement) -> Option<usize> {
        let group = self.groups.get(group..group + 2)?;
        let siblings = self.children.get(group[0]..group[1])?;
        let nodes = self.set.nodes();
        let found = siblings.binary_search_by(|at| nodes[*at].element.compare(element));
        found.ok().map(|at| siblings[at])
    }
}
