//! Audit events: which request has which, and what happens if a backend fails.

mod backends;
mod events;
mod receiver;
pub(crate) mod server;
