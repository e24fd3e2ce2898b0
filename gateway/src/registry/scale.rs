//! Writes of the scale subresource.

use api_types::options::UpdateOptions;
use api_types::status::ApiError;
use crd_schema::ScalePaths;
use serde_json::Value;

use super::Target;
use super::identity::{self, Names};
use super::live::Current;
use super::patch::Body;
use super::plan::Plan;
use crate::admission::Options;
use crate::compute::Run;
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

impl Plan for ReplaceScale {
    fn options(&self) -> Options<'_> {
        Options::Update(&self.options)
    }

    fn check(&self, target: &Target, current: &Current) -> Result<(), ApiError> {
        let uid = Some(&*self.wanted.uid).filter(|uid| !uid.is_empty());
        identity::expect_uid(target, current.expect(target)?, uid)
    }

    fn candidate(
        &self,
        _run: &Run,
        _target: &Target,
        old: Option<&Value>,
    ) -> Result<Option<Value>, ApiError> {
        let old = old.unwrap_or(&Value::Null);
        self.wanted.apply(old, &self.paths).map(Some)
    }
}

impl Plan for PatchScale {
    fn options(&self) -> Options<'_> {
        Options::Patch(&self.body.options)
    }

    fn weight(&self) -> usize {
        self.body.weight
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
        wanted.apply(old, &self.paths).map(Some)
    }
}
