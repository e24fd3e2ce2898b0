//! Errors of the store, and their mapping to the protocol.

use backend_proto::v1::BackendError;
use backend_proto::v1::backend_error::{Outcome, Reason};
use sidecar::head::{Damaged, Exhausted, RevisionError};
use tokio_postgres::error::{DbError, SqlState};

/// Error of the store. A conflict of a write is a verdict, not an error.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The requested revision is not readable.
    #[error(transparent)]
    Revision(#[from] RevisionError),
    /// No revision is left for a change.
    #[error(transparent)]
    Exhausted(#[from] Exhausted),
    /// The request is malformed, or invalid in the current state of the store.
    #[error("{0}")]
    Invalid(String),
    /// The store is fenced, with the given reason.
    #[error("{0}")]
    Fenced(String),
    /// An import into the store is unfinished.
    #[error("an import is unfinished: carry on with it, or discard it")]
    Importing,
    /// The lock of the store was not free in time.
    #[error("other writers held the store for too long")]
    Overloaded,
    /// The disk of the database is full.
    #[error("the disk of the database is full")]
    NoSpace,
    /// The database is unreachable or rejects writes; nothing was sent.
    #[error("database: {0}")]
    Unreachable(String),
    /// The connection was lost or timed out after something was sent.
    #[error("database: {0}")]
    Lost(String),
    /// The outcome of a commit could not be determined in time.
    #[error("the outcome of a commit is not known: {0}")]
    OutcomeUnknown(String),
    /// A table, a function or a column of the store is missing.
    #[error(
        "the database lacks a part of the store: {0}: restore a backup, or make an empty store \
         with `backend-postgres migrate`"
    )]
    SchemaDamaged(String),
    /// The database rejected a statement; nothing was stored.
    #[error("database: {message}")]
    Storage {
        /// SQLSTATE of the error.
        code: String,
        /// The server's message.
        message: String,
    },
    /// Stored data fails its checksum or is inconsistent.
    #[error("{0}")]
    Corrupt(String),
    /// The role lacks a privilege, which the server names.
    #[error(
        "database: {0}: `backend-postgres migrate --grant ROLE` gives a role what it needs to serve"
    )]
    Denied(String),
    /// The driver must not serve; the message says what to do.
    #[error("{0}")]
    Refused(String),
}

impl Error {
    /// Whether a retry on a new connection may succeed.
    pub(crate) fn is_outage(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Lost(_))
    }

    /// Whether the error lasts until an operator changes the database.
    pub(crate) const fn is_permanent(&self) -> bool {
        matches!(
            self,
            Self::Denied(_) | Self::SchemaDamaged(_) | Self::Refused(_)
        )
    }
}

impl From<Damaged> for Error {
    fn from(damaged: Damaged) -> Self {
        Self::Refused(damaged.to_string())
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(rejection) => refused(rejection),
            None => Self::Lost(describe(&error)),
        }
    }
}

/// Joins the messages of an error's source chain.
pub(crate) fn describe(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// A prepared statement was lost or is there twice: the connection does not lead to one session.
const POOLED: &str = "the address leads to a pooler that changes the session after each \
     transaction: add --pooler transaction";

/// SQLSTATE of PostgreSQL 17: transaction timeout.
const TRANSACTION_TIMEOUT: &str = "25P04";

/// Maps an error response of the server.
fn refused(rejection: &DbError) -> Error {
    let code = rejection.code();
    let message = rejection.message().to_owned();
    let gone = [
        &SqlState::ADMIN_SHUTDOWN,
        &SqlState::CRASH_SHUTDOWN,
        &SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
        &SqlState::IDLE_SESSION_TIMEOUT,
        &SqlState::from_code(TRANSACTION_TIMEOUT),
    ];
    let unreachable = [
        &SqlState::CANNOT_CONNECT_NOW,
        &SqlState::TOO_MANY_CONNECTIONS,
        &SqlState::READ_ONLY_SQL_TRANSACTION,
        &SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
    ];
    let missing = [
        &SqlState::UNDEFINED_TABLE,
        &SqlState::UNDEFINED_COLUMN,
        &SqlState::UNDEFINED_FUNCTION,
        &SqlState::INVALID_SCHEMA_NAME,
    ];
    let pooled = [
        &SqlState::INVALID_SQL_STATEMENT_NAME,
        &SqlState::DUPLICATE_PSTATEMENT,
    ];
    if gone.contains(&code) || code.code().starts_with("08") {
        Error::Lost(message)
    } else if unreachable.contains(&code) {
        Error::Unreachable(message)
    } else if missing.contains(&code) {
        Error::SchemaDamaged(message)
    } else if pooled.contains(&code) {
        Error::Refused(format!("database: {message}: {POOLED}"))
    } else if *code == SqlState::LOCK_NOT_AVAILABLE || *code == SqlState::QUERY_CANCELED {
        Error::Overloaded
    } else if *code == SqlState::DISK_FULL {
        Error::NoSpace
    } else if *code == SqlState::INSUFFICIENT_PRIVILEGE {
        Error::Denied(message)
    } else if code.code().starts_with("XX") || *code == SqlState::INDEX_CORRUPTED {
        Error::Corrupt(format!("database: {message}"))
    } else {
        Error::Storage {
            code: code.code().to_owned(),
            message,
        }
    }
}

impl From<Error> for BackendError {
    fn from(error: Error) -> Self {
        let reason = match &error {
            Error::Revision(error) => return (*error).into(),
            Error::Exhausted(error) => return (*error).into(),
            Error::Invalid(_) => Reason::Invalid,
            Error::Fenced(_)
            | Error::Importing
            | Error::Unreachable(_)
            | Error::Lost(_)
            | Error::OutcomeUnknown(_)
            | Error::Denied(_)
            | Error::SchemaDamaged(_)
            | Error::Refused(_) => Reason::NotReady,
            Error::Overloaded => Reason::Overloaded,
            Error::NoSpace => Reason::NoSpace,
            Error::Storage { .. } => Reason::Internal,
            Error::Corrupt(_) => Reason::Corrupt,
        };
        let outcome = match &error {
            Error::OutcomeUnknown(_) | Error::Lost(_) => Outcome::Unknown,
            _ => Outcome::NotApplied,
        };
        // Clients get the server's message only.
        if let Error::Storage { code, message } = &error {
            tracing::error!(code, "the database rejected a statement: {message}");
        }
        let mut converted = Self {
            reason: reason.into(),
            outcome: outcome.into(),
            message: error.to_string(),
            ..Self::default()
        };
        let passes = matches!(reason, Reason::NotReady | Reason::Overloaded);
        if passes && !error.is_permanent() {
            converted.retry_after_ms = 1000;
        }
        converted
    }
}
