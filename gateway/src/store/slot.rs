//! The item of a cache under a key.

use std::sync::Arc;

use api_types::revision::Revision;
use watch_cache::{Attribute, Item};

use crate::store::{ObjectKey, StoreError, Stored};

/// A stored object, readable or not. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) enum Slot {
    /// The object.
    Readable(Arc<Stored>),
    /// A record that cannot be decoded. It stays in the cache, so that it is not reported as
    /// missing, and is never sent to clients.
    Unreadable(Arc<Unreadable>),
}

/// See [`Slot::Unreadable`].
#[derive(Debug)]
pub(super) struct Unreadable {
    pub(super) key: ObjectKey,
    pub(super) revision: Revision,
    /// The cause, as a sentence that names the object.
    pub(super) message: Box<str>,
}

/// A revision of the caches, which begin at a revision of the store.
pub(super) fn revision(number: u64) -> Revision {
    Revision::new(number).unwrap_or(Revision::MIN)
}

impl Slot {
    /// The object.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] if it cannot be decoded.
    pub(super) fn into_object(self) -> Result<Arc<Stored>, StoreError> {
        match self {
            Self::Readable(object) => Ok(object),
            Self::Unreadable(record) => Err(record.error()),
        }
    }

    /// The error of a record that cannot be decoded.
    pub(super) fn error(&self) -> Option<StoreError> {
        match self {
            Self::Readable(_) => None,
            Self::Unreadable(record) => Some(record.error()),
        }
    }
}

impl Unreadable {
    fn error(&self) -> StoreError {
        StoreError::Unreadable {
            message: self.message.clone().into(),
            revision: self.revision,
        }
    }
}

impl Item for Slot {
    fn key(&self) -> &str {
        match self {
            Self::Readable(object) => object.key().as_str(),
            Self::Unreadable(record) => record.key.as_str(),
        }
    }

    fn revision(&self) -> u64 {
        match self {
            Self::Readable(object) => object.revision().get(),
            Self::Unreadable(record) => record.revision.get(),
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::Readable(object) => object.size(),
            Self::Unreadable(record) => {
                size_of::<Unreadable>() + record.key.as_str().len() + record.message.len()
            }
        }
    }

    fn attributes(&self, visit: &mut dyn FnMut(Attribute, &str, &str)) {
        let Self::Readable(object) = self else { return };
        for (key, value) in object.labels().iter() {
            visit(Attribute::Label, key, value);
        }
        for (key, value) in object.fields().iter() {
            visit(Attribute::Field, key, value);
        }
    }

    fn undecodable(&self) -> bool {
        matches!(self, Self::Unreadable(_))
    }

    fn with_resource_version(&self, number: u64) -> Self {
        let revision = revision(number);
        match self {
            Self::Readable(object) => {
                Self::Readable(Arc::new(object.with_resource_version(revision)))
            }
            Self::Unreadable(record) => Self::Unreadable(Arc::new(Unreadable {
                key: record.key.clone(),
                revision,
                message: record.message.clone(),
            })),
        }
    }

    fn evict_encodings(&self) {
        if let Self::Readable(object) = self {
            object.encodings().cool();
        }
    }
}
