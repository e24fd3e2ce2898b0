//! Clients that do not read, do not send, or request too much at once, over real sockets.

mod responses;
mod seats;
mod server;
