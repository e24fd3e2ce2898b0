//! Text of keys.

use backend_proto::v1::Key;

/// Returns `namespace/name`, or `name` of a cluster-scoped key.
#[must_use]
pub fn path_of(key: &Key) -> String {
    if key.namespace.is_empty() {
        key.name.clone()
    } else {
        format!("{}/{}", key.namespace, key.name)
    }
}
