//! Admission: steps that may change or reject a write for reasons that are not the schema's.
//!
//! [`Chain`] holds the steps in kube-apiserver's order. Adding a step is a change of [`chain`] alone.
//! The write pipeline calls them; see `registry/pipeline.rs`.

pub mod attributes;
pub mod chain;

pub use attributes::{Attributes, Objects, Operation, Options};
pub use chain::{Chain, ManageFields, Mutate, Review};
