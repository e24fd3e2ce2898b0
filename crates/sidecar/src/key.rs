//! Storage form of keys: one string whose byte order is the order of keys within a resource.

use backend_proto::v1::{BackendError, Key};

use crate::refuse::invalid;

/// Returns `namespace/name`, or `name` for a cluster-scoped record.
#[must_use]
pub fn path_of(key: &Key) -> String {
    path(&key.namespace, &key.name)
}

/// [`path_of`] from the parts of a key.
#[must_use]
pub fn path(namespace: &str, name: &str) -> String {
    if namespace.is_empty() {
        name.to_owned()
    } else {
        format!("{namespace}/{name}")
    }
}

/// Inverse of [`path_of`].
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

/// Rejects a key that is ambiguous as a path, or that databases cannot store.
pub(crate) fn check(key: &Key) -> Result<(), BackendError> {
    check_parts([&key.group, &key.resource, &key.namespace, &key.name])
}

/// [`check`] for some parts of a key.
pub(crate) fn check_parts<'a>(
    parts: impl IntoIterator<Item = &'a String>,
) -> Result<(), BackendError> {
    if parts.into_iter().any(|part| part.contains(['/', '\0'])) {
        return Err(invalid("the key holds a slash or a zero byte"));
    }
    Ok(())
}

/// Formats a key for operators: `resource.group namespace/name`.
#[must_use]
pub fn display(key: &Key) -> String {
    let path = path_of(key);
    if key.group.is_empty() {
        format!("{} {path}", key.resource)
    } else {
        format!("{}.{} {path}", key.resource, key.group)
    }
}
