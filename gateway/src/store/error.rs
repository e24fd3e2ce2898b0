//! Errors of the store.

use std::time::Duration;

use api_types::revision::Revision;

use crate::backend;
use crate::backend::{Outcome, Reason};
use crate::store::ResourceId;

/// `Retry-After` while the caches are loading: kube-apiserver's for an uninitialized watch cache.
const INITIALIZING_RETRY: Duration = Duration::from_secs(1);

/// `Retry-After` for an unavailable or overloaded backend, unless it advises another value.
const RETRY: Duration = Duration::from_secs(1);

/// `Retry-After` for a full disk: compaction frees space within seconds after objects are deleted.
const FULL_RETRY: Duration = Duration::from_secs(10);

/// Errors of reads, watches and writes. Unless a variant says otherwise, nothing was stored.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The revision is older than the history, or a watcher fell behind it. The client must list
    /// again.
    #[error("too old resource version: {requested} ({oldest})")]
    Compacted {
        /// The requested revision.
        requested: Revision,
        /// The oldest available revision.
        oldest: Revision,
    },
    /// The revision does not exist yet.
    #[error("Too large resource version: {requested}, current: {current}")]
    FutureRevision {
        /// The requested revision.
        requested: Revision,
        /// The newest revision.
        current: Revision,
        /// Whether a watch was to start there. The revision is from another store that this one
        /// replaced, so the client must list again instead of waiting.
        start_of_watch: bool,
    },
    /// The backend was restored or failed over, and commits may be missing: all earlier revisions
    /// are invalid. The client must list again.
    #[error("the storage backend changed its epoch")]
    EpochChanged,
    /// The backend does not respond or cannot be reached.
    #[error("storage is unavailable: {message}")]
    Unavailable {
        /// A sentence for operators.
        message: String,
        /// When to retry.
        retry_after: Duration,
    },
    /// A limit of the backend was reached.
    #[error("storage is overloaded")]
    Overloaded {
        /// When to retry.
        retry_after: Duration,
    },
    /// The disk or quota of the backend is full; deletes and reads are served.
    #[error("storage is out of space: {message}")]
    NoSpace {
        /// A sentence for operators.
        message: String,
        /// When to retry.
        retry_after: Duration,
    },
    /// The object exceeds the limit of the backend.
    #[error("object is too large for the storage backend: {message}")]
    TooLarge {
        /// A sentence with the limit.
        message: String,
    },
    /// A read exceeded its deadline.
    #[error("storage did not respond in time")]
    Timeout,
    /// The outcome of the change is unknown; it may have been stored.
    #[error("the outcome of the write is unknown: {message}")]
    OutcomeUnknown {
        /// The last error.
        message: String,
    },
    /// Stored data failed its integrity check; an operator must act.
    #[error("stored data is corrupt: {message}")]
    Corrupt {
        /// A sentence for operators.
        message: String,
    },
    /// A stored object cannot be decoded. It still exists: requests that would show it fail, and it
    /// can only be deleted.
    #[error("{message}; restore it from a backup, or delete it by its name")]
    Unreadable {
        /// The object and the cause.
        message: String,
        /// Its revision.
        revision: Revision,
    },
    /// The caches are being loaded at the start or after a change of the epoch.
    #[error("storage is (re)initializing")]
    Initializing {
        /// When to retry.
        retry_after: Duration,
    },
    /// The resource is not served, or no longer.
    #[error("resource {0} is not served")]
    UnknownResource(ResourceId),
    /// A bug of this program or of the driver.
    #[error("storage failed: {message}")]
    Internal {
        /// A sentence for operators.
        message: String,
    },
}

impl StoreError {
    /// The cache is not loaded yet.
    #[must_use]
    pub(crate) const fn initializing() -> Self {
        Self::Initializing {
            retry_after: INITIALIZING_RETRY,
        }
    }

    /// The backend is temporarily unavailable.
    pub(super) const fn unavailable(message: String) -> Self {
        Self::Unavailable {
            message,
            retry_after: RETRY,
        }
    }

    /// Converts the error of a read.
    pub(super) fn read(error: backend::Error) -> Self {
        match error.reason {
            Reason::Deadline => Self::Timeout,
            _ => Self::rejected(error),
        }
    }

    /// Converts the error of a write.
    pub(super) fn write(error: backend::Error) -> Self {
        match error.outcome {
            Outcome::Unknown => Self::OutcomeUnknown {
                message: error.message,
            },
            Outcome::NotApplied => Self::rejected(error),
        }
    }

    fn rejected(error: backend::Error) -> Self {
        let backend::Error {
            reason,
            message,
            retry_after,
            ..
        } = error;
        let advice = retry_after;
        let retry_after = advice.unwrap_or(RETRY);
        match reason {
            Reason::Overloaded => Self::Overloaded { retry_after },
            Reason::NoSpace => Self::NoSpace {
                message,
                retry_after: advice.unwrap_or(FULL_RETRY),
            },
            Reason::TooLarge => Self::TooLarge { message },
            Reason::Corrupt => Self::Corrupt { message },
            // The caches are being reloaded, or the driver is broken; a retry then succeeds.
            Reason::EpochChanged
            | Reason::NotReady
            | Reason::Retired
            | Reason::Unreachable
            | Reason::TooSlow
            | Reason::Deadline
            | Reason::Regressed
            | Reason::Incompatible
            | Reason::Broken
            // No call of a client names a revision.
            | Reason::Compacted
            | Reason::FutureRevision => Self::Unavailable {
                message,
                retry_after,
            },
            Reason::Unimplemented | Reason::Internal => Self::Internal { message },
        }
    }
}
