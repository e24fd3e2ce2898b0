//! Kinds of calls.

use std::fmt;

/// A kind of call, for errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Writes of writers.
    Write,
    /// Reads of writers and readers.
    Read,
    /// Lists.
    List,
    /// Watches.
    Watch,
}

// === impl Call ===

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Write => "write",
            Self::Read => "read",
            Self::List => "list",
            Self::Watch => "watch",
        })
    }
}
