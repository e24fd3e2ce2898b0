//! Errors of parsing.

/// Why a document cannot be parsed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The text is not JSON. The message is that of Go's `encoding/json`.
    #[error("{0}")]
    Syntax(String),
    /// The tree would need more memory than the limit; see [`parse`](crate::parse).
    #[error("the document takes more than {limit} bytes of memory")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
}
