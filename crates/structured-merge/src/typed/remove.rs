//! Removal and extraction of fields.

use serde_json::{Map, Value};

use crate::element::PathElement;
use crate::schema::{ListType, MapType, Relation, Schema, TypeId};
use crate::set::view::Child;
use crate::set::{Builder, FieldSet, View, normalize};
use crate::typed::item::ItemKey;
use crate::typed::{Handle, Kinds, TypedValue};
use crate::value::sorted;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Keeps what is not in the set.
    Remove,
    /// Keeps what is in the set.
    Extract,
}

struct Walk<'s> {
    schema: &'s Schema,
    mode: Mode,
}

pub(super) fn remove(typed: &TypedValue, items: View<'_>) -> Value {
    walk(typed, items, Mode::Remove)
}

pub(super) fn extract(typed: &TypedValue, items: View<'_>) -> Value {
    walk(typed, items, Mode::Extract)
}

/// The set with the keys of the list items on the way to those of its members that the value has;
/// `None` if the value has no field set.
pub(super) fn key_fields(typed: &TypedValue, items: &FieldSet) -> Option<FieldSet> {
    let own = typed.to_field_set().ok()?;
    let common = items.intersection(&own);
    let mut keys = Builder::default();
    // Every node is on the way to a member, because sets have no others.
    for node in common.nodes() {
        keys.push(node.depth(), node.element.clone(), false);
        if let PathElement::Key(fields) = &node.element {
            for field in fields.iter() {
                let key = PathElement::Field(field.name.clone());
                keys.push(node.depth() + 1, key, true);
            }
        }
    }
    Some(items.union(&normalize(&keys.into_nodes())))
}

fn walk(typed: &TypedValue, items: View<'_>, mode: Mode) -> Value {
    let schema = &typed.schema;
    Walk { schema, mode }.node(Some(typed.ty), &typed.value, items)
}

// === impl Walk ===

impl Walk<'_> {
    // bounded: TypedValue limits the depth of values
    fn node(&self, ty: Option<TypeId>, value: &Value, items: View<'_>) -> Value {
        let kinds = Kinds::of(self.schema, ty).map(|kinds| kinds.of_value(Some(value)));
        // What is replaced as a whole, or empty, cannot be taken apart.
        let whole = || match self.mode {
            Mode::Extract => value.clone(),
            Mode::Remove => Value::Null,
        };
        match (kinds.and_then(|kinds| kinds.handle()), value) {
            (Some(Handle::Scalar(_)), _) => value.clone(),
            (Some(Handle::Map(map)), Value::Object(members)) => {
                if map.atomic || members.is_empty() {
                    return whole();
                }
                self.map(map, members, items)
            }
            (Some(Handle::List(list)), Value::Array(list_items)) => {
                if list.relation == Relation::Atomic || list_items.is_empty() {
                    return whole();
                }
                self.list(list, list_items, items)
            }
            _ => Value::Null,
        }
    }

    // bounded: as `node`
    fn map(&self, map: &MapType, members: &Map<String, Value>, items: View<'_>) -> Value {
        let mut listed = items.children().peekable();
        let mut out = Map::new();
        for (name, value) in sorted(members) {
            let before = |child: &Child<'_>| match child.element() {
                PathElement::Field(other) => **other < *name,
                _ => false,
            };
            while listed.next_if(before).is_some() {}
            let same = |child: &Child<'_>| match child.element() {
                PathElement::Field(other) => **other == *name,
                _ => false,
            };
            let child = listed.next_if(same);
            let ty = map.member(name).1;
            let kept = match (self.mode, child) {
                (Mode::Remove, Some(child)) if child.is_member() => None,
                // The reference looks for the fields of this level in the value of the member.
                (Mode::Extract, Some(child)) if child.is_member() => {
                    Some(self.node(ty, value, items))
                }
                (_, Some(child)) => Some(self.node(ty, value, child.below())),
                (Mode::Remove, None) => Some(value.clone()),
                (Mode::Extract, None) => None,
            };
            if let Some(value) = kept {
                out.insert(name.to_owned(), value);
            }
        }
        if out.is_empty() {
            Value::Null
        } else {
            Value::Object(out)
        }
    }

    // bounded: as `node`
    fn list(&self, list: &ListType, list_items: &[Value], items: View<'_>) -> Value {
        let listed: Vec<Child<'_>> = items.children().collect();
        let mut out = Vec::new();
        for item in list_items {
            let key = ItemKey::of(self.schema, list, item).unwrap_or(ItemKey::Unkeyed);
            let at =
                listed.binary_search_by(|child| key.compare_element(child.element()).reverse());
            let child = at.ok().and_then(|at| listed.get(at));
            let below = child.map(Child::below).filter(|below| !below.is_empty());
            let member = child.is_some_and(Child::is_member);
            let keep = match self.mode {
                Mode::Remove => !member,
                Mode::Extract => member || below.is_some(),
            };
            if keep {
                out.push(match below {
                    Some(below) => self.node(Some(list.items), item, below),
                    None => item.clone(),
                });
            }
        }
        if out.is_empty() {
            Value::Null
        } else {
            Value::Array(out)
        }
    }
}
