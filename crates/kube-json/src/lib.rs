//! JSON and YAML exactly as Kubernetes API machinery reads and writes them.

mod write;

pub use write::{to_vec, to_vec_pretty, write, write_float, write_string};
