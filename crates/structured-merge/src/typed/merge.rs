//! Merging of two values.

use serde_json::{Map, Value};

use crate::schema::{ListType, MapType, Relation, Scalar, Schema, TypeId};
use crate::typed::error::ValidationErrors;
use crate::typed::item::{Index, ItemKey};
use crate::typed::trail::{Step, Trail};
use crate::typed::validate::scalar_problem;
use crate::typed::{Handle, Kinds, TypedValue, UNDECLARED};
use crate::value::sorted;

struct Walk<'s> {
    schema: &'s Schema,
    errors: ValidationErrors,
}

pub(super) fn merge(left: &TypedValue, right: &TypedValue) -> Result<Value, ValidationErrors> {
    let mut walk = Walk {
        schema: &left.schema,
        errors: ValidationErrors::default(),
    };
    let (a, b) = (Some(left.value()), Some(right.value()));
    let merged = walk.node(Some(left.ty), a, b, &Trail::ROOT);
    walk.errors.into_result()?;
    Ok(merged.unwrap_or_default())
}

/// Members of both maps in the order of their names.
pub(super) fn zip<'v>(
    left: Option<&'v Map<String, Value>>,
    right: Option<&'v Map<String, Value>>,
) -> impl Iterator<Item = (&'v str, Option<&'v Value>, Option<&'v Value>)> {
    let (left, right) = (left.map(sorted), right.map(sorted));
    let mut left = left.unwrap_or_default().into_iter().peekable();
    let mut right = right.unwrap_or_default().into_iter().peekable();
    std::iter::from_fn(move || {
        let name = match (left.peek(), right.peek()) {
            (Some((a, _)), Some((b, _))) => *a.min(b),
            (Some((name, _)), None) | (None, Some((name, _))) => *name,
            (None, None) => return None,
        };
        let a = left.next_if(|(other, _)| *other == name);
        let b = right.next_if(|(other, _)| *other == name);
        Some((name, a.map(|(_, value)| value), b.map(|(_, value)| value)))
    })
}

/// The list, if the value is one.
pub(super) fn as_list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Whether neither value has members: the difference of empty and null is preserved by treating
/// both as leaves.
pub(super) fn is_empty_map(value: Option<&Value>) -> bool {
    value.and_then(Value::as_object).is_none_or(Map::is_empty)
}

/// Whether a scalar fits on either side.
pub(super) fn check_scalars(
    scalar: Scalar,
    left: Option<&Value>,
    right: Option<&Value>,
    trail: &Trail<'_>,
    errors: &mut ValidationErrors,
) -> bool {
    let left = left.and_then(|value| scalar_problem(scalar, value, "lhs: "));
    let right = right.and_then(|value| scalar_problem(scalar, value, "rhs: "));
    match (left, right) {
        (Some(left), Some(right)) => {
            trail.error(errors, || left);
            trail.error(errors, || right);
            false
        }
        _ => true,
    }
}

// === impl Walk ===

impl<'s> Walk<'s> {
    /// The merged value; at least one of the two is given.
    // bounded: TypedValue limits the depth of values
    fn node(
        &mut self,
        ty: Option<TypeId>,
        left: Option<&Value>,
        right: Option<&Value>,
        trail: &Trail<'_>,
    ) -> Option<Value> {
        let Some(kinds) = Kinds::of(self.schema, ty) else {
            trail.error(&mut self.errors, || UNDECLARED.to_owned());
            return None;
        };
        let (a, b) = (kinds.of_value(left), kinds.of_value(right));
        match (left, right) {
            (_, None) => self.kind(a, left, right, trail),
            (None, _) => self.kind(b, left, right, trail),
            // Of values of different kinds, the right one prevails.
            _ => self.kind(b, left, right, trail),
        }
    }

    // bounded: as `node`
    fn kind(
        &mut self,
        kinds: Kinds<'s>,
        left: Option<&Value>,
        right: Option<&Value>,
        trail: &Trail<'_>,
    ) -> Option<Value> {
        let keep_right = || right.or(left).cloned();
        match kinds.handle()? {
            Handle::Scalar(scalar) => {
                if check_scalars(scalar, left, right, trail, &mut self.errors) {
                    keep_right()
                } else {
                    None
                }
            }
            Handle::Map(map) => {
                if map.atomic || is_empty_map(left) && is_empty_map(right) {
                    return keep_right();
                }
                self.map(map, left, right, trail)
            }
            Handle::List(list) => {
                let (a, b) = (as_list(left), as_list(right));
                if list.relation == Relation::Atomic || a.is_empty() && b.is_empty() {
                    return keep_right();
                }
                self.list(list, a, b, trail)
            }
        }
    }

