//! What the cache must know of the items it keeps.

use std::sync::Arc;

/// One immutable item at one revision.
pub trait Item: Send + Sync + Sized + 'static {
    /// Unique key within the collection; lists are in the byte order of keys. A key in a namespace
    /// is `namespace/name`.
    fn key(&self) -> &str;

    /// Revision of the change that made this item.
    fn revision(&self) -> u64;

    /// Bytes of memory that this item holds, about.
    fn size(&self) -> usize;

    /// Calls `visit` for every attribute that an [`Interest`](crate::Interest) may name.
    fn attributes(&self, visit: &mut dyn FnMut(Attribute, &str, &str));

    /// Whether the item's attributes cannot be told: it may have any, so that its changes concern
    /// every [`Interest`](crate::Interest) in its scope.
    fn opaque(&self) -> bool {
        false
    }

    /// The same item with another revision: the last state of a deleted item, at the delete.
    fn restamped(&self, revision: u64) -> Self;

    /// The change that made this item is no longer recent: encodings made for watchers may go.
    fn cool(&self) {}
}

/// Kinds of attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Attribute {
    /// A label.
    Label,
    /// A selectable field.
    Field,
}

/// Chooses items. Must be a pure function of the item.
pub trait Select<I>: Send + Sync {
    /// Whether the item is chosen.
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
    /// Whether a key lies in this scope.
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

/// The namespace of a key, if it has one.
pub(crate) fn namespace_of(key: &str) -> Option<&str> {
    key.split_once('/').map(|(namespace, _)| namespace)
}

#[cfg(test)]
mod tests {
    use super::Scope;

    #[test]
    fn a_namespace_does_not_contain_its_namesakes() {
        let scope = Scope::Namespace("a".into());
        let inside = ["a/x", "a/y", "a-b/x", "ab/x", "a"].map(|key| scope.contains(key));
        assert_eq!(inside, [true, true, false, false, false]);
    }
}
