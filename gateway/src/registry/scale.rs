//! Writes of the scale subresource.

use api_types::options::UpdateOptions;
use api_types::status::ApiError;
use crd_schema::ScalePaths;
use serde_json::Value;

use super::Target;
use super::apply::AppliedBody;
use super::identity::{self, Names};
use super::live::Current;
use super::patch::Body;
use super::plan::Plan;
use crate::admission::{Operation, Options};
use crate::compute::Run;
use crate::fields::{self, Replicas};
use crate::scale::{self, ScaleObject};

/// Sets the replicas that a Scale names.
#[derive(Debug)]
pub(crate) struct ReplaceScale {
    /// The Scale of the body.
    pub wanted: ScaleObject,
    /// Paths of the scale in the object.
    pub paths: ScalePaths,
    /// The options of the request.
    pub options: UpdateOptions,
}

/// Applies a patch to the Scale of the object.
#[derive(Debug)]
pub(crate) struct PatchScale {
    /// Paths of the scale in the object.
    pub paths: ScalePaths,
    /// The patch of the body.
    pub body: Body,
}

/// Applies a configuration to the Scale of the object.
#[derive(Debug)]
pub(crate) struct ApplyScale {
    /// Paths of the scale in the object.
    pub paths: ScalePaths,
    /// The configuration of the body.
    pub body: AppliedBody,
}

impl Plan for ReplaceScale {
    fn options(&self) -> Options<'_> {
        Options::Update(&self.options)
    }

    fn check(&self, target: &Target, current: &Current) -> Result<(), ApiError> {
        let uid = Some(&*self.wanted.uid).filter(|uid| !uid.is_empty());
        identity::expect_uid(target, current.expect(target)?, uid)
    }

    fn manages_fields(&self) -> bool {
        true
    }

    fn candidate(
        &self,
        _run: &Run,
        target: &Target,
        old: Option<&Value>,
    ) -> Result<Option<Value>, ApiError> {
        let old = old.unwrap_or(&Value::Null);
        let before = scale::document(old, &self.paths)?;
        written(self, target, (old, &self.paths), &before, &self.wanted).map(Some)
    }
}

impl Plan for PatchScale {
    fn options(&self) -> Options<'_> {
        Options::Patch(&self.body.options)
    }

    fn weight(&self) -> usize {
        self.body.weight
    }

    fn manages_fields(&self) -> bool {
        true
    }

    fn candidate(
        &self,
        run: &Run,
        target: &Target,
        old: Option<&Value>,
    ) -> Result<Option<Value>, ApiError> {
        let old = old.unwrap_or(&Value::Null);
        let before = scale::document(old, &self.paths)?;
        let patch = self.body.patch.take(run)?;
        let mut problems = patch.problems().to_vec();
        let patched = patch.apply(before.clone())?;
        let (wanted, unknown) = ScaleObject::read(&patched)
            .map_err(|problem| self.body.rejected(run, &before, &problem))?;
        problems.extend(unknown);
        self.body.report(run, &before, problems, &target.warnings)?;
        identity::check(Names::of_scale(&wanted), Names::asked(target))?;
        written(self, target, (old, &self.paths), &before, &wanted).map(Some)
    }
}

impl Plan for ApplyScale {
    fn options(&self) -> Options<'_> {
        Options::Patch(&self.body.options)
    }

    fn weight(&self) -> usize {
        self.body.weight
    }

    fn manages_fields(&self) -> bool {
        true
    }

    fn candidate(
        &self,
        run: &Run,
        target: &Target,
        old: Option<&Value>,
    ) -> Result<Option<Value>, ApiError> {
        let mut object = old.unwrap_or(&Value::Null).clone();
        let live = scale::document(&object, &self.paths)?;
        let unchanged = read(&live)?;
        let attributes = target.attributes(self, Operation::Update);
        fields::apply_scale(&attributes, &mut object, live, &self.body.config())?;
        run.check()?;
        self.body.report(target)?;
        unchanged.apply(&object, &self.paths).map(Some)
    }
}

/// The object with the wanted replicas and their manager. `before` is its Scale.
fn written(
    plan: &impl Plan,
    target: &Target,
    (old, paths): (&Value, &ScalePaths),
    before: &Value,
    wanted: &ScaleObject,
) -> Result<Value, ApiError> {
    let mut object = wanted.apply(old, paths)?;
    let before = read(before)?.replicas;
    let replicas = Replicas {
        before,
        // The reference cannot convert a Scale without a version, so its managers stay.
        after: if wanted.has_version {
            wanted.replicas
        } else {
            before
        },
    };
    let attributes = target.attributes(plan, Operation::Update);
    fields::update_scale(&attributes, old, &mut object, replicas)?;
    Ok(object)
}

/// The Scale of a stored object.
fn read(document: &Value) -> Result<ScaleObject, ApiError> {
    let (scale, _) = ScaleObject::read(document).map_err(ApiError::internal)?;
    Ok(scale)
}
