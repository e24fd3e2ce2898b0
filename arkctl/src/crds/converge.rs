//! Writes the differences between a cluster and a store into the store.

use std::collections::BTreeSet;
use std::fmt;

use anyhow::{Result, bail};
use backend_proto::limits::{MIN_WRITE_BYTES, MIN_WRITE_OPS};
use backend_proto::v1::op::Action;
use backend_proto::v1::op_result::Verdict;
use backend_proto::v1::{DescribeResponse, Key, Op, Origin, Record};

use super::content::{Content, Item, Path, path, text};
use super::entry::Entry;
use crate::key;
use crate::store::Store;

/// Name of the writer in the store's log.
const ACTOR: &str = "arkctl";
/// Deletes per call: the response contains the deleted records, each of up to 1.5 MiB.
const DELETES: usize = 16;

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    pub(crate) created: usize,
    pub(crate) updated: usize,
    pub(crate) deleted: usize,
}

impl Changes {
    pub(crate) const fn count(self) -> usize {
        self.created + self.updated + self.deleted
    }
}

impl fmt::Display for Changes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            created,
            updated,
            deleted,
        } = self;
        write!(
            out,
            "{created} objects created, {updated} updated, {deleted} deleted in the store"
        )
    }
}

/// Makes the objects of some groups in a store equal to `entries`, which are all objects of these
/// groups in the cluster. Each write expects the revision that was compared.
///
/// # Errors
/// If the driver rejects a write, or if another client writes to the store; a repetition continues.
pub(crate) async fn converge(
    store: &Store,
    groups: &[String],
    entries: &[Entry],
    described: &DescribeResponse,
) -> Result<Changes> {
    let stored = Content::of_store(store, groups).await?;
    let mut changes = Changes::default();
    let ops = ops(&stored, entries, &mut changes);
    let limits = described.limits.unwrap_or_default();
    let most = usize::try_from(limits.write_ops.max(MIN_WRITE_OPS)).unwrap_or(usize::MAX);
    let bytes = usize::try_from(limits.write_bytes.max(MIN_WRITE_BYTES)).unwrap_or(usize::MAX);
    for batch in batches(ops, most, bytes) {
        write(store, batch).await?;
    }
    Ok(changes)
}

/// Returns the operations, deletes first: a replaced object is deleted before its successor is
/// created.
fn ops(stored: &Content, entries: &[Entry], changes: &mut Changes) -> Vec<Op> {
    let wanted: BTreeSet<Path> = entries.iter().map(|entry| path(&entry.key())).collect();
    let mut ops = Vec::new();
    for (path, item) in &stored.0 {
        if !wanted.contains(path) {
            ops.push(delete(path, item));
            changes.deleted += 1;
        }
    }
    let mut puts = Vec::new();
    for entry in entries {
        match stored.0.get(&path(&entry.key())) {
            Some(item) if item.hash == entry.hash => {}
            Some(item) if item.uid == entry.uid() => {
                puts.push(put(&entry.record, Action::Update, item.revision));
                changes.updated += 1;
            }
            Some(item) => {
                ops.push(delete(&path(&entry.key()), item));
                puts.push(put(&entry.record, Action::Create, 0));
                changes.deleted += 1;
                changes.created += 1;
            }
            None => {
                puts.push(put(&entry.record, Action::Create, 0));
                changes.created += 1;
            }
        }
    }
    ops.extend(puts);
    ops
}

fn put(record: &Record, action: Action, expected_revision: i64) -> Op {
    Op {
        key: record.key.clone(),
        action: action.into(),
        value: record.value.clone(),
        index: record.index.clone(),
        expected_revision,
        ..op()
    }
}

fn delete((group, resource, namespace, name): &Path, item: &Item) -> Op {
    Op {
        key: Some(Key {
            group: group.clone(),
            resource: resource.clone(),
            namespace: namespace.clone(),
            name: name.clone(),
        }),
        action: Action::Delete.into(),
        expected_revision: item.revision,
        ..op()
    }
}

fn op() -> Op {
    Op {
        actor: ACTOR.to_owned(),
        origin: Some(Origin {
            manager: ACTOR.to_owned(),
            verb: "import".to_owned(),
            subresource: String::new(),
        }),
        ..Op::default()
    }
}

