//! Sockets, TLS and connections: everything between the wire and one request.

pub mod cert_reload;
mod connection;
pub mod intake;
mod leftover;
pub mod lifecycle;
pub mod limits;
pub mod listener;
mod stall;
pub mod tls;
pub mod unsent;

pub use connection::Service;
pub use lifecycle::Lifecycle;
pub use limits::Limits;
pub use listener::Server;
