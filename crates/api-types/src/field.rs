//! Errors about one field of an object, with kube-apiserver's messages.
//!
//! Source of the messages: `k8s.io/apimachinery/pkg/util/validation/field`.

mod error;
mod errors;
mod path;

pub use error::{Error, ErrorType, Value, aggregate};
pub(crate) use errors::more;
pub use errors::{Errors, MAX_BYTES, Mark};
pub use path::Path;

#[cfg(test)]
mod tests;
