//! Server-side apply of an object or its status.

use std::fmt;
use std::sync::Arc;

use api_types::meta::Meta;
use api_types::options::{FieldValidation, PatchOptions};
use api_types::resource_version::ResourceVersion;
use api_types::status::ApiError;
use futures_util::future::BoxFuture;
use serde_json::Value;

use super::Target;
use super::identity::{self, Names};
use super::live::Current;
use super::plan::Plan;
use crate::admission::{Operation, Options};
use crate::codec::decode::{self, Unfit};
use crate::compute::Run;
use crate::fields::{self, Config};
use crate::strategy::prepare::Part;

/// Merges a configuration into the object, or creates the object.
pub(crate) struct Apply {
    /// The part that may change.
    pub part: Part,
    /// The configuration of the body.
    pub body: AppliedBody,
    /// Authorizes the creation of an object that does not exist; none for a status.
    pub authorize_create: Option<Authorize>,
}

/// The configuration of a request.
pub(crate) struct AppliedBody {
    /// The configuration. Shared: a large one takes many times the bytes of its text.
    pub object: Arc<Value>,
    /// Keys that the body repeats, as the YAML parser words them.
    pub duplicates: Vec<String>,
    /// The options of the request.
    pub options: PatchOptions,
    /// Bytes of the body, for the pool.
    pub weight: usize,
}

/// Authorizes the user of the request for another verb.
pub(crate) type Authorize = Box<dyn Fn() -> BoxFuture<'static, Result<(), ApiError>> + Send + Sync>;

impl Plan for Apply {
    fn options(&self) -> Options<'_> {
        Options::Patch(&self.body.options)
    }

    fn part(&self) -> Part {
        self.part
    }

    fn weight(&self) -> usize {
        self.body.weight
    }

    fn check(&self, target: &Target, current: &Current) -> Result<(), ApiError> {
        match current {
            Current::Absent if self.authorize_create.is_some() => Ok(()),
            current => current.expect(target).map(|_| ()),
        }
    }

    fn creation(&self) -> Option<BoxFuture<'_, Result<(), ApiError>>> {
        let authorize = self.authorize_create.as_ref()?;
        Some(authorize())
    }

    fn manages_fields(&self) -> bool {
        true
    }

    fn is_merged(&self) -> bool {
        true
    }

    fn candidate(
        &self,
        run: &Run,
        target: &Target,
        old: Option<&Value>,
    ) -> Result<Option<Value>, ApiError> {
        let operation = match old {
            Some(_) => Operation::Update,
            None => Operation::Create,
        };
        let attributes = target.attributes(self, operation);
        let merged = fields::apply(&attributes, old, &self.body.config())?;
        run.check()?;
        self.body.report(target)?;
        let mut object = decode::merged(&target.served, merged).map_err(|unfit| match unfit {
            Unfit::TooLarge(error) => ApiError::too_large(error),
            unfit => ApiError::internal_plain(unfit.to_string()),
        })?;
        if old.is_none() {
            let uid = Meta::of(&object).uid();
            if !uid.is_empty() {
                let problem = format!(
                    "uid mismatch: the provided object specified uid {uid}, and no existing \
                     object was found"
                );
                let resource = target.served.group_resource();
                return Err(ApiError::conflict(resource, &target.name, problem));
            }
            ResourceVersion::parse(Meta::of(&object).resource_version())
                .map_err(|error| ApiError::internal_plain(error.detail.clone()))?;
            if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
                metadata.remove("resourceVersion");
            }
        }
        identity::check(Names::of(&object), Names::asked(target))?;
        target.deduplicate_owners(&mut object, "");
        Ok(Some(object))
    }
}

impl AppliedBody {
    /// The configuration, and whether it takes fields from other managers.
    pub(super) fn config(&self) -> Config {
        Config {
            object: Arc::clone(&self.object),
            force: self.options.force(),
        }
    }

    /// Rejects repeated keys, or adds warnings for them.
    ///
    /// # Errors
    /// 400 if validation is strict.
    pub(super) fn report(&self, target: &Target) -> Result<(), ApiError> {
        if self.duplicates.is_empty() {
            return Ok(());
        }
        let problem = format!(
            "error strict decoding patch: error converting YAML to JSON: yaml: unmarshal errors:\n  {}",
            self.duplicates.join("\n  ")
        );
        match self.options.field_validation() {
            FieldValidation::Ignore => {}
            FieldValidation::Warn => target.warnings.extend(self.duplicates.clone()),
            FieldValidation::Strict => return Err(ApiError::bad_request(problem)),
        }
        Ok(())
    }
}

impl fmt::Debug for Apply {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Apply").finish_non_exhaustive()
    }
}

impl fmt::Debug for AppliedBody {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("AppliedBody").finish_non_exhaustive()
    }
}
