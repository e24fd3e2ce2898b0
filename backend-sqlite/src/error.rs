//! What can go wrong, and how it is told to callers.

use std::path::PathBuf;

use backend_proto::v1::BackendError;
use backend_proto::v1::backend_error::{Outcome, Reason};
use rusqlite::ErrorCode;

/// Trouble with the store. A conflict of a write is a verdict, not an error.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The revision asked for is no longer retained.
    #[error("history up to revision {compact_revision} is gone")]
    Compacted {
        /// The current compact revision.
        compact_revision: i64,
    },
    /// The revision asked for does not exist yet.
    #[error("revision {asked} is above the current revision {current}")]
    Future {
        /// What the caller asked for.
        asked: i64,
        /// The newest committed revision.
        current: i64,
    },
    /// A stored value does not have the bytes that were written.
    #[error("the stored value of {key} at revision {revision} fails its checksum")]
    CorruptValue {
        /// `resource.group namespace/name`.
        key: String,
        /// Which row of the log.
        revision: i64,
    },
    /// The request is malformed, or does not fit the state of the store.
    #[error("{0}")]
    Invalid(String),
    /// Every write is refused, for the reason that was given with the fence.
    #[error("{0}")]
    Fenced(String),
    /// An import in several calls is unfinished: nobody may see, or change, half a store.
    #[error("an import is unfinished: carry on with it, or discard it")]
    Importing,
    /// A queue of this process is full.
    #[error("too many requests wait for the database")]
    Overloaded,
    /// The store was closed or its thread ended after a fatal error.
    #[error("the store is closed")]
    Closed,
    /// Disk or quota is full, and not even a delete could be stored.
    #[error("the disk or quota of the database is full")]
    NoSpace,
    /// A flush failed: what is on disk is not known.
    #[error("the outcome of a commit is not known: {}", describe(.0))]
    OutcomeUnknown(#[source] rusqlite::Error),
    /// The database refused a statement; nothing of it was kept.
    #[error("{}", describe(.0))]
    Storage(#[from] rusqlite::Error),
    /// The database cannot be opened. The sentence names the file and what to do.
    #[error("{path}: {problem}", path = .path.display())]
    Open {
        /// The database, or the file beside it, that cannot be used.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

impl Error {
    /// Whether the disk or the quota was full.
    pub(crate) fn is_full(&self) -> bool {
        match self {
            Self::NoSpace => true,
            Self::Storage(error) => error.sqlite_error_code() == Some(ErrorCode::DiskFull),
            _ => false,
        }
    }

    /// Whether the file is damaged so that nothing read from it can be trusted.
    pub(crate) fn is_fatal(&self) -> bool {
        match self {
            Self::OutcomeUnknown(_) => true,
            Self::Storage(error) => matches!(
                error.sqlite_error_code(),
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
            ),
            _ => false,
        }
    }
}

impl From<Error> for BackendError {
    fn from(error: Error) -> Self {
        let reason = match &error {
            Error::Compacted { .. } => Reason::Compacted,
            Error::Future { .. } => Reason::FutureRevision,
            Error::CorruptValue { .. } => Reason::Corrupt,
            Error::Invalid(_) => Reason::Invalid,
            Error::Overloaded => Reason::Overloaded,
            Error::Closed | Error::Open { .. } | Error::Fenced(_) | Error::Importing => {
                Reason::NotReady
            }
            Error::NoSpace => Reason::NoSpace,
            Error::Storage(_) if error.is_full() => Reason::NoSpace,
            Error::Storage(_) if error.is_fatal() => Reason::Corrupt,
            Error::OutcomeUnknown(_) | Error::Storage(_) => Reason::Internal,
        };
        let outcome = match &error {
            Error::OutcomeUnknown(_) => Outcome::Unknown,
            _ => Outcome::NotApplied,
        };
        let mut told = Self {
            reason: reason.into(),
            outcome: outcome.into(),
            message: error.to_string(),
            ..Self::default()
        };
        match error {
            Error::Compacted { compact_revision } => told.compact_revision = compact_revision,
            Error::Future { current, .. } => told.current_revision = current,
            Error::Overloaded | Error::Fenced(_) | Error::Importing => told.retry_after_ms = 1000,
            _ => {}
        }
        told
    }
}

/// SQLite's own words for a failure; never the statement.
pub(crate) fn describe(error: &rusqlite::Error) -> String {
    match error.sqlite_error() {
        Some(failure) => format!("database: {failure}"),
        None => "database: unexpected content".to_owned(),
    }
}
