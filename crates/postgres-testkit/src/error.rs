//! What can go wrong with a server that a test wants.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// Lines of a log that a complaint quotes.
const QUOTED: usize = 12;

/// Result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why there is no server, or not in the state that was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A program is not on this machine.
    #[error("{program} is not here (looked in {looked}); {advice}")]
    Missing {
        /// Its name.
        program: &'static str,
        /// Where it was looked for.
        looked: String,
        /// What to do.
        advice: String,
    },
    /// The operating system refused something.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A program ended with a failure.
    #[error("{program} failed: {said}")]
    Failed {
        /// The program and what it was for.
        program: String,
        /// The end of what it printed.
        said: String,
    },
    /// Something did not happen in time.
    #[error("waited {waited:?} for {what}; {last}")]
    Late {
        /// What was waited for.
        what: String,
        /// How long.
        waited: Duration,
        /// The last that was known, such as the end of a log.
        last: String,
    },
    /// A server ended by itself.
    #[error("the server ended with {status}; its last lines:\n{log}")]
    Ended {
        /// Its exit status.
        status: std::process::ExitStatus,
        /// The end of its log.
        log: String,
    },
    /// A server refused a statement.
    #[error("{doing}: {}", told(source))]
    Sql {
        /// The statement, or what it was for.
        doing: String,
        /// Why not.
        source: tokio_postgres::Error,
    },
    /// The call does not fit the state, such as starting what runs.
    #[error("{0}")]
    State(String),
}

// === impl Error ===

impl Error {
    /// For `map_err` on operations on files and processes.
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        |source| Self::Io { doing, source }
    }

    /// For `map_err` on operations on one path.
    pub(crate) fn at(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        Self::io(path.display().to_string())
    }

    /// For `map_err` on statements.
    pub(crate) fn sql(doing: impl Into<String>) -> impl FnOnce(tokio_postgres::Error) -> Self {
        let doing = doing.into();
        |source| Self::Sql { doing, source }
    }

    /// Whether a server ended because somebody else has its port.
    pub(crate) fn is_port_taken(&self) -> bool {
        matches!(self, Self::Ended { log, .. } if log.contains("Address already in use"))
    }
}

/// A server's error prints as `db error` unless one asks for the cause.
fn told(error: &tokio_postgres::Error) -> String {
    error
        .as_db_error()
        .map_or_else(|| error.to_string(), ToString::to_string)
}

/// The last lines of a text.
pub(crate) fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(QUOTED)..].join("\n")
}

/// The last lines of a log file; empty if there is none.
pub(crate) fn tail_of(log: &PathBuf) -> String {
    tail(&String::from_utf8_lossy(
        &std::fs::read(log).unwrap_or_default(),
    ))
}
