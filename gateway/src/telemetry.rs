//! Metrics of requests, the registry of all metrics, and spans.

pub mod metrics;
pub mod trace;

pub use metrics::Metrics;
