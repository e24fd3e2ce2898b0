//! Items of sets and keyed lists: what identifies them.

use std::cmp::Ordering;
use std::sync::Arc;

use serde_json::Value;

use crate::element::{KeyField, PathElement};
use crate::schema::{ListType, Relation, Schema};
use crate::text;
use crate::typed::Kinds;
use crate::value::{self, Precision};

/// What identifies an item; borrowed, so that it costs nothing until a path needs it.
pub(crate) enum ItemKey<'a> {
    /// Its value.
    Value(&'a Value),
    /// Some of its members, sorted by name.
    Key(Vec<(&'a Arc<str>, &'a Value)>),
    /// Nothing: the item is none of its list.
    Unkeyed,
}

/// The items of a list by key.
pub(crate) struct Index<'a> {
    /// Of each item, in the order of the list.
    pub(crate) keys: Vec<ItemKey<'a>>,
    /// Positions in `keys`, sorted by key, then by position.
    sorted: Vec<usize>,
}

// === impl ItemKey ===

impl<'a> ItemKey<'a> {
    /// The key of an item of a list that is not atomic.
    pub(crate) fn of(
        schema: &'a Schema,
        list: &'a ListType,
        item: &'a Value,
    ) -> Result<Self, String> {
        match &list.relation {
            Relation::Atomic => Err(String::from("invalid indexing of non-associative list")),
            Relation::Set => match item {
                Value::Object(_) => Err(String::from(
                    "associative list without keys has an element that's a map type",
                )),
                Value::Array(_) => Err(String::from(
                    "not supported: associative list with lists as elements",
                )),
                Value::Null => Err(String::from(
                    "associative list without keys has an element that's an explicit null",
                )),
                scalar => Ok(Self::Value(scalar)),
            },
            Relation::Keys(names) => Self::of_map(schema, list, names, item),
        }
    }

    fn of_map(
        schema: &'a Schema,
        list: &'a ListType,
        names: &'a [Arc<str>],
        item: &'a Value,
    ) -> Result<Self, String> {
        let members = match item {
            Value::Object(members) => members,
            Value::Null => {
                let problem = "associative list with keys may not have a null element";
                return Err(problem.to_owned());
            }
            _ => {
                let problem = "associative list with keys may not have non-map elements";
                return Err(problem.to_owned());
            }
        };
        let item_type = Kinds::of(schema, Some(list.items)).and_then(|kinds| kinds.map());
        let mut key = Vec::with_capacity(names.len());
        for name in names {
            let value = members.get(&**name);
            let value = match (value, item_type) {
                (Some(value), _) => Some(value),
                (None, Some(map)) => map
                    .fields
                    .get(name)
                    .and_then(|field| field.default.as_ref()),
                (None, None) => {
                    return Err(format!(
                        "couldn't find default value for {name}: associative list may not have \
                         non-map types"
                    ));
                }
            };
            key.extend(value.map(|value| (name, value)));
        }
        if key.is_empty() {
            return Err(no_key(names));
        }
        key.sort_by(|a, b| a.0.cmp(b.0));
        Ok(Self::Key(key))
    }

    pub(crate) fn to_element(&self) -> PathElement {
        match self {
            Self::Value(value) => PathElement::value((*value).clone()),
            Self::Key(members) => {
                let members = members.iter().map(|(name, value)| KeyField {
                    name: Arc::clone(name),
                    value: (*value).clone(),
                });
                PathElement::Key(members.collect())
            }
            Self::Unkeyed => PathElement::Unkeyed,
        }
    }

    fn compare(&self, other: &Self, precision: Precision) -> Ordering {
        match (self, other) {
            (Self::Key(a), Self::Key(b)) => {
                for (a, b) in a.iter().zip(b) {
                    let order = a.0.cmp(b.0);
                    let order = order.then_with(|| value::compare(a.1, b.1, precision));
                    if order.is_ne() {
                        return order;
                    }
                }
                a.len().cmp(&b.len())
            }
            (Self::Value(a), Self::Value(b)) => value::compare(a, b, precision),
            (a, b) => a.rank().cmp(&b.rank()),
        }
    }

    const fn rank(&self) -> u8 {
        match self {
            Self::Key(_) => 0,
            Self::Value(_) => 1,
            Self::Unkeyed => 2,
        }
    }

    /// The order of the key and an element of a set.
    pub(crate) fn compare_element(&self, element: &PathElement) -> Ordering {
        match (self, element) {
            (Self::Key(a), PathElement::Key(b)) => {
                for (a, b) in a.iter().zip(b.iter()) {
                    let order = a.0.cmp(&b.name);
                    let order =
                        order.then_with(|| value::compare(a.1, &b.value, Precision::Rounded));
                    if order.is_ne() {
                        return order;
                    }
                }
                a.len().cmp(&b.len())
            }
            (Self::Value(a), PathElement::Value(b)) => value::compare(a, b, Precision::Rounded),
            (Self::Unkeyed, PathElement::Unkeyed) => Ordering::Equal,
            (_, PathElement::Field(_))
            | (Self::Value(_), PathElement::Key(_))
            | (Self::Unkeyed, _) => Ordering::Greater,
            (_, PathElement::Index(_) | PathElement::Unkeyed)
            | (Self::Key(_), PathElement::Value(_)) => Ordering::Less,
        }
    }
}

fn no_key(names: &[Arc<str>]) -> String {
    let mut list = String::from("[");
    for (index, name) in names.iter().enumerate() {
        if index > 0 {
            list.push(' ');
        }
        text::quote(name, &mut list);
    }
    format!(
        "associative list with keys has an element that omits all key fields {list}] (and doesn't \
         have default values for any key fields)"
    )
}

// === impl Index ===

impl<'a> Index<'a> {
    /// n log n in the number of keys.
    pub(crate) fn new(keys: Vec<ItemKey<'a>>) -> Self {
        let mut sorted: Vec<usize> = (0..keys.len()).collect();
        sorted.sort_unstable_by(|a, b| {
            let order = keys[*a].compare(&keys[*b], Precision::Exact);
            order.then_with(|| a.cmp(b))
        });
        Self { keys, sorted }
    }

    /// The groups of items with equal keys, sorted by key.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &[usize]> {
        self.sorted.chunk_by(|a, b| {
            self.keys[*a]
                .compare(&self.keys[*b], Precision::Rounded)
                .is_eq()
        })
    }

    /// The groups of two lists by key, sorted. Each pair has at least one item.
    pub(crate) fn zip<'i>(
        &'i self,
        other: &'i Self,
    ) -> impl Iterator<Item = (&'i [usize], &'i [usize])> {
        let (mut left, mut right) = (self.groups().peekable(), other.groups().peekable());
        std::iter::from_fn(move || {
            let order = match (left.peek(), right.peek()) {
                (Some(a), Some(b)) => {
                    self.keys[a[0]].compare(&other.keys[b[0]], Precision::Rounded)
                }
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => return None,
            };
            let none: &[usize] = &[];
            Some(match order {
                Ordering::Less => (left.next()?, none),
                Ordering::Greater => (none, right.next()?),
                Ordering::Equal => (left.next()?, right.next()?),
            })
        })
    }
}
