//! `patch` of an object or its status.

use std::fmt;

use api_types::field;
use api_types::go_text;
use api_types::gvk::GroupKind;
use api_types::options::{FieldValidation, PatchOptions};
use api_types::status::ApiError;
use serde_json::Value;

use super::Target;
use super::identity::{self, Names};
use super::plan::Plan;
use crate::admission::Options;
use crate::codec::decode::{self, Clean, Unfit};
use crate::compute::{Recomputable, Run};
use crate::patch;
use crate::request::Warnings;
use crate::strategy::prepare::Part;

/// The error for a patched object without a version.
const NO_VERSION: &str = "Object 'apiVersion' is missing in 'object has no apiVersion field'";

/// Applies a patch to the object, or to its status.
#[derive(Debug)]
pub(crate) struct Patch {
    /// The part that may change.
    pub part: Part,
    /// The patch of the body.
    pub body: Body,
}

/// The patch of a request.
pub(crate) struct Body {
    /// The parsed patch.
    pub patch: Recomputable<patch::Patch, ApiError>,
    /// The options of the request.
    pub options: PatchOptions,
    /// Bytes of the body, for the pool.
    pub weight: usize,
}

impl Plan for Patch {
    fn options(&self) -> Options<'_> {
        Options::Patch(&self.body.options)
    }

    fn part(&self) -> Part {
        self.part
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
        let patch = self.body.patch.take(run)?;
        let mut problems = patch.problems().to_vec();
        let patched = patch.apply(old.clone())?;
        run.check()?;
        let Clean { object, unknown } =
            decode::clean(&target.served, patched).map_err(|unfit| match unfit {
                Unfit::TooLarge(error) => ApiError::too_large(error),
                unfit => self.body.rejected(run, old, &unfit.to_string()),
            })?;
        problems.extend(unknown);
        self.body.report(run, old, problems, &target.warnings)?;
        let version = object.get("apiVersion").and_then(Value::as_str);
        if version.is_none_or(str::is_empty) {
            return Err(ApiError::internal(NO_VERSION));
        }
        identity::check(Names::of(&object), Names::asked(target))?;
        Ok(Some(object))
    }
}

impl Body {
    /// Rejects unknown and duplicate fields, or adds warnings for them.
    ///
    /// # Errors
    /// 422 if validation is strict.
    pub(super) fn report(
        &self,
        run: &Run,
        before: &Value,
        problems: Vec<String>,
        warnings: &Warnings,
    ) -> Result<(), ApiError> {
        match self.options.field_validation() {
            FieldValidation::Ignore => {}
            FieldValidation::Warn => warnings.extend(problems),
            FieldValidation::Strict if problems.is_empty() => {}
            FieldValidation::Strict => {
                return Err(self.rejected(run, before, &decode::strict_text(&problems)));
            }
        }
        Ok(())
    }

    /// 422 for a patch whose result cannot be decoded; quotes the result.
    pub(super) fn rejected(&self, run: &Run, before: &Value, problem: &str) -> ApiError {
        let patch = self.patch.take(run);
        let patched = patch.and_then(|patch| patch.apply(before.clone()));
        let patched = patched.unwrap_or_default();
        let json = String::from_utf8_lossy(&kube_json::to_vec(&patched)).into_owned();
        drop(patched);
        // The error shows no more bytes, and quoting lengthens the text, so cut before quoting.
        let json = go_text::cut(json, field::MAX_BYTES);
        let path = field::Path::new("patch");
        let error = field::Error::invalid(path, json, problem);
        ApiError::invalid(&GroupKind::new("", ""), "", &[error])
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Body").finish_non_exhaustive()
    }
}
