//! What the front of the server knows about one request before any handler sees it.

pub mod context;
pub mod deadline;
pub(crate) mod id;
pub mod probe;
pub mod user;
pub mod warnings;

pub use context::Context;
pub use user::User;
pub use warnings::Warnings;
