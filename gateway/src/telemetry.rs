//! Logs, metrics and panic reports.

mod fields;
pub mod logs;
pub mod metrics;

pub use metrics::Metrics;
