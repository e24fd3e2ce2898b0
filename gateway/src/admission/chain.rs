//! The steps of admission, in order.

use std::fmt::Debug;

use api_types::status::ApiError;
use futures_util::future::BoxFuture;
use serde_json::Value;

use super::{Attributes, Objects};

/// Records who manages which field of an object; runs before mutating admission, as in
/// `k8s.io/apiserver/pkg/endpoints/handlers`.
pub trait ManageFields: Send + Sync + Debug {
    /// Updates `metadata.managedFields` of the new object.
    ///
    /// # Errors
    /// 409 if another manager owns an applied field.
    fn manage(
        &self,
        attributes: &Attributes<'_>,
        old: Option<&Value>,
        new: &mut Value,
    ) -> Result<(), ApiError>;
}

/// A step that may change the object.
pub trait Mutate: Send + Sync + Debug {
    /// Changes or rejects the new object; a delete has none.
    ///
    /// # Errors
    /// The rejection, as sent to the client.
    fn mutate<'a>(
        &'a self,
        attributes: &'a Attributes<'_>,
        old: Option<&'a Value>,
        new: Option<&'a mut Value>,
    ) -> BoxFuture<'a, Result<(), ApiError>>;
}

/// A step that may only reject the object.
pub trait Review: Send + Sync + Debug {
    /// Rejects the write or accepts it.
    ///
    /// # Errors
    /// The rejection, as sent to the client.
    fn review<'a>(
        &'a self,
        attributes: &'a Attributes<'_>,
        objects: Objects<'a>,
    ) -> BoxFuture<'a, Result<(), ApiError>>;
}

/// All steps of a server. The default is empty: admission webhooks are not implemented yet.
#[derive(Debug, Default)]
pub struct Chain {
    /// Field management.
    pub fields: Vec<Box<dyn ManageFields>>,
    /// Mutating admission.
    pub mutating: Vec<Box<dyn Mutate>>,
    /// Validating admission.
    pub validating: Vec<Box<dyn Review>>,
}

impl Chain {
    /// Runs the mutating steps in order.
    ///
    /// # Errors
    /// The first rejection.
    pub async fn mutate(
        &self,
        attributes: &Attributes<'_>,
        old: Option<&Value>,
        new: &mut Option<Value>,
    ) -> Result<(), ApiError> {
        for step in &self.mutating {
            step.mutate(attributes, old, new.as_mut()).await?;
        }
        Ok(())
    }

    /// Runs the validating steps in order.
    ///
    /// # Errors
    /// The first rejection.
    pub async fn review(
        &self,
        attributes: &Attributes<'_>,
        objects: Objects<'_>,
    ) -> Result<(), ApiError> {
        for step in &self.validating {
            step.review(attributes, objects).await?;
        }
        Ok(())
    }
}
