//! Metrics as Prometheus reads them.
//!
//! [`Format`] negotiates and writes the two text formats, [`serve`] is a listener for them, and
//! [`register_process`] adds the `process_*` metrics that dashboards expect of every program.

mod format;
mod listener;
mod process;

pub use format::Format;
pub use listener::serve;
pub use process::register as register_process;
