//! The steps of admission, in order.

use std::fmt::Debug;
use std::sync::Arc;

use api_types::status::ApiError;
use futures_util::future::BoxFuture;
use serde_json::Value;

use super::{Attributes, Objects, Operation};
use crate::resources::Served;

/// Records who manages which field of an object; runs before mutating admission, as in
/// `k8s.io/apiserver/pkg/endpoints/handlers`.
pub trait ManageFields: Send + Sync + Debug {
    /// Updates `metadata.managedFields` of the new object. The stored one is shared, so that a step
    /// need not copy it.
    ///
    /// # Errors
    /// 409 if another manager owns an applied field.
    fn manage(
        &self,
        attributes: &Attributes<'_>,
        old: Option<&Arc<Value>>,
        new: &mut Value,
    ) -> Result<(), ApiError>;
}

/// A step of mutating admission that only rejects, and that runs before all others. Unlike a
/// [`Mutate`] step it does not cause defaults to be applied again.
pub trait Gate: Send + Sync + Debug {
    /// Whether the step concerns an operation. Other writes do not wait for it.
    fn handles(&self, operation: Operation) -> bool;

    /// Rejects the write or lets it pass; a delete has no new object.
    ///
    /// # Errors
    /// The rejection, as sent to the client.
    fn admit<'a>(
        &'a self,
        attributes: &'a Attributes<'_>,
        new: Option<&'a Value>,
    ) -> BoxFuture<'a, Result<(), ApiError>>;
}

/// A step that may change the object.
pub trait Mutate: Send + Sync + Debug {
    /// Whether the step concerns an operation on a kind. Defaults are applied again only to objects
    /// that a step concerns.
    fn handles(&self, served: &Served, operation: Operation) -> bool;

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
    /// Steps before mutating admission.
    pub gates: Vec<Box<dyn Gate>>,
    /// Mutating admission.
    pub mutating: Vec<Box<dyn Mutate>>,
    /// Validating admission.
    pub validating: Vec<Box<dyn Review>>,
}

impl Chain {
    /// Whether [`Self::mutate`] has steps for an operation on a kind.
    #[must_use]
    pub fn handles(&self, served: &Served, operation: Operation) -> bool {
        let mut gates = self.gates.iter();
        self.changes(served, operation) || gates.any(|gate| gate.handles(operation))
    }

    /// Whether one of these steps may change the object.
    #[must_use]
    pub fn changes(&self, served: &Served, operation: Operation) -> bool {
        let mut steps = self.mutating.iter();
        steps.any(|step| step.handles(served, operation))
    }

    /// Runs the gates and the mutating steps in order.
    ///
    /// # Errors
    /// The first rejection.
    pub async fn mutate(
        &self,
        attributes: &Attributes<'_>,
        old: Option<&Value>,
        new: &mut Option<Value>,
    ) -> Result<(), ApiError> {
        for gate in &self.gates {
            if gate.handles(attributes.operation) {
                gate.admit(attributes, new.as_ref()).await?;
            }
        }
        for step in &self.mutating {
            if step.handles(attributes.served, attributes.operation) {
                step.mutate(attributes, old, new.as_mut()).await?;
            }
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
