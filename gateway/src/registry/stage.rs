//! The stages of a write. Each is constructed from the preceding one only, so that no step can be
//! skipped: [`Candidate`] → [`Admitted`] → [`Checked`] → [`Reviewed`] → [`Validated`]. Only the
//! last can be stored.

use std::sync::Arc;

use api_types::meta::Meta;
use api_types::revision::Revision;
use api_types::status::ApiError;
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Value;

use super::live::{self, Current};
use super::plan::Plan;
use super::{Outcome, Target, Written, identity};
use crate::admission::{Attributes, Chain, Objects, Operation};
use crate::codec::decode;
use crate::compute::{PoolDropped, Run};
use crate::fields;
use crate::store::Index;
use crate::strategy::prepare::Part;
use crate::strategy::{finalizers, prepare, validate};

/// The object as the client wants it, in the version of the request.
pub(super) struct Candidate<P> {
    target: Target,
    plan: Arc<P>,
    operation: Operation,
    current: Current,
    old: Option<Arc<Value>>,
    /// None if the object is to be deleted.
    new: Option<Value>,
}

/// A candidate after mutating admission.
pub(super) struct Admitted<P> {
    candidate: Candidate<P>,
    mutated: bool,
}

/// A candidate that satisfies the rules of metadata and schema.
pub(super) struct Checked<P>(Candidate<P>);

/// A candidate after validating admission.
pub(super) struct Reviewed<P>(Checked<P>);

/// The step after a job of the pool.
pub(super) enum Next<P: Plan> {
    /// Mutating admission.
    Mutate(PoolDropped<Candidate<P>>),
    /// Validating admission.
    Review(PoolDropped<Checked<P>>),
    /// The commit.
    Write(Validated),
}

/// A change that may be stored.
pub(super) struct Validated {
    /// The name of the object; a create may have generated it.
    pub(super) name: Arc<str>,
    /// The revision that the candidate was made from; none if the object must not exist.
    pub(super) expected: Option<Revision>,
    pub(super) change: Change,
}

/// The write to the backend and the result for the client.
pub(super) enum Change {
    /// No write, because this is a dry run.
    DryRun(Outcome),
    Create {
        value: Bytes,
        index: Index,
    },
    Update {
        value: Bytes,
        index: Index,
        /// The object in the version of the request, if it is not derived from `value`.
        shown: Option<Bytes>,
    },
    Delete(Outcome),
}

// === impl Candidate ===

impl<P: Plan> Candidate<P> {
    /// Makes the candidate for the currently stored object.
    pub(super) fn new(
        run: &Run,
        chain: &Chain,
        mut target: Target,
        plan: Arc<P>,
        current: Current,
    ) -> Result<Self, ApiError> {
        plan.check(&target, &current)?;
        let operation = match &current {
            Current::Absent if plan.creation().is_some() => Operation::Create,
            _ => plan.operation(),
        };
        let old = match &current {
            Current::Present(stored) if operation != Operation::Create => Some(stored),
            _ => None,
        };
        let old = old.map(|stored| live::tree(&target, stored).map(Arc::new));
        let old = old.transpose()?;
        run.check()?;
        let mut new = plan.candidate(run, &target, old.as_deref())?;
        run.check()?;
        if let Some(new) = &mut new {
            if operation != Operation::Delete {
                prepare::in_namespace(new, &target.namespace)?;
            }
            if operation == Operation::Create {
                target.name = Meta::of(new).name().into();
            }
        }
        let mut candidate = Self {
            target,
            plan,
            operation,
            current,
            old,
            new,
        };
        candidate.manage_fields(chain)?;
        Ok(candidate)
    }

    fn manage_fields(&mut self, chain: &Chain) -> Result<(), ApiError> {
        let attributes = self.target.attributes(&*self.plan, self.operation);
        if attributes.operation == Operation::Delete || self.plan.manages_fields() {
            return Ok(());
        }
        let Some(new) = &mut self.new else {
            return Ok(());
        };
        if self.operation == Operation::Create {
            prepare::wipe(new);
        }
        for step in &chain.fields {
            step.manage(&attributes, self.old.as_ref(), new)?;
        }
        Ok(())
    }

