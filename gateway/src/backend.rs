//! The client of the Backend protocol. prost and tonic stop here.
//!
//! Three connections, so that a large list never delays a write or an event: one for unary calls,
//! one for the change stream, one for bulk lists. Every call has a deadline. Writes and questions
//! for the current revision that arrive together travel together.
//!
//! A driver is described on each connection before anything else is asked on it, and rejected if it
//! is incompatible. Requests of clients reach it only once the objects of its store are loaded
//! ([`Backend::admit`]).
//!
//! A response of a lower epoch, or of a lower revision than was known when the call began, is
//! rejected ([`Reason::WentBack`]).

mod key;
mod record;

mod error;
mod link;
mod requests;
mod seen;

mod calls;
mod check;

mod list;
mod stream;

mod current;
mod writer;

mod client;

pub use backend_client::{Endpoint, Error as EndpointError, Tls};
pub use calls::Description;
pub(crate) use client::IdentityWatch;
pub use client::{Backend, BackendTasks};
pub use error::{Error, Outcome, Reason};
pub use key::{ObjectKey, ResourceId};
pub(crate) use list::LoadBudget;
pub use record::{Action, Cause, Change, Header, Index, Origin, Record, Verdict, WriteOp};
pub(crate) use stream::SILENCE_TIMEOUT;
pub use stream::{Batch, ChangeStream};
