//! Traits of cached items.

use std::sync::Arc;

/// One immutable item at one revision. Clones are cheap and share the item: collections, histories
/// and readers each hold one.
pub trait Item: Clone + Send + Sync + 'static {
    /// Unique key within the collection; lists are in byte order of keys. A namespaced key is
    /// `namespace/name`.
    fn key(&self) -> &str;

    /// Revision of the change that created this item.
    fn revision(&self) -> u64;

    /// Approximate memory of this item in bytes.
    fn size(&self) -> usize;

    /// Calls `visit` for every attribute that an [`Interest`](crate::Interest) may name.
    fn attributes(&self, visit: &mut dyn FnMut(Attribute, &str, &str));

    /// Whether the item's attributes are unknown, for instance because its value is undecodable.
    /// Its changes then concern every [`Interest`](crate::Interest) in its scope.
    fn undecodable(&self) -> bool {
        false
    }

    /// Returns the item with another revision: the last state of a deleted item, at the delete.
    fn with_resource_version(&self, revision: u64) -> Self;

    /// Drops encodings made for watchers, and keeps none from now on: the change that created this
    /// item is no longer recent.
    fn evict_encodings(&self) {}
}

/// Kind of an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Attribute {
    /// A label.
    Label,
    /// A selectable field.
    Field,
}

/// A selector of items. Must be a pure function of the item.
pub trait Select<I>: Send + Sync {
    /// Whether the item is selected.
    fn matches(&self, item: &I) -> bool;
}

impl<I, S: Select<I> + ?Sized> Select<I> for Arc<S> {
    fn matches(&self, item: &I) -> bool {
        (**self).matches(item)
    }
}

/// A part of a collection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// All items.
    All,
    /// Items in one namespace.
    Namespace(Box<str>),
    /// The item with this key.
    Key(Box<str>),
}

impl Scope {
    /// Whether a key is in this scope.
    #[must_use]
    pub fn contains(&self, key: &str) -> bool {
        match self {
            Self::All => true,
            Self::Namespace(namespace) => {
                key.as_bytes().get(namespace.len()) == Some(&b'/') && key.starts_with(&**namespace)
            }
            Self::Key(only) => key == &**only,
        }
    }
}

/// Returns the namespace of a key, if it has one.
pub(crate) fn namespace_of(key: &str) -> Option<&str> {
    key.split_once('/').map(|(namespace, _)| namespace)
}

#[cfg(test)]
mod tests {
    use super::Scope;

    #[test]
    fn namespace_scope_excludes_prefix_matches() {
        let scope = Scope::Namespace("a".into());
        let inside = ["a/x", "a/y", "a-b/x", "ab/x", "a"].map(|key| scope.contains(key));
        assert_eq!(inside, [true, true, false, false, false]);
    }
}
