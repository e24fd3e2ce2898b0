//! Differences of two values.

use serde_json::Value;

use crate::schema::{ListType, MapType, Relation, Schema, TypeId};
use crate::set::{Builder, FieldSet, Filter};
use crate::typed::error::ValidationErrors;
use crate::typed::item::{Index, ItemKey};
use crate::typed::merge::{as_list, check_scalars, is_empty_map, zip};
use crate::typed::trail::{Step, Trail};
use crate::typed::{Handle, Kinds, TypedValue, UNDECLARED};
use crate::value;

/// The fields in which two values differ.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// Only the first value has them.
    pub removed: FieldSet,
    /// Both have them, with different values.
    pub modified: FieldSet,
    /// Only the second value has them.
    pub added: FieldSet,
}

struct Walk<'s> {
    schema: &'s Schema,
    removed: Builder,
    modified: Builder,
    added: Builder,
    errors: ValidationErrors,
}

/// Whether the field is a leaf, which was compared as a whole.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Leaf {
    Yes,
    No,
}

/// The values of one field; at least one is given.
#[derive(Clone, Copy)]
struct Sides<'v> {
    left: Option<&'v Value>,
    right: Option<&'v Value>,
}

pub(super) fn compare(
    left: &TypedValue,
    right: &TypedValue,
) -> Result<Comparison, ValidationErrors> {
    let mut walk = Walk {
        schema: &left.schema,
        removed: Builder::default(),
        modified: Builder::default(),
        added: Builder::default(),
        errors: ValidationErrors::default(),
    };
    let sides = Sides {
        left: Some(left.value()),
        right: Some(right.value()),
    };
    walk.node(Some(left.ty), sides, &Trail::ROOT);
    walk.errors.into_result()?;
    Ok(Comparison {
        removed: walk.removed.finish(),
        modified: walk.modified.finish(),
        added: walk.added.finish(),
    })
}

// === impl Comparison ===

impl Comparison {
    /// Whether the values are the same.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.removed.is_empty() && self.modified.is_empty() && self.added.is_empty()
    }

    /// The differences that the filter keeps.
    #[must_use]
    pub fn filtered(&self, filter: Option<&Filter>) -> Self {
        match filter {
            None => self.clone(),
            Some(filter) => Self {
                removed: filter.apply(&self.removed),
                modified: filter.apply(&self.modified),
                added: filter.apply(&self.added),
            },
        }
    }
}

// === impl Walk ===

impl<'s> Walk<'s> {
    // bounded: TypedValue limits the depth of values
    fn node(&mut self, ty: Option<TypeId>, sides: Sides<'_>, trail: &Trail<'_>) {
        let Some(kinds) = Kinds::of(self.schema, ty) else {
            trail.error(&mut self.errors, || UNDECLARED.to_owned());
            return;
        };
        let (a, b) = (kinds.of_value(sides.left), kinds.of_value(sides.right));
        let leaf = match sides {
            Sides { right: None, .. } => self.kind(a, sides, trail),
            Sides { left: None, .. } => self.kind(b, sides, trail),
            _ if a.is_handled_like(&b) => self.kind(b, sides, trail),
            // Members sort before items, and sets are written in order.
            _ if matches!(b.handle(), Some(Handle::Map(_))) => {
                let leaf = self.kind(b, sides, trail);
                self.kind(a, sides, trail);
                leaf
            }
            _ => {
                self.kind(a, sides, trail);
                self.kind(b, sides, trail)
            }
        };
        if leaf == Leaf::No {
            match sides {
                Sides { left: None, .. } => trail.mark(&mut self.added),
                Sides { right: None, .. } => trail.mark(&mut self.removed),
                _ => {}
            }
        }
    }

