//! Attributes of a write that admission steps can read.
//!
//! Source: `k8s.io/apiserver/pkg/admission.Attributes`.

use std::sync::Arc;

use api_types::options::{CreateOptions, DeleteOptions, PatchOptions, UpdateOptions};
use serde_json::Value;
use tokio::time::Instant;

use crate::request::{Annotations, User, Warnings};
use crate::resources::Served;

/// Attributes that do not change while a write is processed.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a> {
    /// `CREATE`, `UPDATE` or `DELETE`.
    pub operation: Operation,
    /// Verb of the request. A patch is an update with another verb.
    pub verb: &'a str,
    /// The resource in the version of the request.
    pub served: &'a Served,
    /// `status`, `scale` or empty.
    pub subresource: &'a str,
    /// Empty for cluster-scoped objects.
    pub namespace: &'a str,
    /// Empty for a create whose object has no name yet (generateName).
    pub name: &'a str,
    /// The user who sent the request.
    pub user: &'a User,
    /// The options of the request.
    pub options: Options<'a>,
    /// Whether the write is a dry run. Steps must then have no side effects.
    pub dry_run: bool,
    /// The field manager of the request, or the default from its user agent.
    pub field_manager: &'a str,
    /// Deadline of the request; none for a caller that waits itself.
    pub deadline: Option<Instant>,
    /// Collects warnings for the client.
    pub warnings: &'a Warnings,
    /// Collects annotations for the audit event.
    pub annotations: &'a Annotations,
}

/// The object before and after the write, in the version of the request. Shared, so that a step may
/// encode it on the pool.
#[derive(Clone, Copy, Debug)]
pub struct Objects<'a> {
    /// None for a create.
    pub old: Option<&'a Arc<Value>>,
    /// None for a delete.
    pub new: Option<&'a Arc<Value>>,
}

/// Operation of a write, as admission webhooks name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A new object.
    Create,
    /// A change of an object, by update, patch or apply.
    Update,
    /// A deletion, including one that finalizers delay.
    Delete,
}

impl Operation {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
        }
    }
}

/// The options of the request.
#[derive(Clone, Copy, Debug)]
pub enum Options<'a> {
    /// `CreateOptions`.
    Create(&'a CreateOptions),
    /// `UpdateOptions`.
    Update(&'a UpdateOptions),
    /// `PatchOptions`.
    Patch(&'a PatchOptions),
    /// `DeleteOptions`.
    Delete(&'a DeleteOptions),
}
