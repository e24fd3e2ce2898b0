//! Digest of a store's content in 32 bytes: equal for two stores exactly if their records are
//! equal.
//!
//! The digest of a resource is the SHA-256 over its records in key order: key, revision, creation
//! revision, value and index, each preceded by its length. The digest of a store is the SHA-256
//! over the names, counts and digests of its resources. Times are omitted, because drivers store
//! them with different precision.

use std::collections::BTreeMap;
use std::fmt;

use backend_proto::v1::{Index, Record};
use ring::digest::{Context as Digest, SHA256, SHA256_OUTPUT_LEN};
use serde_json::{Value, json};

/// Computes digests of a store's resources from a stream of records.
#[derive(Default)]
pub(crate) struct Digester {
    open: Option<((String, String), Digest, Totals)>,
    done: Summary,
}

/// Group and plural name of a resource.
type Resource = (String, String);

/// Record count and size of a resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) records: u64,
    /// Bytes of values.
    pub(crate) bytes: u64,
}

/// Summary of a store's content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) resources: BTreeMap<Resource, (Totals, [u8; SHA256_OUTPUT_LEN])>,
}

// === impl Digester ===

impl Digester {
    /// Adds the next record in key order.
    pub(crate) fn add(&mut self, record: &Record) {
        let key = record.key.clone().unwrap_or_default();
        let same = |open: &Resource| open.0 == key.group && open.1 == key.resource;
        if !self.open.as_ref().is_some_and(|(open, ..)| same(open)) {
            self.close();
            let resource = (key.group.clone(), key.resource.clone());
            self.open = Some((resource, Digest::new(&SHA256), Totals::default()));
        }
        let Some((_, hash, totals)) = &mut self.open else {
            return;
        };
        text(hash, key.namespace.as_bytes());
        text(hash, key.name.as_bytes());
        hash.update(&record.revision.to_be_bytes());
        hash.update(&record.create_revision.to_be_bytes());
        text(hash, &record.value);
        text(hash, record.unreadable.as_bytes());
        index(hash, record.index.as_ref());
        totals.records += 1;
        totals.bytes += record.value.len() as u64;
    }

    /// Returns the summary of all records.
    pub(crate) fn finish(mut self) -> Summary {
        self.close();
        self.done
    }

    fn close(&mut self) {
        if let Some((resource, hash, totals)) = self.open.take() {
            let mut digest = [0; SHA256_OUTPUT_LEN];
            digest.copy_from_slice(hash.finish().as_ref());
            let entry = (totals, digest);
            self.done.resources.insert(resource, entry);
        }
    }
}

fn text(hash: &mut Digest, bytes: &[u8]) {
    hash.update(&(bytes.len() as u64).to_be_bytes());
    hash.update(bytes);
}

fn index(hash: &mut Digest, index: Option<&Index>) {
    let empty = Index::default();
    let index = index.unwrap_or(&empty);
    text(hash, index.uid.as_bytes());
    for map in [&index.labels, &index.fields] {
        let sorted: BTreeMap<_, _> = map.iter().collect();
        hash.update(&(sorted.len() as u64).to_be_bytes());
        for (key, value) in sorted {
            text(hash, key.as_bytes());
            text(hash, value.as_bytes());
        }
    }
    hash.update(&(index.owner_uids.len() as u64).to_be_bytes());
    for uid in &index.owner_uids {
        text(hash, uid.as_bytes());
    }
}

// === impl Summary ===

impl Summary {
    /// Returns records and bytes of all resources together.
    pub(crate) fn totals(&self) -> Totals {
        let mut sum = Totals::default();
        for (totals, _) in self.resources.values() {
            sum.records += totals.records;
            sum.bytes += totals.bytes;
        }
        sum
    }

    /// Returns counts, sizes and digests as JSON.
    pub(crate) fn document(&self) -> Value {
        let resources = self.resources.iter();
        let resources = resources.map(|((group, resource), (totals, digest))| {
            json!({
                "resource": format!("{resource}.{group}"),
                "objects": totals.records,
                "bytes": totals.bytes,
                "sha256": hex(digest),
            })
        });
        let resources: Vec<Value> = resources.collect();
        let Totals { records, bytes } = self.totals();
        json!({
            "objects": records,
            "bytes": bytes,
            "sha256": self.digest(),
            "resources": resources,
        })
    }

    /// Returns the digest of the store.
    pub(crate) fn digest(&self) -> String {
        let mut hash = Digest::new(&SHA256);
        for ((group, resource), (totals, digest)) in &self.resources {
            text(&mut hash, group.as_bytes());
            text(&mut hash, resource.as_bytes());
            hash.update(&totals.records.to_be_bytes());
            hash.update(digest);
        }
        hex(hash.finish().as_ref())
    }
}

impl fmt::Display for Summary {
    /// Prints a line per resource, and one for all.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((group, resource), (totals, digest)) in &self.resources {
            let Totals { records, bytes } = totals;
            let digest = &hex(digest)[..16];
            writeln!(
                out,
                "{resource}.{group}: {records} records, {bytes} bytes, sha256 {digest}…"
            )?;
        }
        let Totals { records, bytes } = self.totals();
        let digest = self.digest();
        write!(
            out,
            "all: {records} records, {bytes} bytes, sha256 {digest}"
        )
    }
}

/// Encodes as lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use backend_proto::v1::{Index, Key, Record};

    use super::Digester;

    fn record(name: &str) -> Record {
        let index = Index {
            labels: [("a", "1"), ("b", "2"), ("c", "3")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            ..Index::default()
        };
        Record {
            key: Some(Key {
                group: "g".to_owned(),
                resource: "r".to_owned(),
                namespace: "n".to_owned(),
                name: name.to_owned(),
            }),
            revision: 7,
            create_revision: 5,
            value: "{}".into(),
            index: Some(index),
            ..Record::default()
        }
    }

    fn digest(records: &[Record]) -> String {
        let mut digester = Digester::default();
        records.iter().for_each(|record| digester.add(record));
        digester.finish().digest()
    }

    #[test]
    fn digest_differs_for_any_difference() {
        let original = digest(&[record("a"), record("b")]);
        assert_eq!(original, digest(&[record("a"), record("b")]));
        let changes: [fn(&mut Record); 6] = [
            |it| it.value = "[]".into(),
            |it| it.revision = 8,
            |it| it.create_revision = 6,
            |it| it.index = None,
            |it| it.unreadable = "damaged".to_owned(),
            |it| it.key = record("c").key,
        ];
        for (at, change) in changes.iter().enumerate() {
            let mut changed = record("b");
            change(&mut changed);
            assert_ne!(original, digest(&[record("a"), changed]), "change {at}");
        }
        assert_ne!(original, digest(&[record("a")]));
    }
}
