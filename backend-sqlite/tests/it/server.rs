//! Tests of the driver process: its socket, and recovery from kills.

mod halfway;
mod kills;
mod moves;
mod program;
mod refusals;
mod space;
mod watches;
