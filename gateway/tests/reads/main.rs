//! The read side at its border: requests over a store over a fake backend, answers to the byte.

#[path = "../store/busy.rs"]
mod busy;
#[path = "../store/fake.rs"]
#[expect(dead_code, reason = "it can do more than is needed here")]
mod fake;
mod world;

mod forms;
mod get;
mod heavy;
mod list;
mod protobuf;
mod watch;
