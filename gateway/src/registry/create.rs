//! Adding an object.

use std::sync::Arc;

use api_types::gvk::{GroupKind, GroupVersion};
use api_types::meta::Meta;
use api_types::revision::Revision;
use api_types::status::ApiError;
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Value;

use super::live::Live;
use super::{Registry, Target, Written};
use crate::compute::Run;
use crate::store::{Action, Index, StoreError, WriteOp, WriteOutcome};
use crate::strategy::{finalizers, generate_name, prepare, validate};

/// What became of an attempt.
enum Attempt {
    Stored(Option<Revision>),
    Taken { deleting: bool },
}

/// An object that is ready to be stored under a name.
struct Draft {
    name: Arc<str>,
    form: Form,
    /// Whether the client gave the beginning of a name.
    based: bool,
    /// What other names are tried with, if the server is to find one and may go on.
    rest: Option<Names>,
}

enum Form {
    /// For a dry run: the answer.
    Imagined(Written),
    Stored {
        value: Bytes,
        index: Index,
    },
}

/// Names to be tried with an object that has none.
struct Names {
    /// Its text, because it waits for the backend with it.
    object: Bytes,
    base: String,
    left: usize,
}

impl Registry {
    /// Stores the new object that `decode` makes, from a body of `weight` bytes.
    ///
    /// # Errors
    /// 409 if the name is taken, 422 if the object is invalid, 500 if it names a revision, 429 if
    /// too much heavy work waits; those of `decode`.
    pub(crate) async fn create(
        &self,
        mut target: Target,
        weight: usize,
        decode: impl FnOnce(&Run) -> Result<Value, ApiError> + Send + 'static,
    ) -> Result<Written, ApiError> {
        let compute = self.compute(&target);
        let about = target.clone();
        let first = move |run: &Run| Draft::first(run, &about, decode(run)?);
        let mut draft = compute.run(weight, first).await??;
        loop {
            target.name = Arc::clone(&draft.name);
            match (self.attempt(&target, &draft.form).await?, draft.form) {
                (Attempt::Stored(_), Form::Imagined(written)) => return Ok(written),
                (Attempt::Stored(revision), Form::Stored { value, .. }) => {
                    let revision = revision.ok_or_else(|| ApiError::internal("no revision"))?;
                    return Written::stored(&compute, &target, &value, revision).await;
                }
                (Attempt::Taken { deleting }, _) => {
                    let Some(rest) = draft.rest else {
                        return Err(taken(&target, draft.based, deleting));
                    };
                    let about = target.clone();
                    let next = move |run: &Run| rest.next(run, &about, None);
                    draft = compute.go_on(weight, next).await?;
                }
            }
        }
    }

    async fn attempt(&self, target: &Target, form: &Form) -> Result<Attempt, ApiError> {
        let Form::Stored { value, index, .. } = form else {
            let live = Live::now(self, target).await?;
            return Ok(match live.stored {
                None => Attempt::Stored(None),
                Some(existing) => Attempt::Taken {
                    deleting: existing.deleting(),
                },
            });
        };
        match self
            .store
            .write(op(target, value.clone(), index.clone()))
            .await
        {
            Ok(WriteOutcome::Applied { revision, .. }) => Ok(Attempt::Stored(Some(revision))),
            Ok(WriteOutcome::Conflict { current, .. }) => Ok(Attempt::Taken {
                deleting: current.is_some_and(|it| it.deleting()),
            }),
            // Whatever it is, it has the name.
            Err(StoreError::Unreadable { .. }) => Ok(Attempt::Taken { deleting: false }),
            Err(error) => Err(error.into()),
        }
    }
}

impl Draft {
    /// Completes and judges what a client sent.
    fn first(run: &Run, target: &Target, mut object: Value) -> Result<Self, ApiError> {
        run.check()?;
        prepare::in_namespace(&mut object, &target.namespace)?;
        target.deduplicate_owners(&mut object, "");
        let meta = Meta::of(&object);
        let base = meta.generate_name().to_owned();
        if base.is_empty() || !meta.name().is_empty() {
            return Self::of(run, target, object);
        }
        let names = Names {
            object: kube_json::to_vec(&object).into(),
            base,
            left: generate_name::ATTEMPTS,
        };
        names.next(run, target, Some(object))
    }

    fn of(run: &Run, target: &Target, mut object: Value) -> Result<Self, ApiError> {
        admit(run, target, &mut object)?;
        let meta = Meta::of(&object);
        let (name, based) = (meta.name().into(), !meta.generate_name().is_empty());
        let form = if target.dry_run {
            Form::Imagined(Written::imagined(target, object, None)?)
        } else {
            let revision = Meta::of(&object).resource_version();
            if revision.parse::<u64>().is_ok_and(|number| number != 0) {
                return Err(ApiError::internal_plain(
                    "resourceVersion should not be set on objects to be created",
                ));
            }
            let (value, index) = target.served.stored(&mut object)?;
            Form::Stored { value, index }
        };
        Ok(Self {
            name,
            form,
            based,
            rest: None,
        })
    }
}

impl Names {
    /// The object, if it is at hand, under another name.
    fn next(
        mut self,
        run: &Run,
        target: &Target,
        object: Option<Value>,
    ) -> Result<Draft, ApiError> {
        self.left = self.left.saturating_sub(1);
        let mut candidate = match object {
            Some(object) => object,
            None => kube_json::reparse(&self.object).map_err(ApiError::internal)?,
        };
        candidate["metadata"]["name"] = generate_name::generate(&self.base).into();
        Ok(Draft {
            rest: Some(self).filter(|names| names.left > 0),
            ..Draft::of(run, target, candidate)?
        })
    }
}

/// Completes a new object and judges it.
fn admit(run: &Run, target: &Target, object: &mut Value) -> Result<(), ApiError> {
    let served = &target.served;
    let uid = uuid::Uuid::new_v4().to_string();
    prepare::create(object, served.version().status, &uid, Timestamp::now());
    let errors = validate::create(served, object);
    run.check()?;
    if !errors.is_empty() {
        let name = Meta::of(object).name();
        return Err(ApiError::invalid(&kind_of(object), name, &errors));
    }
    target
        .warnings
        .extend(finalizers::warnings(Meta::of(object), None));
    Ok(())
}

fn op(target: &Target, value: Bytes, index: Index) -> WriteOp {
    WriteOp {
        resource: target.served.resource().id().clone(),
        key: target.key(),
        action: Action::Create { value, index },
        expected: None,
        uid: None,
        actor: target.actor(),
    }
}

/// The kind that an object says it is, for errors about it.
pub(super) fn kind_of(object: &Value) -> GroupKind {
    let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
    let group = GroupVersion::parse(text("apiVersion")).map_or(String::new(), |it| it.group);
    GroupKind::new(group, text("kind"))
}

fn taken(target: &Target, generated: bool, deleting: bool) -> ApiError {
    let resource = target.served.group_resource();
    let error = if generated {
        ApiError::generate_name_conflict(resource, &target.name, 1)
    } else {
        ApiError::already_exists(resource, &target.name)
    };
    if !deleting {
        return error;
    }
    let mut status = error.into_status();
    status.message = format!("object is being deleted: {}", status.message);
    status.into()
}