    // bounded: as `node`
    fn kind(&mut self, kinds: Kinds<'s>, sides: Sides<'_>, trail: &Trail<'_>) -> Leaf {
        let Sides { left, right } = sides;
        match kinds.handle() {
            None => Leaf::No,
            Some(Handle::Scalar(scalar)) => {
                if check_scalars(scalar, left, right, trail, &mut self.errors) {
                    self.leaf(sides, trail)
                } else {
                    Leaf::No
                }
            }
            Some(Handle::Map(map)) => {
                if map.atomic || is_empty_map(left) && is_empty_map(right) {
                    return self.leaf(sides, trail);
                }
                self.map(map, sides, trail);
                Leaf::No
            }
            Some(Handle::List(list)) => {
                let (a, b) = (as_list(left), as_list(right));
                if list.relation == Relation::Atomic || a.is_empty() && b.is_empty() {
                    return self.leaf(sides, trail);
                }
                self.list(list, a, b, trail);
                Leaf::No
            }
        }
    }

    fn leaf(&mut self, sides: Sides<'_>, trail: &Trail<'_>) -> Leaf {
        match sides {
            Sides { left: None, .. } => trail.mark(&mut self.added),
            Sides { right: None, .. } => trail.mark(&mut self.removed),
            Sides {
                left: Some(a),
                right: Some(b),
            } if !value::equal(a, b) => trail.mark(&mut self.modified),
            _ => {}
        }
        Leaf::Yes
    }

    // bounded: as `node`
    fn map(&mut self, map: &'s MapType, sides: Sides<'_>, trail: &Trail<'_>) {
        let left = sides.left.and_then(Value::as_object);
        let right = sides.right.and_then(Value::as_object);
        for (name, left, right) in zip(left, right) {
            let (declared, ty) = map.member(name);
            let below = trail.then(Step::member(declared, name));
            self.node(ty, Sides { left, right }, &below);
            self.close(trail);
        }
    }

    // bounded: as `node`
    fn list(&mut self, list: &'s ListType, left: &[Value], right: &[Value], trail: &Trail<'_>) {
        let (a_index, a_items) = self.index(list, left, trail);
        let (b_index, b_items) = self.index(list, right, trail);
        let ty = Some(list.items);
        for (a, b) in a_index.zip(&b_index) {
            let key = match (a.first(), b.first()) {
                (Some(a), _) => &a_index.keys[*a],
                (None, Some(b)) => &b_index.keys[*b],
                (None, None) => continue,
            };
            let below = trail.then(Step::Item(key));
            let left = a.first().map(|a| a_items[*a]);
            let right = b.first().map(|b| b_items[*b]);
            match (a.len(), b.len()) {
                (0 | 1, 0 | 1) => self.node(ty, Sides { left, right }, &below),
                // Repeated items are one leaf.
                (2.., 2..) => {
                    let same = a.len() == b.len()
                        && a.iter()
                            .zip(b)
                            .all(|(a, b)| value::equal(a_items[*a], b_items[*b]));
                    if !same {
                        below.mark(&mut self.modified);
                    }
                }
                (2.., _) => {
                    if right.is_some() {
                        self.node(ty, Sides { left: None, right }, &below);
                    }
                    below.mark(&mut self.removed);
                }
                (_, 2..) => {
                    if left.is_some() {
                        self.node(ty, Sides { left, right: None }, &below);
                    }
                    below.mark(&mut self.added);
                }
            }
            self.close(trail);
        }
    }

    /// The keys and the items that have one; items without a key are errors.
    fn index<'v>(
        &mut self,
        list: &'v ListType,
        items: &'v [Value],
        trail: &Trail<'_>,
    ) -> (Index<'v>, Vec<&'v Value>)
    where
        's: 'v,
    {
        let mut keyed = Vec::with_capacity(items.len());
        for (at, item) in items.iter().enumerate() {
            match ItemKey::of(self.schema, list, item) {
                Ok(key) => keyed.push((key, item)),
                Err(problem) => {
                    trail.error(&mut self.errors, || format!("element {at}: {problem}"));
                }
            }
        }
        let (keys, items) = keyed.into_iter().unzip();
        (Index::new(keys), items)
    }

    fn close(&mut self, trail: &Trail<'_>) {
        for set in [&mut self.removed, &mut self.modified, &mut self.added] {
            set.close(trail.depth());
        }
    }
}
