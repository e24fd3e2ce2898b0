//! The vocabulary of the Kubernetes API, without input or output.

pub mod request_info;
pub mod revision;
