//! Objects of CRDs in the cluster's etcd: comparison with a store, and the changes that make them
//! equal to it.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use backend_proto::v1::Key;
use bytes::Bytes;
use serde_json::json;

use super::cluster::Kind;
use super::entry::hash;
use super::outgoing::Object;
use crate::etcd::{Change, Etcd, Found};
use crate::output::Progress;

/// Path of CRDs below kube-apiserver's prefix.
const DEFINITIONS: &str = "apiextensions.k8s.io/customresourcedefinitions";
/// Begin of values that kube-apiserver has encrypted.
const ENCRYPTED: &[u8] = b"k8s:enc:";

/// The changes that make the CRDs' objects equal to those of a store.
#[derive(Debug, Default)]
pub(crate) struct Diff {
    pub(crate) changes: Vec<Change>,
    /// What is replaced or deleted.
    pub(crate) lost: Vec<Found>,
    pub(crate) created: usize,
    pub(crate) updated: usize,
    /// Keys of objects that the store does not have.
    pub(crate) deleted: Vec<String>,
}

/// kube-apiserver's part of etcd.
#[derive(Clone, Debug)]
pub(crate) struct Shadow {
    etcd: Etcd,
    prefix: String,
}

impl Shadow {
    /// `prefix` is kube-apiserver's `--etcd-prefix`.
    pub(crate) fn new(etcd: Etcd, prefix: &str) -> Self {
        Self {
            etcd,
            prefix: prefix.trim_end_matches('/').to_owned(),
        }
    }

    /// Returns kube-apiserver's etcd key of an object.
    pub(crate) fn key(&self, key: &Key) -> String {
        let (prefix, group, resource) = (&self.prefix, &key.group, &key.resource);
        if key.namespace.is_empty() {
            format!("{prefix}/{group}/{resource}/{}", key.name)
        } else {
            format!("{prefix}/{group}/{resource}/{}/{}", key.namespace, key.name)
        }
    }

    /// Returns a message for each CRD that is not found with its uid: the prefix is wrong, or the
    /// etcd is that of another cluster.
    ///
    /// # Errors
    /// If etcd cannot be read.
    pub(crate) async fn strangers(&self, kinds: &[Arc<Kind>]) -> Result<Vec<String>> {
        let mut strangers = Vec::new();
        for kind in kinds {
            let (name, uid) = &kind.crd;
            let key = format!("{}/{DEFINITIONS}/{name}", self.prefix);
            let found = self.etcd.get(&key).await?;
            let text = |value: &[u8]| value.windows(uid.len()).any(|part| part == uid.as_bytes());
            match found {
                Some(found) if text(&found.value) && !uid.is_empty() => {}
                Some(found) if found.value.starts_with(ENCRYPTED) => strangers.push(format!(
                    "etcd: {key} is encrypted: kube-apiserver encrypts CRDs at rest, and would not \
                     read what is written here. Use the way through the API"
                )),
                Some(_) => strangers.push(format!(
                    "etcd: {key} has another uid than the CRD of the cluster ({uid}): this is the \
                     etcd of another cluster"
                )),
                None => strangers.push(format!(
                    "etcd: there is no {key}: set --etcd-prefix to kube-apiserver's, or check that \
                     this is the cluster's etcd"
                )),
            }
        }
        Ok(strangers)
    }

    /// Compares the objects of kinds with those of a store.
    ///
    /// # Errors
    /// If etcd cannot be read, or a value is not JSON.
    pub(crate) async fn diff(&self, kinds: &[Arc<Kind>], objects: &[Object]) -> Result<Diff> {
        let mut wanted: BTreeMap<String, &Object> = objects
            .iter()
            .map(|object| (self.key(&object.key), object))
            .collect();
        let mut diff = Diff::default();
        for kind in kinds {
            let prefix = format!("{}/{}/{}/", self.prefix, kind.group, kind.plural);
            let mut pages = Vec::new();
            self.etcd
                .prefix(&prefix, |found| {
                    pages.push(found);
                    Ok(())
                })
                .await?;
            for found in pages {
                let object = wanted.remove(&found.key);
                diff.compare(found, object)?;
            }
        }
        for (key, object) in wanted {
            diff.created += 1;
            diff.changes.push(Change {
                key,
                expected: 0,
                value: Some(object.value.clone()),
            });
        }
        Ok(diff)
    }

