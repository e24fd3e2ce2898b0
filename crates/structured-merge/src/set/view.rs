//! Read access to parts of a set without copies.

use crate::element::PathElement;
use crate::set::{Builder, FieldSet, Node};

/// The nodes below one node of a set, or all.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    nodes: &'a [Node],
}

/// One node of a level, with the nodes below it.
#[derive(Clone, Copy)]
pub(crate) struct Child<'a> {
    /// The subtree; the first node is this one.
    nodes: &'a [Node],
}

/// The nodes of one level.
pub(crate) struct Children<'a> {
    rest: &'a [Node],
}

// === impl View ===

impl<'a> View<'a> {
    pub(crate) const fn new(nodes: &'a [Node]) -> Self {
        Self { nodes }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    pub(crate) const fn children(self) -> Children<'a> {
        Children { rest: self.nodes }
    }

    /// The node of this level with the element. Linear in the number of nodes of the level.
    pub(crate) fn child(self, element: &PathElement) -> Option<Child<'a>> {
        self.children()
            .find(|child| child.element().compare(element).is_ge())
            .filter(|child| child.element() == element)
    }

    pub(crate) fn to_set(self) -> FieldSet {
        let base = self.nodes.first().map_or(0, Node::depth);
        let mut builder = Builder::default();
        for node in self.nodes {
            builder.push(node.depth() - base, node.element.clone(), node.is_member());
        }
        builder.finish()
    }
}

// === impl Child ===

impl<'a> Child<'a> {
    /// The whole subtree.
    pub(crate) const fn nodes(&self) -> &'a [Node] {
        self.nodes
    }

    pub(crate) fn element(&self) -> &'a PathElement {
        &self.nodes[0].element
    }

    pub(crate) fn is_member(&self) -> bool {
        self.nodes[0].is_member()
    }

    pub(crate) fn below(&self) -> View<'a> {
        View::new(&self.nodes[1..])
    }
}

// === impl Children ===

impl<'a> Iterator for Children<'a> {
    type Item = Child<'a>;

    fn next(&mut self) -> Option<Child<'a>> {
        let (nodes, rest) = self.rest.split_at_checked(self.rest.first()?.span())?;
        self.rest = rest;
        Some(Child { nodes })
    }
}
