//! The document while operations change it.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::chunks::Chunks;
use super::error::Inapplicable;
use super::pointer::{index, no_index};

/// A value of the document. A container is opened one level at a time, on the path to a changed
/// value, and at most once, so that opening costs no more than reading the document.
#[derive(Debug)]
pub(super) enum Node {
    /// No operation has changed anything inside.
    Whole(Value),
    Object(BTreeMap<String, Self>),
    Array(Box<Chunks<Self>>),
}

/// A borrowed value of the document.
#[derive(Clone, Copy)]
pub(super) enum ValueRef<'a> {
    Value(&'a Value),
    Node(&'a Node),
}

impl Node {
    pub(super) fn view(&self) -> ValueRef<'_> {
        match self {
            Self::Whole(value) => ValueRef::Value(value),
            opened => ValueRef::Node(opened),
        }
    }

    /// The value of a pointer token.
    ///
    /// # Errors
    /// If it does not exist.
    pub(super) fn child(&mut self, token: &str) -> Result<&mut Self, Inapplicable> {
        self.open();
        match self {
            Self::Object(map) => map.get_mut(token).ok_or(Inapplicable::NoContainer),
            Self::Array(items) => {
                let index = index(token, items.len())?;
                items.get_mut(index).ok_or_else(|| no_index(token))
            }
            Self::Whole(_) => Err(Inapplicable::NoContainer),
        }
    }

    /// Opens a container.
    pub(super) fn open(&mut self) {
        let Self::Whole(value) = self else { return };
        match value {
            Value::Object(map) => {
                let members = std::mem::take(map).into_iter();
                *self = Self::Object(members.map(|(key, it)| (key, Self::Whole(it))).collect());
            }
            Value::Array(items) => {
                let items = std::mem::take(items).into_iter().map(Self::Whole);
                *self = Self::Array(Box::new(Chunks::new(items.collect())));
            }
            _ => {}
        }
    }

    pub(super) fn into_value(self) -> Value {
        match self {
            Self::Whole(value) => value,
            Self::Object(map) => {
                let members = map.into_iter();
                let members = members.map(|(key, node)| (key, node.into_value()));
                Value::Object(members.collect::<Map<_, _>>())
            }
            Self::Array(items) => Value::Array(items.map_into(Self::into_value)),
        }
    }

    /// Maximum nesting of containers. Takes one from `budget` per value.
    ///
    /// # Errors
    /// If the budget is exhausted.
    pub(super) fn depth(&self, budget: &mut usize) -> Result<usize, Inapplicable> {
        *budget = budget.checked_sub(1).ok_or(Inapplicable::Limit)?;
        let mut deepest = 0;
        match self {
            Self::Whole(value) => return depth(value, budget),
            Self::Object(map) => {
                for node in map.values() {
                    deepest = deepest.max(node.depth(budget)?);
                }
            }
            Self::Array(items) => {
                for node in items.iter() {
                    deepest = deepest.max(node.depth(budget)?);
                }
            }
        }
        Ok(1 + deepest)
    }
}

fn depth(value: &Value, budget: &mut usize) -> Result<usize, Inapplicable> {
    *budget = budget.checked_sub(1).ok_or(Inapplicable::Limit)?;
    let mut deepest = 0;
    match value {
        Value::Object(map) => {
            for value in map.values() {
                deepest = deepest.max(depth(value, budget)?);
            }
        }
        Value::Array(items) => {
            for value in items {
                deepest = deepest.max(depth(value, budget)?);
            }
        }
        _ => return Ok(0),
    }
    Ok(1 + deepest)
}

impl<'a> ValueRef<'a> {
    /// The value of a pointer token; none if an object has no such member.
    ///
    /// # Errors
    /// If this is not a container, or a list without such an item.
    pub(super) fn child(self, token: &str) -> Result<Option<Self>, Inapplicable> {
        match self {
            Self::Value(Value::Object(map)) => Ok(map.get(token).map(Self::Value)),
            Self::Value(Value::Array(items)) => {
                let item = items.get(index(token, items.len())?);
                item.map(|it| Some(Self::Value(it)))
                    .ok_or_else(|| no_index(token))
            }
            Self::Node(Node::Object(map)) => Ok(map.get(token).map(Node::view)),
            Self::Node(Node::Array(items)) => {
                let item = items.get(index(token, items.len())?);
                item.map(|it| Some(it.view()))
                    .ok_or_else(|| no_index(token))
            }
            Self::Value(_) | Self::Node(Node::Whole(_)) => Err(Inapplicable::NoContainer),
        }
    }

    pub(super) fn to_value(self) -> Value {
        match self {
            Self::Value(value) | Self::Node(Node::Whole(value)) => value.clone(),
            Self::Node(Node::Object(map)) => {
                let members = map.iter();
                let members = members.map(|(key, node)| (key.clone(), node.view().to_value()));
                Value::Object(members.collect::<Map<_, _>>())
            }
            Self::Node(Node::Array(items)) => {
                Value::Array(items.iter().map(|it| it.view().to_value()).collect())
            }
        }
    }

    /// Costs no more than reading the smaller of the two.
    pub(super) fn equals(self, other: &Value) -> bool {
        match (self, other) {
            (Self::Value(value) | Self::Node(Node::Whole(value)), other) => value == other,
            (Self::Node(Node::Object(map)), Value::Object(other)) => {
                let mut pairs = map.iter().zip(other);
                map.len() == other.len()
                    && pairs.all(|((key, node), (other_key, value))| {
                        key == other_key && node.view().equals(value)
                    })
            }
            (Self::Node(Node::Array(items)), Value::Array(other)) => {
                let mut pairs = items.iter().zip(other);
                items.len() == other.len() && pairs.all(|(node, value)| node.view().equals(value))
            }
            (Self::Node(_), _) => false,
        }
    }
}
