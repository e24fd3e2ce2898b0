//! Reads through the whole chain, over a store and a fake backend; responses are compared byte by
//! byte.

mod server;

mod forms;
mod get;
mod heavy;
mod list;
mod protobuf;
mod watch;
