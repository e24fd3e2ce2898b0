//! Options of requests, parsed from the query. The constructors validate, so every value is valid.
//!
//! Sources: conversions from URL values in `meta/v1` (a value that cannot be parsed is a 400) and
//! validation of `meta/v1` (a value that is not permitted is a 422).

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
    /// Parses a query.
    ///
    /// # Errors
    ///
    /// An unclassified 500 for a malformed `resourceVersion`, as in kube-apiserver.
    pub fn parse(query: &str) -> Result<Self, ApiError> {
        let query = Query::new(query);
        let resource_version = ResourceVersion::parse(query.text("resourceVersion"))
            .map_err(|error| ApiError::internal_plain(error.to_string()))?;
        Ok(Self { resource_version })
    }

    /// The minimum freshness of the object.
    #[must_use]
    pub const fn resource_version(self) -> ResourceVersion {
        self.resource_version
    }
}

/// The 422 for options that are not permitted.
fn check(kind: &str, errors: &[field::Error]) -> Result<(), ApiError> {
    if errors.is_empty() {
        return Ok(());
    }
    let kind = GroupKind::new("meta.k8s.io", kind);
    Err(ApiError::invalid(&kind, "", errors))
}

#[cfg(test)]
mod tests;
