//! What can go wrong, and how it is told to callers.

use std::path::PathBuf;

use backend_proto::v1::BackendError;
use backend_proto::v1::backend_error::{Outcome, Reason};
use rusqlite::ErrorCode;
use sidecar::head::RevisionError;

/// Trouble with the store. A conflict of a write is a verdict, not an error.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The revision asked for cannot be read.
    #[error(transparent)]
    Revision(#[from] RevisionError),
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
            Error::Revision(error) => return (*error).into(),
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
        if matches!(
            error,
            Error::Overloaded | Error::Fenced(_) | Error::Importing
        ) {
            told.retry_after_ms = 1000;
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
