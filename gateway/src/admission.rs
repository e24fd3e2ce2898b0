//! Admission: steps that may change or reject a write independently of the schema.
//!
//! [`Chain`] holds the steps in kube-apiserver's order. A new step changes [`chain`] only. The
//! write pipeline calls the chain; see `registry/pipeline.rs`.

pub mod attributes;
pub mod chain;
pub mod metrics;
pub mod namespace_lifecycle;
pub mod webhook;

pub use attributes::{Attributes, Objects, Operation, Options};
pub use chain::{Chain, Gate, ManageFields, Mutate, Review};
pub use metrics::StepMetrics;
pub use namespace_lifecycle::NamespaceLifecycle;
pub use webhook::Webhooks;
