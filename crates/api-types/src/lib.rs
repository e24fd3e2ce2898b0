//! The vocabulary of the Kubernetes API, without input or output.

pub mod field;
pub mod go_text;
pub mod gvk;
pub mod request_info;
pub mod revision;
pub mod status;
