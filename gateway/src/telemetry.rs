//! Logs, metrics and panic reports.

pub mod logs;
pub mod metrics;

pub use metrics::Metrics;
