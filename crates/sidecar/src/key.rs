//! Keys as drivers store them: one text whose byte order is the order of keys within a resource.

use backend_proto::v1::{BackendError, Key};

use crate::refuse::invalid;

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

/// Refuses a key whose text could be another's, or none that a database takes.
pub(crate) fn check(key: &Key) -> Result<(), BackendError> {
    check_parts([&key.group, &key.resource, &key.namespace, &key.name])
}

/// [`check`] of some of a key's parts.
pub(crate) fn check_parts<'a>(
    parts: impl IntoIterator<Item = &'a String>,
) -> Result<(), BackendError> {
    if parts.into_iter().any(|part| part.contains(['/', '\0'])) {
        return Err(invalid("the key holds a slash or a zero byte"));
    }
    Ok(())
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