    // bounded: as `node`
    fn map(
        &mut self,
        map: &'s MapType,
        left: Option<&Value>,
        right: Option<&Value>,
        trail: &Trail<'_>,
    ) -> Option<Value> {
        let left = left.and_then(Value::as_object);
        let right = right.and_then(Value::as_object);
        let mut out = Map::new();
        for (name, a, b) in zip(left, right) {
            let (declared, ty) = map.member(name);
            let below = trail.then(Step::member(declared, name));
            if let Some(value) = self.node(ty, a, b, &below) {
                out.insert(name.to_owned(), value);
            }
        }
        (!out.is_empty()).then_some(Value::Object(out))
    }

    // bounded: as `node`
    fn list(
        &mut self,
        list: &'s ListType,
        left: &[Value],
        right: &[Value],
        trail: &Trail<'_>,
    ) -> Option<Value> {
        let right_index = self.index(list, right, false, trail);
        let left_index = self.index(list, left, true, trail);
        let order = merge_order(&left_index?, &right_index?);
        let mut out = Vec::with_capacity(left.len().max(right.len()));
        for (a, b) in order {
            // The reference ignores errors within items, and drops the items without a value.
            let mut ignored = Walk {
                schema: self.schema,
                errors: ValidationErrors::default(),
            };
            let value = match (a, b) {
                // Repeated items of the left list are not merged with one of the right list.
                (LeftItem::Repeated, Some(b)) => {
                    ignored.node(Some(list.items), Some(&Value::Null), Some(&right[b]), trail)
                }
                (LeftItem::At(a), b) => {
                    let b = b.map(|b| &right[b]);
                    ignored.node(Some(list.items), Some(&left[a]), b, trail)
                }
                (LeftItem::None, Some(b)) => {
                    ignored.node(Some(list.items), None, Some(&right[b]), trail)
                }
                (LeftItem::Repeated | LeftItem::None, None) => None,
            };
            out.extend(value);
        }
        (!out.is_empty()).then_some(Value::Array(out))
    }

    /// The keys of the items; `None` and errors if an item has none, or is repeated and may not be.
    fn index<'v>(
        &mut self,
        list: &'v ListType,
        items: &'v [Value],
        duplicates: bool,
        trail: &Trail<'_>,
    ) -> Option<Index<'v>>
    where
        's: 'v,
    {
        let mut keys = Vec::with_capacity(items.len());
        let mut problems = Vec::new();
        for (at, item) in items.iter().enumerate() {
            match ItemKey::of(self.schema, list, item) {
                Ok(key) => keys.push(key),
                Err(problem) => problems.push((at, format!("element {at}: {problem}"))),
            }
        }
        let index = Index::new(keys);
        for group in index.groups().filter(|_| !duplicates) {
            for later in &group[1..] {
                let element = index.keys[*later].to_element();
                problems.push((*later, format!("duplicate entries for key {element}")));
            }
        }
        problems.sort_by_key(|(at, _)| *at);
        let ok = problems.is_empty();
        for (_, problem) in problems {
            trail.error(&mut self.errors, || problem);
        }
        ok.then_some(index)
    }
}

/// The item of the left list that is merged with one of the right list.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LeftItem {
    None,
    At(usize),
    /// There are several.
    Repeated,
}

/// The items of the merged list: pairs of a left and a right item with the same key.
///
/// Shared items have the order of the right list. Items of the left list only stay behind the item
/// that precedes them.
fn merge_order(left: &Index<'_>, right: &Index<'_>) -> Vec<(LeftItem, Option<usize>)> {
    let mut left_of = vec![LeftItem::None; right.keys.len()];
    let mut right_of = vec![None; left.keys.len()];
    for (a, b) in left.zip(right) {
        let (Some(first), Some(b)) = (a.first(), b.first()) else {
            continue;
        };
        left_of[*b] = if a.len() == 1 {
            LeftItem::At(*first)
        } else {
            LeftItem::Repeated
        };
        for a in a {
            right_of[*a] = Some(*b);
        }
    }
    let shared = |at: &usize| left_of[*at] != LeftItem::None;
    let mut shared = (0..right.keys.len()).filter(shared);
    let mut next_shared = shared.next();
    let mut merged = vec![false; right.keys.len()];
    let mut out = Vec::with_capacity(left.keys.len().max(right.keys.len()));
    let (mut l, mut r) = (0, 0);
    while l < right_of.len() || r < left_of.len() {
        if let Some(own) = right_of.get(l).copied() {
            match own {
                None => {
                    out.push((LeftItem::At(l), None));
                    l += 1;
                    continue;
                }
                Some(own) if own == r => l += 1,
                // A shared item with another place in the right list.
                Some(own) if r < left_of.len() && next_shared.is_some_and(|next| next != own) => {
                    l += 1;
                    continue;
                }
                Some(own) if merged[own] => l += 1,
                Some(_) => {}
            }
        }
        if r < left_of.len() {
            merged[r] = true;
            out.push((left_of[r], Some(r)));
            if next_shared == Some(r) {
                next_shared = shared.next();
            }
            r += 1;
        }
    }
    out
}
