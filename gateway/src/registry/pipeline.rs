//! The write pipeline: every step of every write, in order.

use std::sync::Arc;

use api_types::status::{ApiError, Reason};
use bytes::Bytes;

use super::live::{Current, Live};
use super::plan::Plan;
use super::stage::{Candidate, Change, Next, Validated};
use super::{Outcome, Registry, Target, Written};
use crate::admission::Operation;
use crate::compute::Run;
use crate::store::{Action, ObjectKey, WriteOp, WriteOutcome};

/// Runs a plan in a loop, until the stored revision is the one that the candidate was made from.
///
/// # Errors
/// Those of the plan; 404 or 409 if the object is not the intended one, 422 if the candidate is
/// invalid, 429 if too much heavy work is queued, 503 or 504 if the backend fails.
pub(super) async fn run<P: Plan>(
    registry: &Registry,
    target: &Target,
    plan: P,
) -> Result<Outcome, ApiError> {
    let plan = Arc::new(plan);
    // A conflict of a create is with a name, not with a concurrent writer, so it takes no turn.
    let mut turn = match plan.operation() {
        Operation::Create => None,
        Operation::Update | Operation::Delete => registry.turn_if_contended(target).await,
    };
    let mut live = match (plan.operation(), &turn) {
        (Operation::Create, _) => Live::absent(),
        (_, Some(turn)) if turn.waited => Live::fresh(registry, target).await?,
        (Operation::Update | Operation::Delete, _) => Live::cached(registry, target).await?,
    };
    let mut authorized = false;
    loop {
        if !authorized
            && matches!(live.current, Current::Absent)
            && let Some(authorization) = plan.creation()
        {
            authorization.await?;
            authorized = true;
        }
        let validated = match validated(registry, target, &plan, &live.current).await {
            Ok(validated) => validated,
            Err(error) if live.fresh || is_overload(&error) => return Err(error),
            Err(error) => {
                // The cache may be stale: a write is rejected only for a state read after the
                // request arrived.
                let fresh = Live::fresh(registry, target).await?;
                if fresh.current.revision() == live.current.revision() {
                    return Err(error);
                }
                live = fresh;
                continue;
            }
        };
        match commit(registry, target, &live.current, validated).await? {
            Ok(outcome) => return Ok(outcome),
            Err(conflict) => live = Live::from_conflict(conflict),
        }
        if turn.is_none() && plan.operation() != Operation::Create {
            let taken = registry.turn(target).await;
            if taken.waited {
                live = Live::fresh(registry, target).await?;
            }
            turn = Some(taken);
        }
    }
}

/// All steps before the commit. The steps between two awaits are one job of [`crate::compute`].
async fn validated<P: Plan>(
    registry: &Registry,
    target: &Target,
    plan: &Arc<P>,
    current: &Current,
) -> Result<Validated, ApiError> {
    let compute = registry.compute(target);
    let weight = plan.weight().max(current.weight());
    let chain = &registry.admission;

    // The plan's candidate for the stored object, and field management. An empty chain is applied
    // in the same job.
    let next = {
        let (chain, target) = (Arc::clone(chain), target.clone());
        let (plan, current) = (Arc::clone(plan), current.clone());
        let work = move |run: &Run| {
            Candidate::new(run, &chain, target, plan, current)?.proceed(run, &chain)
        };
        compute.run(weight, work).await??
    };
    // Mutating admission first, then defaults, metadata and schema, so that its changes are
    // validated.
    let next = match next {
        Next::Mutate(candidate) => {
            let admitted = candidate.into_inner().mutate(chain).await?;
            let chain = Arc::clone(chain);
            let work = move |run: &Run| admitted.proceed(run, &chain);
            compute.run_accepted(weight, work).await?
        }
        next => next,
    };
    // Validating admission receives the object as it will be stored.
    match next {
        Next::Review(checked) => {
            let reviewed = checked.into_inner().review(chain).await?;
            compute
                .run_accepted(weight, move |_: &Run| reviewed.encode())
                .await
        }
        Next::Write(validated) => Ok(validated),
        Next::Mutate(_) => Err(ApiError::internal("mutating admission was not passed")),
    }
}

/// Commits the change if the stored revision is the one it was made from. A conflict returns the
/// stored object.
async fn commit(
    registry: &Registry,
    target: &Target,
    current: &Current,
    validated: Validated,
) -> Result<Result<Outcome, Current>, ApiError> {
    let Validated {
        name,
        expected,
        change,
    } = validated;
    let key = ObjectKey::new(&target.namespace, &name);
    let created = matches!(change, Change::Create { .. });
    let (action, value, shown) = match change {
        Change::DryRun(outcome) if expected.is_some() => return Ok(Ok(outcome)),
        // The other operations have read the object from the backend.
        Change::DryRun(outcome) => return create_dry_run(registry, target, name, outcome).await,
        Change::Create { value, index } => {
            let create = Action::Create {
                value: value.clone(),
                index,
            };
            (create, value, None)
        }
        Change::Update {
            value,
            index,
            shown,
        } => {
            let update = Action::Update {
                value: value.clone(),
                index,
            };
            (update, value, shown.map(Shown::Bytes))
        }
        Change::Delete(outcome) => (Action::Delete, Bytes::new(), Some(Shown::Outcome(outcome))),
    };
    let op = WriteOp {
        resource: target.served.resource().id().clone(),
        key,
        action,
        expected,
        origin: target.origin(),
    };
    let revision = match registry.store.write(op).await {
        Ok(WriteOutcome::Applied { revision, .. }) => revision,
        Ok(WriteOutcome::Conflict { current, .. }) => return Ok(Err(Current::of(Ok(current))?)),
        Err(error) => return Ok(Err(Current::of(Err(error))?)),
    };
    if let Current::Undecodable { revision, .. } = current {
        let (resource, key) = (target.served.resource().id(), target.key());
        tracing::warn!(%resource, %key, %revision, "deleted an object that cannot be decoded");
    }
    let written = match shown {
        Some(Shown::Outcome(outcome)) => return Ok(Ok(outcome)),
        Some(Shown::Bytes(bytes)) => Written::under(&bytes, revision)?,
        None => {
            let compute = registry.compute(target);
            Written::stored(&compute, target, &value, revision).await?
        }
    };
    Ok(Ok(Outcome::Present(Written { created, ..written })))
}

/// A result that is not derived from the stored bytes.
enum Shown {
    Bytes(Bytes),
    Outcome(Outcome),
}

/// Ends the dry run of a create; conflicts with an existing object of that name.
async fn create_dry_run(
    registry: &Registry,
    target: &Target,
    name: Arc<str>,
    outcome: Outcome,
) -> Result<Result<Outcome, Current>, ApiError> {
    let target = Target {
        name,
        ..target.clone()
    };
    match Live::fresh(registry, &target).await?.current {
        Current::Absent => Ok(Ok(outcome)),
        taken => Ok(Err(taken)),
    }
}

/// Overload does not depend on the object, so a fresh read would not help.
fn is_overload(error: &ApiError) -> bool {
    error.reason() == Some(Reason::TooManyRequests)
}
