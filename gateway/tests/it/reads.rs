//! The read side at its border: requests over a store over a fake backend, answers to the byte.

mod server;

mod forms;
mod get;
mod heavy;
mod list;
mod protobuf;
mod watch;
