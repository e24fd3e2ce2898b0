//! Access to a kube-apiserver without typed objects: kubeconfig files, and requests whose bodies
//! are bytes or JSON.
//!
//! This crate knows no resources, does not retry, and does not watch.

pub mod client;
pub mod kubeconfig;

pub use client::Client;
pub use kubeconfig::Kubeconfig;

/// Error of a request or a kubeconfig; the message is for operators.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Path of the file.
        path: String,
        /// Cause of the failure.
        source: std::io::Error,
    },
    /// The kubeconfig is malformed or uses an unsupported feature.
    #[error("kubeconfig: {0}")]
    Kubeconfig(String),
    /// The certificates are invalid.
    #[error("the kubeconfig's certificates cannot be used: {0}")]
    Certificates(String),
    /// The request is malformed.
    #[error("{0}")]
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
    Answer(#[from] serde_json::Error),
}
