//! The steps of admission, in order.

use std::fmt::Debug;
use std::sync::Arc;

use api_types::status::ApiError;
use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio::time::Instant;

use super::metrics::{Phase, StepMetrics};
use super::{Attributes, Objects, Operation};

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
    /// Whether the step concerns a write. Other writes do not wait for it.
    fn handles(&self, attributes: &Attributes<'_>) -> bool;

    /// Changes or rejects the new object; a delete has none. Returns whether the object changed, so
    /// that defaults are applied again.
    ///
    /// # Errors
    /// The rejection, as sent to the client.
    fn mutate<'a>(
        &'a self,
        attributes: &'a Attributes<'_>,
        old: Option<&'a Arc<Value>>,
        new: Option<&'a mut Value>,
    ) -> BoxFuture<'a, Result<bool, ApiError>>;
}

/// A step that may only reject the object.
pub trait Review: Send + Sync + Debug {
    /// Whether the step concerns a write. Other writes do not wait for it.
    fn handles(&self, attributes: &Attributes<'_>) -> bool;

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

/// All steps of a server. The default is empty.
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
    /// Measures both phases; none in tests of single steps.
    pub metrics: Option<StepMetrics>,
}

impl Chain {
    /// Whether [`Self::mutate`] has steps for a write.
    #[must_use]
    pub fn handles(&self, attributes: &Attributes<'_>) -> bool {
        let mut gates = self.gates.iter();
        self.mutates(attributes) || gates.any(|gate| gate.handles(attributes.operation))
    }

    /// Whether one of these steps may change the object.
    #[must_use]
    pub fn mutates(&self, attributes: &Attributes<'_>) -> bool {
        let mut steps = self.mutating.iter();
        steps.any(|step| step.handles(attributes))
    }

    /// Whether [`Self::review`] has steps for a write.
    #[must_use]
    pub fn reviews(&self, attributes: &Attributes<'_>) -> bool {
        let mut steps = self.validating.iter();
        steps.any(|step| step.handles(attributes))
    }

    /// Runs the gates and the mutating steps in order. Returns whether the object changed.
    ///
    /// # Errors
    /// The first rejection.
    pub async fn mutate(
        &self,
        attributes: &Attributes<'_>,
        old: Option<&Arc<Value>>,
        new: &mut Option<Value>,
    ) -> Result<bool, ApiError> {
        let steps = async {
            for gate in &self.gates {
                if gate.handles(attributes.operation) {
                    gate.admit(attributes, new.as_ref()).await?;
                }
            }
            let mut changed = false;
            for step in &self.mutating {
                if step.handles(attributes) {
                    changed |= step.mutate(attributes, old, new.as_mut()).await?;
                }
            }
            Ok(changed)
        };
        self.measured(Phase::Admit, attributes.operation, steps)
            .await
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
        let steps = async {
            for step in &self.validating {
                if step.handles(attributes) {
                    step.review(attributes, objects).await?;
                }
            }
            Ok(())
        };
        self.measured(Phase::Validate, attributes.operation, steps)
            .await
    }

    async fn measured<T>(
        &self,
        phase: Phase,
        operation: Operation,
        steps: impl Future<Output = Result<T, ApiError>>,
    ) -> Result<T, ApiError> {
        let Some(metrics) = &self.metrics else {
            return steps.await;
        };
        let began = Instant::now();
        let result = steps.await;
        metrics.observe(phase, operation, result.is_err(), began.elapsed());
        result
    }
}
