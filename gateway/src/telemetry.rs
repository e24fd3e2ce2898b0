//! Logs, metrics, and what a panic leaves behind.

pub mod logs;
pub mod metrics;

pub use metrics::Metrics;
