//! Ordering, formatting and parsing of keys.

use std::cmp::Ordering;

use anyhow::{Result, bail};
use backend_proto::v1::Key;

/// Compares keys in the order of the protocol.
pub(crate) fn order(a: &Key, b: &Key) -> Ordering {
    let resource = |key: &Key| (key.group.clone(), key.resource.clone());
    if a.group != b.group || a.resource != b.resource {
        return resource(a).cmp(&resource(b));
    }
    path(a).cmp(path(b))
}

/// Returns the bytes that order the keys of a resource.
fn path(key: &Key) -> impl Iterator<Item = u8> + '_ {
    let separator = if key.namespace.is_empty() { "" } else { "/" };
    key.namespace
        .bytes()
        .chain(separator.bytes())
        .chain(key.name.bytes())
}

/// Formats as `queries.ark.mckinsey.com/default/a`.
pub(crate) fn text(key: &Key) -> String {
    let Key {
        group,
        resource,
        namespace,
        name,
    } = key;
    if namespace.is_empty() {
        format!("{resource}.{group}/{name}")
    } else {
        format!("{resource}.{group}/{namespace}/{name}")
    }
}

/// Inverse of [`text`].
pub(crate) fn parse(text: &str) -> Result<Key> {
    let mut parts = text.split('/');
    let (resource, first, second) = (parts.next(), parts.next(), parts.next());
    let resource = resource.and_then(|it| it.split_once('.'));
    let (Some((resource, group)), Some(first), None) = (resource, first, parts.next()) else {
        bail!("{text}: a key is RESOURCE.GROUP/NAMESPACE/NAME, or RESOURCE.GROUP/NAME");
    };
    let (namespace, name) = second.map_or(("", first), |name| (first, name));
    Ok(Key {
        group: group.to_owned(),
        resource: resource.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::{order, parse, text};

    #[test]
    fn keys_sort_in_etcd_order() {
        let sorted = [
            "a.g/z/z",
            "b.g/a",
            "b.g/a-b/a",
            "b.g/a/a",
            "b.g/a/b",
            "b.g/b",
            "a.h/a",
        ];
        let keys: Vec<_> = sorted.iter().map(|key| parse(key).expect(key)).collect();
        for pair in keys.windows(2) {
            assert!(order(&pair[0], &pair[1]).is_lt(), "{pair:?}");
        }
        for (key, written) in keys.iter().zip(sorted) {
            assert_eq!(text(key), written);
        }
        for malformed in ["", "a", "a.g", "a/b/c", "a.g/b/c/d"] {
            assert!(parse(malformed).is_err(), "{malformed}");
        }
    }
}
