//! The client of the Backend protocol. prost and tonic stop here.
//!
//! Three connections, so that a large list never delays a write or an event: one for unary calls,
//! one for the change stream, one for bulk lists. Every call has a deadline. Concurrent writes
//! share a call, and so do concurrent reads of the current revision.
//!
//! `Describe` is the first call on each connection; an incompatible driver is rejected. Requests of
//! clients reach a driver only after the objects of its store are loaded ([`Backend::admit`]).
//!
//! A response with a lower epoch, or with a lower revision than was known when the call began, is
//! rejected ([`Reason::Regressed`]).

mod key;
mod record;

mod error;
mod link;
mod requests;
mod revision_guard;

mod calls;
mod check;

mod list;
mod stream;

mod revision_reader;
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
