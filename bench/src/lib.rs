//! Measurements of a server's cost: operations, latencies, CPU time and memory.
//!
//! The program `ark-bench` compares servers with them; `acceptance/checks` checks guarantees.

pub mod client;
pub mod compare;
pub mod kubeconfig;
pub mod measure;
pub mod objects;
pub mod processes;
pub mod target;

mod report;
