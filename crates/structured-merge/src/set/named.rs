//! Sets with the declared fields on the way to their members.

use crate::element::PathElement;
use crate::schema::{Schema, TypeId};
use crate::set::FieldSet;
use crate::typed::Kinds;

impl FieldSet {
    /// The set with every declared field that has members below it as a member.
    ///
    /// A struct is usually no member of a set, because its fields are. It has to be removed with
    /// the last of them nevertheless.
    #[must_use]
    pub fn with_named_fields(&self, schema: &Schema, root: TypeId) -> Self {
        let mut types = vec![Some(root)];
        let nodes = self.nodes().iter().map(|node| {
            types.truncate(node.depth() + 1);
            let container = types.last().copied().flatten();
            let kinds = Kinds::of(schema, container);
            let map = kinds.and_then(|kinds| kinds.map());
            let list = kinds.and_then(|kinds| kinds.list());
            let (declared, ty) = match (&node.element, map, list) {
                (PathElement::Field(name), Some(map), _) => {
                    let (declared, ty) = map.member(name);
                    (declared.is_some(), ty)
                }
                (PathElement::Key(_), _, Some(list)) => (false, Some(list.items)),
                _ => (false, None),
            };
            types.push(ty);
            let mut node = node.clone();
            node.set_member(node.is_member() || declared && node.has_children());
            node
        });
        Self::from_nodes(nodes.collect())
    }
}
