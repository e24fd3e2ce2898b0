//! Reads through the handlers, over a store and a fake backend; responses are compared byte by
//! byte.

mod server;

mod forms;
mod get;
mod heavy;
mod list;
mod protobuf;
mod watch;
