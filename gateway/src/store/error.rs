//! Why the store did not do as asked.

use std::time::Duration;

use api_types::revision::Revision;

use crate::backend;
use crate::backend::{Outcome, Reason};
use crate::store::ResourceId;

/// How long a client should wait before it asks an initializing store again (semantics 6.8.6).
const INITIALIZING_RETRY: Duration = Duration::from_secs(1);

/// When to try an unavailable or overloaded backend again, unless it advises otherwise.
const RETRY: Duration = Duration::from_secs(1);

/// When to write to a full disk again: history is dropped and space taken back within seconds, once
/// objects are deleted.
const FULL_RETRY: Duration = Duration::from_secs(10);

/// Failures of reads, watches and writes. Unless a variant says otherwise, nothing was stored.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The revision is older than what is held (for a watch also: the watcher fell behind what
    /// is held). Listing again helps.
    #[error("too old resource version: {requested} ({oldest})")]
    Compacted {
        /// The revision asked for.
        requested: u64,
        /// The oldest revision that can be had.
        oldest: u64,
    },
    /// The revision does not exist yet.
    #[error("Too large resource version: {requested}, current: {current}")]
    FutureRevision {
        /// The revision asked for.
        requested: u64,
        /// The newest revision.
        current: u64,
        /// A watch was to start there. Its client has the revision from a store that this one took
        /// the place of: waiting does not help, listing again does.
        start_of_watch: bool,
    },
    /// The backend was restored or failed over, commits may be missing: every revision known so
    /// far is void. Listing again helps.
    #[error("the storage backend changed its epoch")]
    EpochChanged,
    /// The backend does not answer or cannot be reached.
    #[error("storage is unavailable: {message}")]
    Unavailable {
        /// One sentence for an operator.
        message: String,
        /// When to try again.
        retry_after: Duration,
    },
    /// A bound of the backend was reached.
    #[error("storage is overloaded")]
    Overloaded {
        /// When to try again.
        retry_after: Duration,
    },
    /// The backend's disk or quota is full; deletes and reads are served.
    #[error("storage is out of space: {message}")]
    NoSpace {
        /// One sentence for an operator.
        message: String,
        /// When to try again.
        retry_after: Duration,
    },
    /// The object is above the backend's limit.
    #[error("object is too large for the storage backend: {message}")]
    TooLarge {
        /// One sentence with the limit.
        message: String,
    },
    /// A read took longer than its deadline.
    #[error("storage did not answer in time")]
    Timeout,
    /// It could not be learnt whether the change was stored; it may have been.
    #[error("the outcome of the write is unknown: {message}")]
    OutcomeUnknown {
        /// What happened last.
        message: String,
    },
    /// Stored data failed its checks; a person must look.
    #[error("stored data is corrupt: {message}")]
    Corrupt {
        /// One sentence for an operator.
        message: String,
    },
    /// One stored object cannot be read. It is there all the same: whoever would have to show it
    /// fails, and only its deletion helps.
    #[error("{message}; restore it from a backup, or delete it by its name")]
    Unreadable {
        /// Which one, and why.
        message: String,
        /// Its revision.
        revision: Revision,
    },
    /// The cache is being loaded for the first time, or again after an epoch change.
    #[error("storage is (re)initializing")]
    Initializing {
        /// When to try again.
        retry_after: Duration,
    },
    /// The resource is not served (any more).
    #[error("resource {0} is not served")]
    UnknownResource(ResourceId),
    /// A fault of this program or of the driver.
    #[error("storage failed: {message}")]
    Internal {
        /// One sentence for an operator.
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

    /// The backend gave a change or an answer no revision.
    pub(super) fn no_revision() -> Self {
        Self::Internal {
            message: "the storage backend named no revision".to_owned(),
        }
    }

    /// The backend cannot be used for now.
    pub(super) const fn unavailable(message: String) -> Self {
        Self::Unavailable {
            message,
            retry_after: RETRY,
        }
    }

    /// A failed read.
    pub(super) fn read(error: backend::Error) -> Self {
        match error.reason {
            Reason::Deadline => Self::Timeout,
            _ => Self::rejected(error),
        }
    }

    /// A failed write.
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
            Reason::Compacted { oldest } => Self::Compacted {
                requested: 0,
                oldest,
            },
            Reason::FutureRevision { current } => Self::FutureRevision {
                requested: 0,
                current,
                start_of_watch: false,
            },
            Reason::Overloaded => Self::Overloaded { retry_after },
            Reason::NoSpace => Self::NoSpace {
                message,
                retry_after: advice.unwrap_or(FULL_RETRY),
            },
            Reason::TooLarge => Self::TooLarge { message },
            Reason::Corrupt => Self::Corrupt { message },
            // Void caches are being loaded again; the same request will do then.
            Reason::EpochChanged
            | Reason::NotReady
            | Reason::Unreachable
            | Reason::TooSlow
            | Reason::Deadline
            | Reason::WentBack
            | Reason::Refused
            | Reason::Broken => Self::Unavailable {
                message,
                retry_after,
            },
            Reason::Unimplemented | Reason::Internal => Self::Internal { message },
        }
    }
}
