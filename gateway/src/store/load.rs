//! Converts stored records to objects.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use api_types::revision::Revision;
use arc_swap::ArcSwap;
use bytes::Bytes;
use parking_lot::Mutex;
use watch_cache::Change;

use crate::backend;
use crate::backend::ChangeKind;
use crate::store::{
    Codec, DecodeError, Head, Labels, ObjectKey, Renderings, ResourceId, Stored,
    set_resource_version,
};

/// Bytes of values that one thread decodes at a time; less is not worth another thread.
const THREAD_BYTES: usize = 64 << 10;
/// Largest number of shared keys, so that clients cannot grow the table without bound.
const INTERNED: usize = 4096;

/// Converts records to objects.
pub(super) struct Loader {
    codec: ArcSwap<Arc<dyn Codec>>,
    interned: Mutex<HashSet<Arc<str>>>,
    /// Whether an undecodable record was ever read: only then lists check for one.
    met_unreadable: AtomicBool,
}

/// A change of one resource.
pub(super) type Loaded = (ResourceId, Change<Stored>);

impl Loader {
    pub(super) fn new(codec: Arc<dyn Codec>) -> Self {
        Self {
            codec: ArcSwap::from_pointee(codec),
            interned: Mutex::default(),
            met_unreadable: AtomicBool::new(false),
        }
    }

    pub(super) fn codec(&self) -> Arc<dyn Codec> {
        Arc::clone(&self.codec.load())
    }

    pub(super) fn replace_codec(&self, codec: Arc<dyn Codec>) {
        self.codec.store(Arc::new(codec));
    }

    /// Whether any record could not be decoded so far.
    pub(super) fn met_unreadable(&self) -> bool {
        self.met_unreadable.load(Ordering::Acquire)
    }

    /// Converts one record. An undecodable record becomes an object that carries the error: it must
    /// neither look like a missing object nor affect other objects.
    pub(super) fn object(&self, resource: &ResourceId, record: &backend::Record) -> Stored {
        self.read(resource, record).unwrap_or_else(|error| {
            self.met_unreadable.store(true, Ordering::Release);
            unreadable(resource, record, &error)
        })
    }

    fn read(&self, resource: &ResourceId, record: &backend::Record) -> Result<Stored, DecodeError> {
        if !record.unreadable.is_empty() {
            return Err(DecodeError(record.unreadable.clone()));
        }
        let decoded = self.codec.load().decode(resource, &record.value)?;
        let value = decoded.value.as_ref().unwrap_or(&record.value);
        let bytes = set_resource_version(value, record.revision)
            .ok_or_else(|| DecodeError("not a JSON object with metadata".to_owned()))?;
        let revision = Revision::new(record.revision)
            .ok_or_else(|| DecodeError("stored without a revision".to_owned()))?;
        let Head {
            uid,
            labels,
            fields,
            deleting,
        } = decoded.head;
        Ok(Stored {
            key: ObjectKey::new(&record.name.namespace, &record.name.name),
            revision,
            uid: uid.into(),
            labels: self.labels(labels),
            fields: self.labels(fields),
            deleting,
            unreadable: None,
            bytes: Bytes::from(bytes),
            renderings: Renderings::default(),
        })
    }

    /// Objects of one resource, in the order of the records.
    pub(super) fn objects(
        &self,
        resource: &ResourceId,
        records: &[backend::Record],
    ) -> Vec<Arc<Stored>> {
        let load = |record| Arc::new(self.object(resource, record));
        records.iter().map(load).collect()
    }

    /// Changes of the given resources, in order; others are skipped. Large batches are decoded on
    /// several threads.
    pub(super) async fn changes(
        self: &Arc<Self>,
        resources: &Arc<[ResourceId]>,
        changes: Vec<backend::Change>,
    ) -> Vec<Loaded> {
        let bytes: usize = changes.iter().map(|change| change.record.value.len()).sum();
        if bytes <= THREAD_BYTES {
            return changes
                .iter()
                .filter_map(|it| self.change(resources, it))
                .collect();
        }
        let mut parts = Vec::new();
        let mut rest = changes;
        while !rest.is_empty() {
            let tail = rest.split_off(part_len(&rest));
            let (loader, resources) = (Arc::clone(self), Arc::clone(resources));
            parts.push(tokio::task::spawn_blocking(move || {
                rest.iter()
                    .filter_map(|it| loader.change(&resources, it))
                    .collect::<Vec<_>>()
            }));
            rest = tail;
        }
        let mut loaded = Vec::new();
        for part in parts {
            match part.await {
                Ok(part) => loaded.extend(part),
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        }
        loaded
    }

    fn change(&self, resources: &[ResourceId], change: &backend::Change) -> Option<Loaded> {
        let name = &change.record.name;
        let served = |id: &&ResourceId| id.resource() == name.resource && id.group() == name.group;
        let resource = resources.iter().find(served)?.clone();
        let loaded = match change.kind {
            ChangeKind::Delete => Change::Delete {
                key: ObjectKey::new(&name.namespace, &name.name)
                    .as_str()
                    .to_owned(),
                revision: change.revision,
            },
            ChangeKind::Put => Change::Put(Arc::new(self.object(&resource, &change.record))),
        };
        Some((resource, loaded))
    }

    fn labels(&self, pairs: Vec<(String, String)>) -> Labels {
        let mut pairs: Vec<(Arc<str>, Box<str>)> = pairs
            .into_iter()
            .map(|(key, value)| (self.intern(&key), value.into()))
            .collect();
        pairs.sort_unstable();
        Labels(pairs.into())
    }

    fn intern(&self, text: &str) -> Arc<str> {
        let mut interned = self.interned.lock();
        if let Some(known) = interned.get(text) {
            return Arc::clone(known);
        }
        let shared: Arc<str> = text.into();
        if interned.len() < INTERNED {
            interned.insert(Arc::clone(&shared));
        }
        shared
    }
}

/// Number of changes per thread.
fn part_len(changes: &[backend::Change]) -> usize {
    let mut bytes = 0;
    let within = |change: &&backend::Change| {
        bytes += change.record.value.len();
        bytes <= THREAD_BYTES
    };
    changes.iter().take_while(within).count().max(1)
}

/// The placeholder of an undecodable object.
fn unreadable(resource: &ResourceId, record: &backend::Record, error: &DecodeError) -> Stored {
    let key = ObjectKey::new(&record.name.namespace, &record.name.name);
    let revision = record.revision;
    tracing::error!(%resource, %key, revision, %error, "cannot decode stored object");
    let message = format!("the stored object {key} of {resource} cannot be read: {error}");
    Stored {
        key,
        // A record without a revision is a bug of the driver; the minimum never matches an expected
        // revision.
        revision: Revision::new(revision).unwrap_or(Revision::MIN),
        uid: Box::default(),
        labels: Labels::default(),
        fields: Labels::default(),
        deleting: false,
        unreadable: Some(message.into()),
        bytes: Bytes::new(),
        renderings: Renderings::default(),
    }
}

impl std::fmt::Debug for Loader {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Loader")
    }
}
