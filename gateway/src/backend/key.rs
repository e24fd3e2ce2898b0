//! Names of resources and objects.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// The core group in the keys of the driver. No other group has this name, because groups of custom
/// resources have a dot.
const STORED_CORE: &str = "core";

/// A resource: API group and plural name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceId {
    group: Arc<str>,
    resource: Arc<str>,
}

/// Namespace and name of an object, in the order of lists: by the bytes of `namespace/name`, or of
/// `name` for cluster-scoped objects, as etcd's keys.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey(Arc<str>);

impl ResourceId {
    /// Names a resource, such as `ark.mckinsey.com`, `queries`.
    #[must_use]
    pub fn new(group: &str, resource: &str) -> Self {
        Self {
            group: group.into(),
            resource: resource.into(),
        }
    }

    /// API group; empty for the core group.
    #[must_use]
    pub fn group(&self) -> &str {
        &self.group
    }

    /// Plural name.
    #[must_use]
    pub fn resource(&self) -> &str {
        &self.resource
    }

    /// The group in the keys of the driver, which are never empty.
    pub(super) fn stored_group(&self) -> &str {
        if self.group.is_empty() {
            STORED_CORE
        } else {
            &self.group
        }
    }

    /// The resource of a key of the driver.
    pub(super) fn of_stored(group: &str, resource: &str) -> Self {
        Self::new(if group == STORED_CORE { "" } else { group }, resource)
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.group.is_empty() {
            return out.write_str(&self.resource);
        }
        write!(out, "{}.{}", self.resource, self.group)
    }
}

impl ObjectKey {
    /// Names an object; `namespace` is empty for cluster-scoped ones. Neither part may contain a
    /// `/`; names of objects never do.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        if namespace.is_empty() {
            return Self(name.into());
        }
        let mut key = String::with_capacity(namespace.len() + 1 + name.len());
        key.push_str(namespace);
        key.push('/');
        key.push_str(name);
        Self(key.into())
    }

    /// Namespace, empty for cluster-scoped objects.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.0
            .split_once('/')
            .map_or("", |(namespace, _)| namespace)
    }

    /// Name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.split_once('/').map_or(&*self.0, |(_, name)| name)
    }

    /// `namespace/name`, or `name` for cluster-scoped objects.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for ObjectKey {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl fmt::Debug for ObjectKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, out)
    }
}

#[cfg(test)]
mod tests {
    use super::ObjectKey;

    #[test]
    fn keys_sort_as_text() {
        let mut keys = [
            ObjectKey::new("a", "x"),
            ObjectKey::new("a-b", "x"),
            ObjectKey::new("", "a"),
        ];
        keys.sort();
        assert_eq!(keys.map(|key| key.to_string()), ["a", "a-b/x", "a/x"]);
    }

    #[test]
    fn keys_return_their_parts() {
        let key = ObjectKey::new("team", "query");
        assert_eq!((key.namespace(), key.name()), ("team", "query"));
        let key = ObjectKey::new("", "query");
        assert_eq!((key.namespace(), key.name()), ("", "query"));
    }
}
