//! Patches: from an object and a body to a candidate, as pure functions.
//!
//! Source: `k8s.io/apiserver/pkg/endpoints/handlers/patch.go` and its library,
//! `gopkg.in/evanphx/json-patch.v4`, including its deviations from RFC 6902, on which clients
//! depend.

mod json_patch;
mod merge_patch;
mod strategic;
mod webhook;

use api_types::media_type::PatchType;
use api_types::options::FieldValidation;
use api_types::status::ApiError;
use kube_json::Weight;
use serde_json::Value;

use crate::compute::INLINE;
use json_patch::JsonPatch;

pub(crate) use webhook::WebhookPatch;

/// A parsed patch.
#[derive(Debug)]
pub struct Patch {
    operation: Operation,
    problems: Vec<String>,
}

#[derive(Debug)]
enum Operation {
    Json(JsonPatch),
    Merge(Value),
    /// JSON that is not a patch. The error is reported when the patch is applied, because a missing
    /// object takes precedence.
    Rejected(ApiError),
}

/// Weight of applying a body for [`crate::compute`]: copies and moves may expand a small patch.
#[must_use]
pub fn weight(kind: PatchType, body: &[u8]) -> usize {
    let holds = |word: &str| memchr::memmem::find(body, word.as_bytes()).is_some();
    // The operation names may contain escapes.
    if kind == PatchType::Json && ["copy", "move", "\\u"].into_iter().any(holds) {
        return body.len().max(INLINE + 1);
    }
    body.len()
}

impl Patch {
    /// Parses a body.
    ///
    /// # Errors
    /// 400 if the body is not JSON, 415 for a server-side apply, which is no patch of this kind.
    pub fn parse(
        kind: PatchType,
        body: &[u8],
        validation: FieldValidation,
    ) -> Result<Self, ApiError> {
        let malformed = |_| ApiError::bad_request("invalid JSON patch");
        let parsed =
            kube_json::parse(body).map_err(|error| ApiError::unparsed(error, malformed))?;
        let lenient = validation == FieldValidation::Ignore;
        let read = match kind {
            PatchType::Json => JsonPatch::read(parsed.value, &parsed.duplicates, lenient)
                .map(|(patch, problems)| (Operation::Json(patch), problems)),
            PatchType::Merge => merge_patch::check(&parsed.value, lenient).map(|()| {
                let problems = parsed.duplicates.iter().map(|it| duplicate(it));
                let problems = problems.collect();
                (Operation::Merge(parsed.value), problems)
            }),
            PatchType::Apply => return Err(unsupported()),
        };
        let (operation, mut problems) =
            read.unwrap_or_else(|error| (Operation::Rejected(error), Vec::new()));
        if lenient {
            problems.clear();
        }
        Ok(Self {
            operation,
            problems,
        })
    }

    /// Errors of strict decoding of the patch itself; empty if validation is `Ignore`.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// Rejects a strategic merge patch that a merge patch would apply differently.
    ///
    /// # Errors
    /// 400 if it changes a list by its items, or has directives.
    pub fn expect_no_lists_to_merge(&self) -> Result<(), ApiError> {
        let Operation::Merge(patch) = &self.operation else {
            return Ok(());
        };
        strategic::check(patch)
    }

    /// Applies the patch; values of the patch are moved into the object.
    ///
    /// # Errors
    /// 400 if the body is not a valid patch, 413 if it has too many operations or the object would
    /// take too much memory, 422 if an operation of a JSON patch fails; without a reason, as in
    /// kube-apiserver.
    pub fn apply(self, object: Value) -> Result<Value, ApiError> {
        let patched = match self.operation {
            Operation::Json(patch) => patch.apply(object)?,
            Operation::Merge(patch) => merge_patch::apply(object, patch),
            Operation::Rejected(error) => return Err(error),
        };
        // Repeated small patches could otherwise build an object that exceeds the limits of a body.
        let weight = Weight::of(&patched).check();
        weight.map_err(|error| ApiError::unparsed(error, ApiError::bad_request))?;
        Ok(patched)
    }
}

/// 415 for an apply to a scale, which is not implemented.
#[must_use]
pub fn unsupported() -> ApiError {
    ApiError::unsupported_media_type(&[
        "application/json-patch+json",
        "application/merge-patch+json",
    ])
}

fn duplicate(path: &str) -> String {
    format!("duplicate field \"{path}\"")
}

#[cfg(test)]
mod tests;
