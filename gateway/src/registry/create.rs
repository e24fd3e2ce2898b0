//! Adding an object.

use api_types::gvk::{GroupKind, GroupVersion};
use api_types::meta::Meta;
use api_types::revision::Revision;
use api_types::status::ApiError;
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Value;

use super::live::Live;
use super::{Registry, Target, Written};
use crate::store::{Action, Index, StoreError, WriteOp, WriteOutcome};
use crate::strategy::{finalizers, generate_name, prepare, validate};

/// What became of an attempt.
enum Attempt {
    Stored(Option<(Bytes, Revision)>),
    Taken { deleting: bool },
}

impl Registry {
    /// Stores a new object.
    ///
    /// # Errors
    /// 409 if the name is taken, 422 if the object is invalid, 500 if it names a revision.
    pub(crate) async fn create(
        &self,
        target: &Target<'_>,
        mut object: Value,
    ) -> Result<Written, ApiError> {
        prepare::in_namespace(&mut object, target.namespace)?;
        target.deduplicate_owners(&mut object, "");
        let meta = Meta::of(&object);
        let base = meta.generate_name().to_owned();
        let generated = meta.name().is_empty() && !base.is_empty();
        let attempts = if generated {
            generate_name::ATTEMPTS
        } else {
            1
        };
        for attempt in 1..=attempts {
            // The last attempt needs no copy for another one.
            let mut candidate = if attempt < attempts {
                object.clone()
            } else {
                std::mem::take(&mut object)
            };
            if generated {
                candidate["metadata"]["name"] = generate_name::generate(&base).into();
            }
            self.admit(target, &mut candidate)?;
            let name = Meta::of(&candidate).name().to_owned();
            let named = Target {
                name: &name,
                ..*target
            };
            match self.attempt(&named, &mut candidate).await? {
                Attempt::Stored(None) => return Written::imagined(&named, candidate, None),
                Attempt::Stored(Some((value, revision))) => {
                    return Written::stored(&named, candidate, &value, revision);
                }
                Attempt::Taken { .. } if attempt < attempts => {}
                Attempt::Taken { deleting } => {
                    return Err(taken(&named, !base.is_empty(), deleting));
                }
            }
        }
        Err(ApiError::internal("no name was tried"))
    }

    /// Completes a new object and judges it.
    #[expect(clippy::unused_self, reason = "the rooms of admission will need it")]
    fn admit(&self, target: &Target<'_>, object: &mut Value) -> Result<(), ApiError> {
        let served = target.served;
        let uid = uuid::Uuid::new_v4().to_string();
        prepare::create(object, served.version().status, &uid, Timestamp::now());
        let errors = validate::create(served, object);
        if !errors.is_empty() {
            let name = Meta::of(object).name();
            return Err(ApiError::invalid(&kind_of(object), name, &errors));
        }
        target
            .warnings
            .extend(finalizers::warnings(Meta::of(object), None));
        Ok(())
    }

    async fn attempt(&self, target: &Target<'_>, object: &mut Value) -> Result<Attempt, ApiError> {
        if target.dry_run {
            let live = Live::now(self, target).await?;
            return Ok(match live.stored {
                None => Attempt::Stored(None),
                Some(existing) => Attempt::Taken {
                    deleting: existing.deleting(),
                },
            });
        }
        let revision = Meta::of(object).resource_version();
        if revision.parse::<u64>().is_ok_and(|number| number != 0) {
            return Err(ApiError::internal_plain(
                "resourceVersion should not be set on objects to be created",
            ));
        }
        let (value, index) = target.served.stored(object)?;
        match self.store.write(op(target, value.clone(), index)).await {
            Ok(WriteOutcome::Applied { revision, .. }) => {
                Ok(Attempt::Stored(Some((value, revision))))
            }
            Ok(WriteOutcome::Conflict { current, .. }) => Ok(Attempt::Taken {
                deleting: current.is_some_and(|it| it.deleting()),
            }),
            // Whatever it is, it has the name.
            Err(StoreError::Unreadable { .. }) => Ok(Attempt::Taken { deleting: false }),
            Err(error) => Err(error.into()),
        }
    }
}

fn op(target: &Target<'_>, value: Bytes, index: Index) -> WriteOp {
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

fn taken(target: &Target<'_>, generated: bool, deleting: bool) -> ApiError {
    let resource = target.served.group_resource();
    let error = if generated {
        ApiError::generate_name_conflict(resource, target.name, 1)
    } else {
        ApiError::already_exists(resource, target.name)
    };
    if !deleting {
        return error;
    }
    let mut status = error.into_status();
    status.message = format!("object is being deleted: {}", status.message);
    status.into()
}
