//! Sockets, TLS and connections: everything between the wire and one request.

pub mod cert_reload;
mod connection;
mod leftover;
pub mod lifecycle;
pub mod limits;
pub mod listener;
pub mod tls;

pub use connection::Service;
pub use lifecycle::Lifecycle;
pub use limits::Limits;
pub use listener::Server;
