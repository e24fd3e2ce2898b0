//! Sockets, TLS and connections: everything below a single request.

pub mod listener;

mod backlog;
mod connection;
mod turns;

mod slots;

mod activity;

pub mod bounds;
pub mod descriptors;

mod protocols;
mod settings;
mod socket;

mod drainable_body;
mod host;
pub mod intake;

mod tasks;

pub mod lifecycle;
pub mod limits;
mod stall;

pub mod cert_reload;
pub mod certificate_metrics;
pub mod tls;
pub mod unsent;
mod websocket;

pub use bounds::Bounds;
pub use connection::Service;
pub use lifecycle::Lifecycle;
pub use limits::Limits;
pub use listener::Server;

#[cfg(test)]
mod tests;