    /// Runs mutating admission.
    pub(super) async fn mutate(mut self, chain: &Chain) -> Result<Admitted<P>, ApiError> {
        let attributes = self.target.attributes(&*self.plan, self.operation);
        let mutates = chain.mutates(&attributes);
        let managers = self.new.as_ref().filter(|_| mutates);
        let managers = managers.and_then(fields::managers).cloned();
        let mutated = chain
            .mutate(&attributes, self.old.as_ref(), &mut self.new)
            .await?;
        if mutated && let Some(new) = &mut self.new {
            fields::keep_valid(&attributes, managers, new);
        }
        Ok(Admitted {
            candidate: self,
            mutated,
        })
    }

    /// Whether validating admission has steps for the write.
    fn reviewed_by(&self, chain: &Chain) -> bool {
        let attributes = self.target.attributes(&*self.plan, self.operation);
        chain.reviews(&attributes)
    }

    /// Continues in the same job if mutating admission has no steps for the operation.
    pub(super) fn proceed(self, run: &Run, chain: &Chain) -> Result<Next<P>, ApiError> {
        let attributes = self.target.attributes(&*self.plan, self.operation);
        if chain.handles(&attributes) {
            return Ok(Next::Mutate(run.drop_on_pool(self)));
        }
        let admitted = Admitted {
            candidate: self,
            mutated: false,
        };
        admitted.proceed(run, chain)
    }
}

// === impl Admitted ===

impl<P: Plan> Admitted<P> {
    /// Validates metadata and schema; encodes the change in the same job if validating admission
    /// has no steps.
    pub(super) fn proceed(self, run: &Run, chain: &Chain) -> Result<Next<P>, ApiError> {
        let checked = self.check(run)?;
        if checked.0.reviewed_by(chain) {
            return Ok(Next::Review(run.drop_on_pool(checked)));
        }
        checked.encode().map(Next::Write)
    }

    /// Applies the rules of metadata, and validates metadata and schema.
    fn check(self, run: &Run) -> Result<Checked<P>, ApiError> {
        let Self {
            mut candidate,
            mutated,
        } = self;
        let Candidate {
            target,
            plan,
            operation,
            current,
            old,
            new,
        } = &mut candidate;
        let operation = *operation;
        let Some(new) = new.as_mut().filter(|_| operation != Operation::Delete) else {
            return Ok(Checked(candidate));
        };
        if mutated {
            decode::default_again(&target.served, new)?;
            identity::same_namespace(new, &target.namespace)?;
        }
        target.deduplicate_owners(new, " after mutating admission happens");
        let (served, part) = (&target.served, plan.part());
        let has_status = served.version().status;
        let errors = match (&old, &current) {
            (Some(old), Current::Present(stored)) => {
                identity::expect_revision(target, new, stored)?;
                prepare::update(new, old, part, has_status);
                fields::keep_times(old, new);
                validate::update(served, new, old, part)
            }
            _ => {
                plan.complete(new);
                let uid = uuid::Uuid::new_v4().to_string();
                prepare::create(new, has_status, &uid, Timestamp::now());
                validate::create(served, new)
            }
        };
        run.check()?;
        let meta = Meta::of(new);
        if !errors.is_empty() {
            let kind = identity::kind_of(new);
            return Err(ApiError::invalid(&kind, meta.name(), &errors));
        }
        if part == Part::Main {
            let added = finalizers::warnings(meta, old.as_deref().map(Meta::of));
            target.warnings.extend(added);
        }
        Ok(Checked(candidate))
    }
}

// === impl Checked ===

impl<P: Plan> Checked<P> {
    /// Runs validating admission.
    pub(super) async fn review(mut self, chain: &Chain) -> Result<Reviewed<P>, ApiError> {
        let candidate = &mut self.0;
        let new = candidate.new.take().map(Arc::new);
        let objects = Objects {
            old: candidate.old.as_ref(),
            new: new.as_ref(),
        };
        let attributes = candidate
            .target
            .attributes(&*candidate.plan, candidate.operation);
        chain.review(&attributes, objects).await?;
        // The steps keep no reference, so this does not copy.
        candidate.new = new.map(Arc::unwrap_or_clone);
        Ok(Reviewed(self))
    }

