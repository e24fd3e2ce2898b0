//! Kinds that a server without a cluster has besides custom resources, such as Namespace.
//!
//! The gateway declares none: the program that builds a server hands them in. They are written as
//! CRD manifests, and differ from custom resources in the few ways that [`BuiltIn`] lists.

use api_types::protobuf::read::Field;
use api_types::status::ApiError;
use serde_json::Value;

use crate::request::User;

/// The group of a manifest that declares a kind of the core group, whose name is empty: a CRD must
/// have a group.
pub const CORE_GROUP: &str = "core.k8s.io";

/// A kind that is no custom resource.
#[derive(Clone, Copy, Debug, Default)]
pub struct BuiltIn {
    /// The CRD manifest; of the core group if its group is [`CORE_GROUP`].
    pub manifest: &'static str,
    /// The fields of bodies in protobuf, which custom resources do not have; empty for none.
    pub message: &'static [Field],
    /// Verbs in discovery; empty for those of custom resources.
    pub verbs: &'static [&'static str],
    /// Whose stored objects the kind shows; its own if `None`.
    pub view: Option<View>,
    /// Answers a create instead of storing its object.
    pub review: Option<Review>,
}

/// Objects of another kind under other names of top-level fields.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// Group of the stored objects; empty for the core group.
    pub group: &'static str,
    /// `apiVersion` of the stored objects, which have the same kind and plural name.
    pub api_version: &'static str,
    /// The fields with other names: that of the view, that of the stored object.
    pub fields: &'static [(&'static str, &'static str)],
}

/// Completes the object of a create, such as a SelfSubjectAccessReview, for its user.
pub type Review = fn(&User, &mut Value) -> Result<(), ApiError>;

impl View {
    /// Renames the fields of a stored object.
    pub(super) fn show(&self, object: &mut Value) {
        for (shown, stored) in self.fields {
            rename(object, stored, shown);
        }
    }

    /// Renames the fields of an object to those that are stored.
    pub(super) fn store(&self, object: &mut Value) {
        for (shown, stored) in self.fields {
            rename(object, shown, stored);
        }
        object["apiVersion"] = self.api_version.into();
    }
}

fn rename(object: &mut Value, from: &str, to: &str) {
    if let Value::Object(fields) = object
        && let Some(value) = fields.remove(from)
    {
        fields.insert(to.to_owned(), value);
    }
}
