//! Talking to a kube-apiserver without types of its objects: kubeconfig files, and requests whose
//! bodies are bytes or JSON.
//!
//! It knows no resources, retries nothing, and watches nothing.

pub mod client;
pub mod kubeconfig;

pub use client::Client;
pub use kubeconfig::Kubeconfig;

/// What went wrong, as a sentence for an operator.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which one.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The kubeconfig is malformed or asks for something that is not supported.
    #[error("kubeconfig: {0}")]
    Kubeconfig(String),
    /// The certificates do not fit.
    #[error("the kubeconfig's certificates cannot be used: {0}")]
    Certificates(String),
    /// The request cannot be made.
    #[error("{0}")]
    Request(#[from] http::Error),
    /// The server cannot be reached, or broke off.
    #[error("{server} cannot be reached: {reason}")]
    Unreachable {
        /// Its address.
        server: String,
        /// Why.
        reason: String,
    },
    /// The server is there and does not go on.
    #[error("{server} said nothing for {seconds} s")]
    Silent {
        /// Its address.
        server: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// The answer is not what was asked for.
    #[error("the answer is no JSON: {0}")]
    Answer(#[from] serde_json::Error),
}
