//! Keys as drivers store them: one text whose byte order is the order of keys within a resource.

use backend_proto::v1::Key;

/// The text: `namespace/name`, or `name` of a cluster-scoped record.
#[must_use]
pub fn path_of(key: &Key) -> String {
    path(&key.namespace, &key.name)
}

/// [`path_of`] of a key's parts.
#[must_use]
pub fn path(namespace: &str, name: &str) -> String {
    if namespace.is_empty() {
        name.to_owned()
    } else {
        format!("{namespace}/{name}")
    }
}

/// The reverse of [`path_of`].
#[must_use]
pub fn key_of(group: &str, resource: &str, path: &str) -> Key {
    let (namespace, name) = path.split_once('/').unwrap_or(("", path));
    Key {
        group: group.to_owned(),
        resource: resource.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    }
}

/// A key for people: `resource.group namespace/name`.
#[must_use]
pub fn display(key: &Key) -> String {
    let path = path_of(key);
    if key.group.is_empty() {
        format!("{} {path}", key.resource)
    } else {
        format!("{}.{} {path}", key.resource, key.group)
    }
}
