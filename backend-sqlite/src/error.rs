//! Errors of the store, and their mapping to the protocol.

use std::path::{Path, PathBuf};

use backend_proto::v1::BackendError;
use backend_proto::v1::backend_error::{Outcome, Reason};
use rusqlite::ErrorCode;
use sidecar::head::{self, Exhausted, RevisionError};

/// Error of the store. A conflict of a write is a verdict, not an error.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The requested revision is not readable.
    #[error(transparent)]
    Revision(#[from] RevisionError),
    /// No revision is left for a change.
    #[error(transparent)]
    Exhausted(#[from] Exhausted),
    /// The row of `store` has numbers that no valid store has.
    #[error(transparent)]
    Head(#[from] head::Damaged),
    /// The row of `store` is older than the newest change.
    #[error(
        "the row of the table store is damaged: it has revision {revision}, and there are changes up \
         to {newest}: restore a backup"
    )]
    Behind {
        /// Revision in the row.
        revision: i64,
        /// Revision of the newest change.
        newest: i64,
    },
    /// The newest change of an object is missing in the log.
    #[error(
        "the object {key} is damaged: its change at revision {revision} is missing; restore a backup, \
         or delete its row of the table current, which gives the object up"
    )]
    Dangling {
        /// `resource.group namespace/name`.
        key: String,
        /// Revision of the missing row.
        revision: i64,
    },
    /// The tables do not match the schema version of the file.
    #[error(
        "the database says that it has schema version {version}, and its tables are others ({}): \
         restore a backup",
        describe(.source)
    )]
    NotOfItsVersion {
        /// Schema version in the file's header.
        version: usize,
        /// SQLite's error of the next migration.
        source: rusqlite::Error,
    },
    /// A stored value does not match its checksum.
    #[error("the stored value of {key} at revision {revision} fails its checksum")]
    CorruptValue {
        /// `resource.group namespace/name`.
        key: String,
        /// Revision of the damaged row.
        revision: i64,
    },
    /// The request is malformed, or invalid in the current state of the store.
    #[error("{0}")]
    Invalid(String),
    /// The store is fenced and rejects every write, for the given reason.
    #[error("{0}")]
    Fenced(String),
    /// An import in several calls is unfinished: the partial store must not be read or written.
    #[error("an import is unfinished: carry on with it, or discard it")]
    Importing,
    /// A queue of this process is full.
    #[error("too many requests wait for the database")]
    Overloaded,
    /// The store is closed, or its thread ended after a fatal error.
    #[error("the store is closed")]
    Closed,
    /// The disk or quota is full, even for a delete.
    #[error("the disk or quota of the database is full")]
    NoSpace,
    /// A flush failed: the state on disk is unknown.
    #[error("the outcome of a commit is not known: {}", describe(.0))]
    OutcomeUnknown(#[source] rusqlite::Error),
    /// SQLite rejected a statement; nothing was stored.
    #[error("{}", describe(.0))]
    Storage(#[from] rusqlite::Error),
    /// A page of the database is damaged and unreadable.
    #[error("{path} is damaged ({}): restore a backup", describe(.source), path = .path.display())]
    Damaged {
        /// Path of the database.
        path: PathBuf,
        /// SQLite's error.
        source: rusqlite::Error,
    },
    /// The content of the database contradicts itself.
    #[error("{path} is damaged ({problem}): restore a backup", path = .path.display())]
    Unsound {
        /// Path of the database.
        path: PathBuf,
        /// First contradiction found.
        problem: String,
    },
    /// Another driver has written to the database; nothing was stored.
    #[error(
        "another driver has written to the database, although this process holds its lock: stop \
         both, find out who removed the lock file, and start one"
    )]
    TakenOver,
    /// A file of the database was moved or removed; nothing was stored.
    #[error("{0}")]
    FileLost(String),
    /// A file of the database was lost during a commit.
    #[error("{0}")]
    FileLostMeanwhile(String),
    /// The database cannot be opened. The message names the file and the remedy.
    #[error("{path}: {problem}", path = .path.display())]
    Open {
        /// Path of the database, or of a file beside it.
        path: PathBuf,
        /// Problem and remedy.
        problem: String,
    },
}

impl Error {
    /// Whether the disk or the quota was full.
    pub(crate) fn is_full(&self) -> bool {
        match self {
            Self::NoSpace => true,
            Self::Storage(error) => no_room(error),
            _ => false,
        }
    }

