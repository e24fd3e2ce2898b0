//! Getting to serve: the schema, roles, TLS, and what the program refuses, in one sentence each.

mod migrations;
mod program;
mod refusals;
mod sql;
mod starting;
mod tls;
