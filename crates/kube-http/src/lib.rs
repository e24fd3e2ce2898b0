//! Access to a kube-apiserver without typed objects: kubeconfig files, and requests whose bodies
//! are bytes or JSON.
//!
//! This crate knows no resources, does not retry, and does not watch.

pub mod client;
pub mod kubeconfig;

pub use client::Client;
pub use kubeconfig::Kubeconfig;

/// Error of a request or a kubeconfig; the message is for operators. It contains the cause, which is
/// therefore not its source: a report of the whole chain would print it twice.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or written.
    #[error("{path}: {reason}")]
    File {
        /// Path of the file.
        path: String,
        /// Cause of the failure.
        reason: std::io::Error,
    },
    /// The kubeconfig is malformed or uses an unsupported feature.
    #[error("kubeconfig: {0}")]
    Kubeconfig(String),
    /// The certificates are invalid.
    #[error("the kubeconfig's certificates cannot be used: {0}")]
    Certificates(String),
    /// The request is malformed.
    #[error(transparent)]
    Request(#[from] http::Error),
    /// The server is unreachable, or disconnected.
    #[error("cannot reach {server}: {reason}")]
    Unreachable {
        /// Address of the server.
        server: String,
        /// Cause of the failure.
        reason: String,
    },
    /// The server sent nothing within the timeout.
    #[error("no response from {server} within {seconds} s")]
    Silent {
        /// Address of the server.
        server: String,
        /// Timeout in seconds.
        seconds: u64,
    },
    /// The response is not JSON.
    #[error("the response is not JSON: {0}")]
    Answer(String),
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::Answer(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;
    use std::path::Path;

    use super::{Error, Kubeconfig};

    #[test]
    fn message_of_an_error_does_not_occur_in_its_source() {
        let file = Kubeconfig::load(Path::new("/nonexistent/kubeconfig")).expect_err("no file");
        let request = http::Request::get("http://[").body(()).expect_err("no URI");
        let answer = serde_json::from_str::<bool>("{").expect_err("no JSON");
        for error in [file, Error::from(request), Error::from(answer)] {
            let (message, source) = (error.to_string(), error.source().map(ToString::to_string));
            let repeated = source.is_some_and(|source| message.contains(&source));
            assert!(!repeated, "{message}");
        }
    }
}
