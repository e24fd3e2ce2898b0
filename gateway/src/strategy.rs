//! Rules of writes that do not depend on the schema: server-owned metadata, names and labels, the
//! scope of status updates, finalizers.
//!
//! Pure functions of objects; the registry calls them. Sources:
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
