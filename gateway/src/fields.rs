//! Field management: which manager owns which fields, recorded in `metadata.managedFields`.
//!
//! Every write passes [`FieldManagement`], except an apply, which merges by `apply`, and writes of
//! the scale, whose managers `scale` maps. All compute the managers of the new object from those of
//! the stored one. The steps are those of
//! `k8s.io/apimachinery/pkg/util/managedfields`, written one after the other instead of nested.

mod apply;
mod cap;
mod entries;
mod last_applied;
mod managed;
mod scale;
mod steps;
mod version;

use std::sync::Arc;

use api_types::status::ApiError;
use serde_json::Value;

use crate::admission::{Attributes, ManageFields};

pub(crate) use apply::{Config, apply};
pub(crate) use entries::{keep_times, keep_valid, managers};
pub(crate) use scale::{Replicas, apply as apply_scale, update as update_scale};

/// The step of field management in the admission chain.
#[derive(Clone, Copy, Debug, Default)]
pub struct FieldManagement;

impl ManageFields for FieldManagement {
    fn manage(
        &self,
        attributes: &Attributes<'_>,
        old: Option<&Arc<Value>>,
        new: &mut Value,
    ) -> Result<(), ApiError> {
        steps::update(attributes, old, new);
        Ok(())
    }
}
