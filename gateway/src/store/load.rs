//! Converts stored records to objects.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use bytes::Bytes;
use parking_lot::Mutex;
use watch_cache::Change;

use crate::backend::{self, Record};
use crate::store::slot::{Slot, Unreadable};
use crate::store::{
    DecodeError, Decoder, EncodedCache, Head, Labels, ResourceId, Stored, set_resource_version,
};

/// Bytes of values that one thread decodes at a time; less is not worth another thread.
const THREAD_BYTES: usize = 64 << 10;
/// Largest number of shared keys, so that clients cannot grow the table without bound.
const INTERNED: usize = 4096;

/// Converts records to objects.
pub(super) struct Loader {
    decoder: ArcSwap<Arc<dyn Decoder>>,
    interned: Mutex<HashSet<Arc<str>>>,
    /// Whether an undecodable record was ever read: only then lists check for one.
    met_unreadable: AtomicBool,
}

/// A change of one resource.
pub(super) type Loaded = (ResourceId, Change<Slot>);

impl Loader {
    pub(super) fn new(decoder: Arc<dyn Decoder>) -> Self {
        Self {
            decoder: ArcSwap::from_pointee(decoder),
            interned: Mutex::default(),
            met_unreadable: AtomicBool::new(false),
        }
    }

    pub(super) fn decoder(&self) -> Arc<dyn Decoder> {
        Arc::clone(&self.decoder.load())
    }

    pub(super) fn replace_decoder(&self, decoder: Arc<dyn Decoder>) {
        self.decoder.store(Arc::new(decoder));
    }

    /// Whether any record could not be decoded so far.
    pub(super) fn met_unreadable(&self) -> bool {
        self.met_unreadable.load(Ordering::Acquire)
    }

    /// Converts one record. An undecodable record must neither look like a missing object nor
    /// affect other objects.
    pub(super) fn slot(&self, record: &Record) -> Slot {
        match self.read(record) {
            Ok(object) => Slot::Readable(Arc::new(object)),
            Err(error) => {
                self.met_unreadable.store(true, Ordering::Release);
                Slot::Unreadable(Arc::new(unreadable(record, &error)))
            }
        }
    }

    fn read(&self, record: &Record) -> Result<Stored, DecodeError> {
        let stored = record.value.as_ref();
        let stored = stored.map_err(|reason| DecodeError(reason.clone()))?;
        let decoded = self.decoder.load().decode(&record.resource, stored)?;
        let value = decoded.value.as_ref().unwrap_or(stored);
        let bytes = set_resource_version(value, record.revision)
            .ok_or_else(|| DecodeError("not a JSON object with metadata".to_owned()))?;
        let Head {
            uid,
            labels,
            fields,
            deleting,
        } = decoded.head;
        Ok(Stored {
            key: record.key.clone(),
            revision: record.revision,
            uid: uid.into(),
            labels: self.labels(labels),
            fields: self.labels(fields),
            deleting,
            bytes: Bytes::from(bytes),
            encodings: EncodedCache::default(),
        })
    }

    /// Converts records, in their order.
    pub(super) fn slots(&self, records: &[Record]) -> Vec<Slot> {
        records.iter().map(|record| self.slot(record)).collect()
    }

    /// Changes of the given resources, in order; others are skipped. Large batches are decoded on
    /// several threads.
    pub(super) async fn changes(
        self: &Arc<Self>,
        resources: &Arc<[ResourceId]>,
        changes: Vec<backend::Change>,
    ) -> Vec<Loaded> {
        let bytes: usize = changes.iter().map(backend::Change::size).sum();
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
        let resource = resources
            .iter()
            .find(|id| *id == change.resource())?
            .clone();
        let loaded = match change {
            backend::Change::Put(record) => Change::Put(self.slot(record)),
            backend::Change::Delete { key, revision, .. } => Change::Delete {
                key: key.as_str().to_owned(),
                revision: revision.get(),
            },
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
        bytes += change.size();
        bytes <= THREAD_BYTES
    };
    changes.iter().take_while(within).count().max(1)
}

/// The placeholder of an undecodable object.
fn unreadable(record: &Record, error: &DecodeError) -> Unreadable {
    let (resource, key, revision) = (&record.resource, &record.key, record.revision);
    tracing::error!(%resource, %key, %revision, %error, "cannot decode stored object");
    let message = format!("the stored object {key} of {resource} cannot be read: {error}");
    Unreadable {
        key: key.clone(),
        revision,
        message: message.into(),
    }
}

impl std::fmt::Debug for Loader {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Loader")
    }
}