    /// Whether the file is so damaged that nothing read from it can be trusted.
    pub(crate) fn is_fatal(&self) -> bool {
        match self {
            Self::OutcomeUnknown(_) | Self::TakenOver => true,
            Self::Storage(error) => is_damage(error),
            _ => false,
        }
    }

    /// Whether another program held a lock for too long.
    pub(crate) fn is_locked(&self) -> bool {
        matches!(self, Self::Storage(error) if is_locked(error))
    }

    /// Adds the path of the database if it is damaged.
    pub(crate) fn located(self, path: &Path) -> Self {
        match self {
            Self::Storage(source) if is_damage(&source) => Self::Damaged {
                path: path.to_owned(),
                source,
            },
            other => other,
        }
    }
}

/// Whether SQLite failed to read a damaged page.
pub(crate) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
    )
}

impl From<Error> for BackendError {
    fn from(error: Error) -> Self {
        let reason = match &error {
            Error::Revision(error) => return (*error).into(),
            Error::Exhausted(error) => return (*error).into(),
            Error::CorruptValue { .. }
            | Error::Head(_)
            | Error::Behind { .. }
            | Error::Dangling { .. }
            | Error::NotOfItsVersion { .. } => Reason::Corrupt,
            Error::Invalid(_) => Reason::Invalid,
            Error::Overloaded => Reason::Overloaded,
            Error::Closed
            | Error::Open { .. }
            | Error::Fenced(_)
            | Error::Importing
            | Error::FileLost(_)
            | Error::FileLostMeanwhile(_)
            | Error::TakenOver => Reason::NotReady,
            Error::Damaged { .. } | Error::Unsound { .. } => Reason::Corrupt,
            Error::NoSpace => Reason::NoSpace,
            Error::Storage(_) if error.is_full() => Reason::NoSpace,
            Error::Storage(_) if error.is_locked() => Reason::NotReady,
            Error::Storage(_) if error.is_fatal() => Reason::Corrupt,
            Error::OutcomeUnknown(_) | Error::Storage(_) => Reason::Internal,
        };
        let outcome = match &error {
            Error::OutcomeUnknown(_) | Error::FileLostMeanwhile(_) => Outcome::Unknown,
            _ => Outcome::NotApplied,
        };
        let locked = error.is_locked();
        let mut converted = Self {
            reason: reason.into(),
            outcome: outcome.into(),
            message: error.to_string(),
            ..Self::default()
        };
        if locked
            || matches!(
                error,
                Error::Overloaded | Error::Fenced(_) | Error::Importing | Error::FileLost(_)
            )
        {
            converted.retry_after_ms = 1000;
        }
        converted
    }
}

/// Returns SQLite's message without the statement.
pub(crate) fn describe(error: &rusqlite::Error) -> String {
    if is_locked(error) {
        return LOCKED.to_owned();
    }
    match error.sqlite_error() {
        Some(failure) if failure.extended_code == IOERR_WRITE => format!(
            "database: {failure}: look at the kernel's log for its disk, and at the limit of file sizes \
             (`ulimit -f`)"
        ),
        Some(failure) => format!("database: {failure}"),
        None => "database: unexpected content".to_owned(),
    }
}

/// Message while another program keeps the database locked.
const LOCKED: &str = "the database is locked by another program: end its transaction, or stop it";

/// Whether another program, such as the `sqlite3` shell, holds a lock that was needed.
pub(crate) fn is_locked(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::FileLockingProtocolFailed
        )
    )
}

/// Extended code: the system rejected a write, other than for a full disk.
const IOERR_WRITE: i32 = 10 | (3 << 8);

/// Extended code: the index of the write-ahead log cannot grow, which happens on a full disk.
const IOERR_SHMSIZE: i32 = 10 | (19 << 8);

/// Whether a statement failed because the disk is full. For a COMMIT use [`nothing_stored`].
pub(crate) fn no_room(error: &rusqlite::Error) -> bool {
    let extended = error.sqlite_extended_error_code();
    nothing_stored(error) || extended == Some(IOERR_SHMSIZE)
}

/// Whether a COMMIT failed because the disk is full, so that nothing of it is in the log.
pub(crate) fn nothing_stored(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DiskFull)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_system_write_names_places_to_check() {
        let failure = rusqlite::ffi::Error::new(IOERR_WRITE);
        let error = rusqlite::Error::SqliteFailure(failure, None);
        assert!(
            describe(&error).contains("ulimit -f"),
            "{}",
            describe(&error)
        );
    }
}
