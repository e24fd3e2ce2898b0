//! JSON and YAML exactly as Kubernetes API machinery reads and writes them.

mod duplicates;
mod error;
mod indent;
mod kind;
mod members;
mod object;
mod parse;
mod splice;
#[cfg(test)]
mod testing;
mod weight;
mod write;
pub mod yaml;

pub use error::ParseError;
pub use indent::{Indenter, indent};
pub use kind::{go_type, json_kind};
pub use members::{Items, Members};
pub use object::ObjectWriter;
pub use parse::{MAX_DEPTH, Parsed, STACK_SIZE, parse, reparse};
pub use splice::set_within;
pub use weight::{Weight, estimate, member_memory, memory_limit};
pub use write::{to_vec, to_vec_pretty, write, write_float, write_string};
