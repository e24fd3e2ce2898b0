//! Errors of the testkit.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// Lines of a log quoted in an error.
const QUOTED: usize = 12;

/// Result type of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Error of a server or of a tool.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A program is not installed.
    #[error("{program} not found (searched {looked}); {advice}")]
    Missing {
        /// Name of the program.
        program: &'static str,
        /// Directories that were searched.
        looked: String,
        /// How to install it.
        advice: String,
    },
    /// A system call failed.
    #[error("{doing}: {source}")]
    Io {
        /// Attempted operation.
        doing: String,
        /// Cause of the failure.
        source: std::io::Error,
    },
    /// A program ended with a failure.
    #[error("{program} failed: {output}")]
    Failed {
        /// The program and its purpose.
        program: String,
        /// The end of its output.
        output: String,
    },
    /// A wait reached its deadline.
    #[error("waited {waited:?} for {what}; {last}")]
    DeadlineExceeded {
        /// Awaited condition.
        what: String,
        /// Duration of the wait.
        waited: Duration,
        /// Last known state, such as the end of a log.
        last: String,
    },
    /// A server ended by itself.
    #[error("the server ended with {status}; its last lines:\n{log}")]
    Ended {
        /// Exit status of the server.
        status: std::process::ExitStatus,
        /// The end of its log.
        log: String,
    },
    /// A server rejected a statement.
    #[error("{doing}: {}", server_message(source))]
    Sql {
        /// The statement or its purpose.
        doing: String,
        /// The server's error.
        source: tokio_postgres::Error,
    },
    /// The call is invalid in this state, such as starting a running server.
    #[error("{0}")]
    State(String),
}

// === impl Error ===

impl Error {
    /// For `map_err` on operations with files and processes.
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        |source| Self::Io { doing, source }
    }

    /// For `map_err` on operations with one path.
    pub(crate) fn at(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        Self::io(path.display().to_string())
    }

    /// For `map_err` on statements.
    pub(crate) fn sql(doing: impl Into<String>) -> impl FnOnce(tokio_postgres::Error) -> Self {
        let doing = doing.into();
        |source| Self::Sql { doing, source }
    }

    /// Whether a server ended because another process uses its port.
    pub(crate) fn is_port_taken(&self) -> bool {
        matches!(self, Self::Ended { log, .. } if log.contains("Address already in use"))
    }
}

/// Returns the server's message: the error itself displays as `db error` only.
fn server_message(error: &tokio_postgres::Error) -> String {
    error
        .as_db_error()
        .map_or_else(|| error.to_string(), ToString::to_string)
}

/// Returns the last lines of a text.
pub(crate) fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(QUOTED)..].join("\n")
}

/// Returns the last lines of a log file; empty if there is none.
pub(crate) fn tail_of(log: &PathBuf) -> String {
    tail(&String::from_utf8_lossy(
        &std::fs::read(log).unwrap_or_default(),
    ))
}
