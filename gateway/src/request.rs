//! Properties of a request that are known before a handler runs.

pub mod annotations;
pub mod context;
pub mod deadline;
pub(crate) mod id;
pub mod probe;
pub mod recording;
pub mod user;
pub mod warnings;

pub use annotations::Annotations;
pub use context::Context;
pub use recording::Recording;
pub use user::User;
pub use warnings::Warnings;
