//! JSON and YAML exactly as Kubernetes API machinery reads and writes them.

mod duplicates;
mod object;
mod parse;
mod write;
pub mod yaml;

pub use object::{ObjectWriter, indent};
pub use parse::{MAX_DEPTH, Parsed, SyntaxError, parse};
pub use write::{to_vec, to_vec_pretty, write, write_float, write_string};
