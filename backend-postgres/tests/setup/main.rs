//! Getting to serve: the schema, roles, TLS, and what the program refuses, in one sentence each.

mod former;
mod migrations;
mod names;
mod origins;
mod past;
mod program;
mod refusals;
mod room;
mod sql;
mod starting;
mod tls;
