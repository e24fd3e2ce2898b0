//! Audit events of requests, as kube-apiserver's (audit.k8s.io/v1).
//!
//! [`Policy`] decides what is recorded of a request. A [`Trail`] accompanies the request, and
//! submits an event per stage to the backends: [`Log`](backend::log) and
//! [`Webhook`](backend::webhook). Each backend has a bounded queue and one task that empties it.
//! docs/adr/0028-audit-and-tracing.md states the bounds.

pub mod policy;

mod event;
mod json;
mod source;

mod auditor;
mod inner;
mod response;
mod trail;

pub mod backend;

mod metrics;
mod setup;

pub use auditor::{Auditor, Subject};
pub use backend::{Error, Options};
pub use policy::Policy;
pub use setup::{Backends, Writers};
pub use trail::{NotStored, Trail};
