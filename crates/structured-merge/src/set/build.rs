//! Construction of sets in depth-first order.

use crate::element::PathElement;
use crate::set::{FieldSet, Node};
use crate::value::Precision;

/// Collects nodes in depth-first order, siblings sorted. Nodes that are no members and have none
/// below are dropped.
#[derive(Default)]
pub(crate) struct Builder {
    nodes: Vec<Node>,
    /// Positions of the nodes whose subtree is not complete, by depth.
    open: Vec<usize>,
}

impl Builder {
    /// Appends a node. Its depth is at most one more than that of the preceding node.
    pub(crate) fn push(&mut self, depth: usize, element: PathElement, member: bool) {
        self.close(depth);
        debug_assert_eq!(self.open.len(), depth, "the nodes above are open");
        self.open.push(self.nodes.len());
        self.nodes.push(Node::new(element, depth, member));
    }

    /// Appends a complete subtree, which keeps its depth.
    pub(crate) fn copy(&mut self, subtree: &[Node]) {
        if let Some(top) = subtree.first() {
            self.close(top.depth());
            self.nodes.extend_from_slice(subtree);
        }
    }

    /// Completes the nodes at this depth and below.
    pub(crate) fn close(&mut self, depth: usize) {
        while self.open.len() > depth {
            let Some(at) = self.open.pop() else {
                return;
            };
            let span = self.nodes.len() - at;
            if span == 1 && !self.nodes[at].is_member() {
                self.nodes.pop();
            } else {
                self.nodes[at].set_span(span);
            }
        }
    }

    /// Number of levels that are open.
    pub(crate) fn depth(&self) -> usize {
        self.open.len()
    }

    /// Makes the innermost open node a member.
    pub(crate) fn mark(&mut self) {
        if let Some(at) = self.open.last() {
            self.nodes[*at].set_member(true);
        }
    }

    /// Makes the innermost open node no member.
    pub(crate) fn unmark(&mut self) {
        if let Some(at) = self.open.last() {
            self.nodes[*at].set_member(false);
        }
    }

    pub(crate) fn finish(mut self) -> FieldSet {
        self.close(0);
        FieldSet::from_nodes(self.nodes)
    }

    /// The nodes as they are; siblings may be out of order or repeated.
    pub(crate) fn into_nodes(mut self) -> Vec<Node> {
        self.close(0);
        self.nodes
    }
}

/// Sorts siblings and merges equal ones: a repeated element is a member if any of its occurrences
/// is, and has the children of the last occurrence that has some. n log n; does not recurse.
pub(crate) fn normalize(nodes: &[Node]) -> FieldSet {
    let mut builder = Builder::default();
    let mut stack = vec![siblings(nodes, 0, nodes.len())];
    while let Some(level) = stack.last_mut() {
        let Some(at) = level.pop() else {
            stack.pop();
            continue;
        };
        let node = &nodes[at];
        let mut member = node.is_member();
        let mut with_children = at;
        while let Some(same) = level.last().copied() {
            if nodes[same].element != node.element {
                break;
            }
            level.pop();
            member |= nodes[same].is_member();
            // Occurrences come last to first.
            if !nodes[with_children].has_children() {
                with_children = same;
            }
        }
        builder.push(stack.len() - 1, node.element.clone(), member);
        let end = with_children + nodes[with_children].span();
        stack.push(siblings(nodes, with_children + 1, end));
    }
    builder.finish()
}

/// Positions of siblings, the smallest element at the end, equal ones in reverse order.
fn siblings(nodes: &[Node], start: usize, end: usize) -> Vec<usize> {
    let mut found = Vec::new();
    let mut at = start;
    while at < end {
        found.push(at);
        at += nodes[at].span();
    }
    let order = |a: &usize, b: &usize| {
        let (left, right) = (&nodes[*a].element, &nodes[*b].element);
        left.compare_by(right, Precision::Exact)
            .then_with(|| b.cmp(a))
    };
    if !found.is_sorted_by(|a, b| order(a, b).is_le()) {
        found.sort_unstable_by(order);
    }
    found.reverse();
    found
}
