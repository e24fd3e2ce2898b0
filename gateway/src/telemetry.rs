//! Metrics of requests, and the registry of all metrics.

pub mod metrics;

pub use metrics::Metrics;
