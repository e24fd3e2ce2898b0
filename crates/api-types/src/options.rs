//! Options of requests, read from the query. What was read is valid: there is no other way to get
//! one.
//!
//! Sources: `meta/v1`'s conversions from URL values (a value that cannot be read is a 400) and its
//! validation (a value that is not permitted is a 422).

mod delete;
mod list;
mod query;
mod write;

pub use delete::{DeleteOptions, Preconditions, PropagationPolicy};
pub use list::{ListOptions, VersionMatch};
pub use write::{
    CreateOptions, FieldValidation, PatchOptions, UpdateOptions, default_field_manager,
};

use crate::field;
use crate::gvk::GroupKind;
use crate::resource_version::ResourceVersion;
use crate::status::ApiError;
use query::Query;

/// Options of reading one object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GetOptions {
    resource_version: ResourceVersion,
}

impl GetOptions {
    /// Reads a query.
    ///
    /// # Errors
    ///
    /// An unclassified 500 for a bad `resourceVersion`, as kube-apiserver answers.
    pub fn parse(query: &str) -> Result<Self, ApiError> {
        let query = Query::new(query);
        let resource_version = ResourceVersion::parse(query.text("resourceVersion"))
            .map_err(|error| ApiError::internal_plain(error.to_string()))?;
        Ok(Self { resource_version })
    }

    /// How fresh the object has to be.
    #[must_use]
    pub const fn resource_version(self) -> ResourceVersion {
        self.resource_version
    }
}

/// The 422 of options that are not permitted, or nothing.
fn check(kind: &str, errors: &[field::Error]) -> Result<(), ApiError> {
    if errors.is_empty() {
        return Ok(());
    }
    let kind = GroupKind::new("meta.k8s.io", kind);
    Err(ApiError::invalid(&kind, "", errors))
}

#[cfg(test)]
mod tests;