    fn encode(self) -> Result<Validated, ApiError> {
        let Candidate {
            target,
            plan,
            operation,
            current,
            old,
            mut new,
        } = self.0;
        if plan.is_merged()
            && let Some(new) = &mut new
        {
            target.served.prune_merged(new);
        }
        let (name, expected) = match (operation, &new) {
            (Operation::Create, Some(new)) => (Meta::of(new).name().into(), None),
            _ => (Arc::clone(&target.name), current.revision()),
        };
        let change = match (operation, new) {
            (_, None) => Change::delete(&target, &current, None),
            (Operation::Create, Some(new)) => Change::create(&target, new)?,
            (Operation::Delete, Some(new)) => Change::delay(&target, &current, new)?,
            (Operation::Update, Some(new)) => {
                let finalized = old.as_ref().is_some_and(|old| is_finalized(old, &new));
                Change::update(&target, &current, new, finalized)?
            }
        };
        Ok(Validated {
            name,
            expected,
            change,
        })
    }
}

impl<P: Plan> Reviewed<P> {
    /// Encodes the change.
    pub(super) fn encode(self) -> Result<Validated, ApiError> {
        self.0.encode()
    }
}

/// Whether the update removes the last finalizer of an object that is being deleted.
fn is_finalized(old: &Value, new: &Value) -> bool {
    let before = Meta::of(old);
    let grace = before.deletion_grace_period_seconds().unwrap_or(0);
    before.is_deleting() && grace == 0 && Meta::of(new).finalizers().next().is_none()
}

// === impl Change ===

impl Change {
    fn create(target: &Target, mut new: Value) -> Result<Self, ApiError> {
        if target.dry_run {
            let written = Written::as_if_stored(target, new, None)?;
            let created = true;
            return Ok(Self::DryRun(Outcome::Present(Written {
                created,
                ..written
            })));
        }
        let revision = Meta::of(&new).resource_version();
        if revision.parse::<u64>().is_ok_and(|number| number != 0) {
            return Err(ApiError::internal_plain(
                "resourceVersion should not be set on objects to be created",
            ));
        }
        let (value, index) = target.served.stored(&mut new)?;
        Ok(Self::Create { value, index })
    }

    fn update(
        target: &Target,
        current: &Current,
        mut new: Value,
        finalized: bool,
    ) -> Result<Self, ApiError> {
        let revision = current.revision();
        if target.dry_run {
            if !finalized {
                target.served.stored(&mut new)?;
            }
            let written = Written::as_if_stored(target, new, revision)?;
            return Ok(Self::DryRun(Outcome::Present(written)));
        }
        if finalized {
            // The response shows the object as the update left it.
            let last = Written::dry_run(new, revision);
            return Ok(Self::delete(target, current, Some(last)));
        }
        let (value, index) = target.served.stored(&mut new)?;
        Ok(Self::Update {
            value,
            index,
            shown: None,
        })
    }

    /// A deletion that finalizers delay: the object is marked.
    fn delay(target: &Target, current: &Current, mut new: Value) -> Result<Self, ApiError> {
        if target.dry_run {
            let written = Written::dry_run(new, current.revision());
            return Ok(Self::DryRun(Outcome::Present(written)));
        }
        let (value, index) = target.served.stored(&mut new)?;
        let shown = if target.served.is_storage() {
            value.clone()
        } else {
            kube_json::to_vec(&new).into()
        };
        Ok(Self::Update {
            value,
            index,
            shown: Some(shown),
        })
    }

    fn delete(target: &Target, current: &Current, last: Option<Written>) -> Self {
        let uid = match current {
            Current::Present(stored) => stored.uid().to_owned(),
            Current::Absent | Current::Undecodable { .. } => String::new(),
        };
        let outcome = Outcome::Gone { uid, last };
        if target.dry_run {
            Self::DryRun(outcome)
        } else {
            Self::Delete(outcome)
        }
    }
}

impl Target {
    /// The attributes of the write for admission.
    pub(super) fn attributes<'a>(
        &'a self,
        plan: &'a impl Plan,
        operation: Operation,
    ) -> Attributes<'a> {
        Attributes {
            operation,
            verb: &self.origin.verb,
            served: &self.served,
            subresource: &self.origin.subresource,
            namespace: &self.namespace,
            name: &self.name,
            user: self.permit.user(),
            options: plan.options(),
            dry_run: self.dry_run,
            field_manager: &self.origin.manager,
            deadline: self.deadline,
            warnings: &self.warnings,
            annotations: &self.annotations,
        }
    }
}
