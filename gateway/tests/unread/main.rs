//! Clients that do not read, do not send, or want too much at once, over real sockets.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests, too")]

mod answers;
mod seats;
mod world;