/// Splits operations into calls within the limits of a driver.
fn batches(ops: Vec<Op>, most: usize, bytes: usize) -> Vec<Vec<Op>> {
    let mut batches: Vec<Vec<Op>> = Vec::new();
    let (mut size, mut deletes) = (0, 0);
    for op in ops {
        let is_delete = op.action == i32::from(Action::Delete);
        let fits = batches.last().is_some_and(|batch| {
            batch.len() < most && size + op.value.len() <= bytes && deletes < DELETES
        });
        if !fits {
            batches.push(Vec::new());
            (size, deletes) = (0, 0);
        }
        size += op.value.len();
        deletes += usize::from(is_delete);
        if let Some(batch) = batches.last_mut() {
            batch.push(op);
        }
    }
    batches
}

async fn write(store: &Store, ops: Vec<Op>) -> Result<()> {
    let keys: Vec<Key> = ops.iter().filter_map(|op| op.key.clone()).collect();
    let results = store.write(ops).await?;
    if results.len() != keys.len() {
        bail!(
            "{}: {} verdicts for {} writes",
            store.address,
            results.len(),
            keys.len()
        );
    }
    for (key, result) in keys.iter().zip(results) {
        match result.verdict {
            Some(Verdict::Applied(_)) => {}
            Some(Verdict::Conflict(_)) => bail!(
                "{}: another client has written {} meanwhile: stop it, and repeat the command",
                store.address,
                text(&path(key))
            ),
            Some(Verdict::Refused(error)) => {
                bail!("{}: {}: {}", store.address, key::text(key), error.message)
            }
            None => bail!("{}: {}: no verdict", store.address, key::text(key)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use backend_proto::v1::op::Action;
    use serde_json::json;

    use super::{Changes, batches, ops, put};
    use crate::crds::content::{Content, Item, path};
    use crate::crds::entry::Entry;
    use crate::crds::testing::kind;

    fn entry(name: &str, uid: &str, text: &str) -> Entry {
        let object = json!({"apiVersion": "g/v1", "kind": "R", "spec": {"text": text},
            "metadata": {"name": name, "uid": uid, "resourceVersion": "5"}});
        Entry::of(&kind(), object).expect("an entry")
    }

    #[test]
    fn differences_become_operations_that_expect_what_was_compared() {
        let before = [
            entry("same", "1", "a"),
            entry("changed", "2", "a"),
            entry("replaced", "3", "a"),
            entry("gone", "4", "a"),
        ];
        let stored = before.iter().zip(10..).map(|(entry, revision)| {
            let item = Item {
                uid: entry.uid().to_owned(),
                hash: entry.hash,
                revision,
            };
            (path(&entry.key()), item)
        });
        let stored = Content(stored.collect());
        let after = [
            entry("same", "1", "a"),
            entry("changed", "2", "b"),
            entry("replaced", "33", "a"),
            entry("new", "5", "a"),
        ];
        let mut changes = Changes::default();
        let ops = ops(&stored, &after, &mut changes);
        let shown: Vec<_> = ops
            .iter()
            .map(|op| {
                let name = op.key.as_ref().map(|key| key.name.as_str());
                (name.unwrap_or_default(), op.action(), op.expected_revision)
            })
            .collect();
        let expected = [
            ("gone", Action::Delete, 13),
            ("replaced", Action::Delete, 12),
            ("changed", Action::Update, 11),
            ("replaced", Action::Create, 0),
            ("new", Action::Create, 0),
        ];
        assert_eq!(shown, expected);
        assert_eq!(
            (changes.created, changes.updated, changes.deleted),
            (2, 1, 2)
        );
    }

    #[test]
    fn batches_respect_the_limits_of_a_driver() {
        let record = entry("a", "1", "text").record;
        let size = record.value.len();
        let five = vec![put(&record, Action::Create, 0); 5];
        let lengths = |most, bytes| -> Vec<usize> {
            let batches = batches(five.clone(), most, bytes);
            batches.iter().map(Vec::len).collect()
        };
        assert_eq!(lengths(2, usize::MAX), [2, 2, 1]);
        assert_eq!(lengths(100, 3 * size), [3, 2]);
        assert_eq!(lengths(100, 1), [1, 1, 1, 1, 1]);
    }
}
