//! Content of a store or a cluster without what differs by design: revisions, and the version in
//! which an object is stored.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Result, ensure};
use backend_proto::v1::{ExportRequest, Key};
use ring::digest::{Context as Digest, SHA256};

use super::entry::{Entry, hash};
use crate::digest::hex;
use crate::key;
use crate::store::Store;

/// Group, resource, namespace and name.
pub(crate) type Path = (String, String, String, String);

/// An object as far as it is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) uid: String,
    pub(crate) hash: [u8; 32],
    /// Revision in a store; 0 for objects of a cluster.
    pub(crate) revision: i64,
}

/// The objects of some groups.
#[derive(Clone, Debug, Default)]
pub(crate) struct Content(pub(crate) BTreeMap<Path, Item>);

pub(crate) fn path(key: &Key) -> Path {
    let Key {
        group,
        resource,
        namespace,
        name,
    } = key.clone();
    (group, resource, namespace, name)
}

/// Formats as `queries.ark.mckinsey.com/default/a`.
pub(crate) fn text(path: &Path) -> String {
    let (group, resource, namespace, name) = path.clone();
    key::text(&Key {
        group,
        resource,
        namespace,
        name,
    })
}

impl Content {
    /// Reads the objects of some groups from a store.
    ///
    /// # Errors
    /// If the store is unreadable, or one of the objects is.
    pub(crate) async fn of_store(store: &Store, groups: &[String]) -> Result<Self> {
        let mut export = store.export(ExportRequest::default()).await?;
        let mut content = BTreeMap::new();
        while let Some(records) = export.records().await? {
            for record in records {
                let key = record.key.unwrap_or_default();
                if !groups.contains(&key.group) {
                    continue;
                }
                let text = key::text(&key);
                ensure!(
                    record.unreadable.is_empty(),
                    "{text}: {}",
                    record.unreadable
                );
                let object = kube_json::reparse(&record.value)
                    .map_err(|error| anyhow::anyhow!("{text}: its value is not JSON: {error}"))?;
                let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
                let item = Item {
                    uid: uid.to_owned(),
                    revision: record.revision,
                    hash: hash(object),
                };
                content.insert(path(&key), item);
            }
        }
        Ok(Self(content))
    }

    /// Returns the content of a cluster's lists.
    pub(crate) fn of_entries(entries: &[Entry]) -> Self {
        let items = entries.iter().map(|entry| {
            let item = Item {
                uid: entry.uid().to_owned(),
                revision: 0,
                hash: entry.hash,
            };
            (path(&entry.key()), item)
        });
        Self(items.collect())
    }

    /// Returns a digest that is equal for equal contents.
    pub(crate) fn digest(&self) -> String {
        let mut digest = Digest::new(&SHA256);
        for ((group, resource, namespace, name), item) in &self.0 {
            for part in [group, resource, namespace, name] {
                digest.update(&(part.len() as u64).to_be_bytes());
                digest.update(part.as_bytes());
            }
            digest.update(&item.hash);
        }
        hex(digest.finish().as_ref())
    }

    /// Returns a line per resource with its number of objects.
    pub(crate) fn counts(&self) -> String {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for (group, resource, ..) in self.0.keys() {
            *counts.entry(format!("{resource}.{group}")).or_default() += 1;
        }
        let lines = counts
            .iter()
            .map(|(name, count)| format!("{name}: {count} records\n"));
        let lines: String = lines.collect();
        format!("{lines}all: {} records", self.0.len())
    }

    /// Returns the first difference and the number of differences; `None` if there is none.
    pub(crate) fn difference(&self, other: &Self) -> Option<Difference> {
        let mut found: Option<Difference> = None;
        let mut note = |path: &Path, what: &'static str| {
            let first = found.get_or_insert_with(|| Difference {
                first: format!("{} {what}", text(path)),
                count: 0,
            });
            first.count += 1;
        };
        for (path, item) in &self.0 {
            match other.0.get(path) {
                None => note(path, "exists on one side only"),
                Some(there) if there.hash != item.hash => note(path, "differs"),
                Some(_) => {}
            }
        }
        for path in other.0.keys().filter(|path| !self.0.contains_key(*path)) {
            note(path, "exists on one side only");
        }
        found
    }
}

/// Differences of two contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) first: String,
    pub(crate) count: usize,
}

impl fmt::Display for Difference {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, count } = self;
        write!(out, "{count} objects differ, such as {first}")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Content, Item, hash};

    #[test]
    fn hash_ignores_revision_and_version_only() {
        let object = json!({"apiVersion": "g/v1", "kind": "A", "spec": {"b": 1, "a": 2},
            "metadata": {"name": "n", "resourceVersion": "7", "generation": 1}});
        let original = hash(object.clone());
        let mut same = object.clone();
        same["apiVersion"] = "g/v2".into();
        same["metadata"]["resourceVersion"] = "8".into();
        same["metadata"]["finalizers"] = json!([]);
        assert_eq!(hash(same), original);
        let mut other = object;
        other["metadata"]["generation"] = 2.into();
        assert_ne!(hash(other), original);
    }

    #[test]
    fn differences_are_counted_on_both_sides() {
        let content = |items: &[(&str, u8)]| {
            let items = items.iter().map(|(name, byte)| {
                let path = (
                    String::new(),
                    String::new(),
                    String::new(),
                    (*name).to_owned(),
                );
                let item = Item {
                    uid: String::new(),
                    hash: [*byte; 32],
                    revision: i64::from(*byte),
                };
                (path, item)
            });
            Content(items.collect())
        };
        let one = content(&[("a", 1), ("b", 2), ("c", 3)]);
        let other = content(&[("b", 2), ("c", 4), ("d", 5)]);
        let found = one.difference(&other).expect("a difference");
        assert_eq!(found.count, 3);
        assert_eq!(one.difference(&one), None);
        assert_eq!(
            one.digest(),
            content(&[("c", 3), ("b", 2), ("a", 1)]).digest()
        );
        assert_ne!(one.digest(), other.digest());
    }
}
