//! What the command lines of all programs share: one style of usage errors, completions and manual
//! pages.

pub mod documents;
mod redact;
mod usage;

pub use documents::Documents;
pub use redact::redacted;
pub use usage::{Usage, parse};