    /// Makes the changes; what they replace and delete is in `save` before, if there is any.
    ///
    /// # Errors
    /// If the file cannot be written, or a key has changed since it was read.
    pub(crate) async fn apply(&self, diff: &Diff, save: &Path) -> Result<()> {
        if !diff.lost.is_empty() {
            let (file, lost) = (save.to_owned(), diff.lost.clone());
            // The file may be large.
            let saved = tokio::task::spawn_blocking(move || write(&file, &lost)).await;
            saved.context("the writer of the file panicked")??;
        }
        let mut progress = Progress::new("written", Some(diff.changes.len() as u64));
        self.etcd
            .change(&diff.changes, |batch| {
                let bytes = batch.iter().filter_map(|it| it.value.as_ref());
                progress.add(batch.len(), bytes.map(Bytes::len).sum());
            })
            .await?;
        progress.finish();
        Ok(())
    }
}

impl Diff {
    fn compare(&mut self, found: Found, object: Option<&Object>) -> Result<()> {
        let key = found.key.clone();
        let value = kube_json::reparse(&found.value).with_context(|| {
            format!("etcd: {key} is not JSON; kube-apiserver may encrypt it at rest")
        })?;
        let change = |value| Change {
            key: key.clone(),
            expected: found.mod_revision,
            value,
        };
        match object {
            Some(object) if hash(object.parsed.clone()) == hash(value) => return Ok(()),
            Some(object) => {
                self.updated += 1;
                self.changes.push(change(Some(object.value.clone())));
            }
            None => {
                self.deleted.push(key.clone());
                self.changes.push(change(None));
            }
        }
        self.lost.push(found);
        Ok(())
    }

    /// Summary for operators.
    pub(crate) fn summary(&self) -> String {
        format!(
            "{} objects created, {} updated, {} deleted in the CRDs",
            self.created,
            self.updated,
            self.deleted.len()
        )
    }
}

/// Writes keys and values to a new file, one JSON object per line.
fn write(file: &Path, lost: &[Found]) -> Result<()> {
    let named = || file.display().to_string();
    let opened = OpenOptions::new().write(true).create_new(true).open(file);
    let mut out = std::io::BufWriter::new(opened.with_context(named)?);
    for Found { key, value, .. } in lost {
        let line = json!({"key": key, "value": String::from_utf8_lossy(value)});
        writeln!(out, "{line}").with_context(named)?;
    }
    let out = out.into_inner().with_context(named)?;
    out.sync_all().with_context(named)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use backend_proto::v1::Key;
    use serde_json::{Value, json};

    use super::{Diff, write};
    use crate::crds::outgoing::Object;
    use crate::crds::testing::kind;
    use crate::etcd::Found;

    fn object(parsed: &Value) -> Object {
        Object {
            kind: Arc::new(kind()),
            key: Key::default(),
            version: "v1".to_owned(),
            value: kube_json::to_vec(parsed).into(),
            parsed: parsed.clone(),
        }
    }

    fn found(value: &Value) -> Found {
        Found {
            key: "/registry/g/r/n/a".to_owned(),
            value: format!("{value}\n").into(),
            mod_revision: 9,
        }
    }

    #[test]
    fn changes_expect_the_revision_that_was_compared() {
        let there = json!({"metadata": {"name": "a"}, "spec": 1});
        let mut diff = Diff::default();
        diff.compare(found(&there), Some(&object(&there)))
            .expect("equal");
        assert!(diff.changes.is_empty());
        let other = json!({"metadata": {"name": "a"}, "spec": 2});
        diff.compare(found(&there), Some(&object(&other)))
            .expect("updated");
        diff.compare(found(&there), None).expect("deleted");
        let changes: Vec<_> = diff
            .changes
            .iter()
            .map(|it| (it.expected, it.value.is_some()))
            .collect();
        assert_eq!(changes, [(9, true), (9, false)]);
        assert_eq!(
            diff.summary(),
            "0 objects created, 1 updated, 1 deleted in the CRDs"
        );
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("saved");
        write(&file, &diff.lost).expect("written");
        let saved = std::fs::read_to_string(&file).expect("a file");
        assert!(saved.contains(r#"\"spec\":1"#), "{saved}");
        write(&file, &diff.lost).expect_err("a saved file is never replaced");
        let mut encrypted = found(&there);
        encrypted.value = "k8s:enc:aescbc".into();
        let error = diff.compare(encrypted, None).expect_err("no JSON");
        assert!(format!("{error:#}").contains("encrypt"), "{error:#}");
    }
}
