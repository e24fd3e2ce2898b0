//! What the server does to an object around a write, whatever its schema: metadata it owns, rules
//! of names and labels, what a status update may touch, what a deletion waits for.
//!
//! Pure functions of objects; the registry decides when. Sources:
//! `k8s.io/apiserver/pkg/registry/rest`, `k8s.io/apimachinery/pkg/api/validation` and
//! `k8s.io/apiextensions-apiserver/pkg/registry/customresource`.

pub(crate) mod prepare;

pub(crate) mod validate;

pub(crate) mod metadata;
pub(crate) mod owners;

pub(crate) mod finalizers;
pub(crate) mod generate_name;

mod edit;

#[cfg(test)]
mod tests;
