//! Tests of the start: schema, roles, TLS, and rejections with their messages.

mod clocks;
mod former;
mod libpq;
mod migrations;
mod names;
mod origins;
mod past;
mod program;
mod refusals;
mod room;
mod sql;
mod starting;
mod strings;
mod tls;
