//! Patches: from an object and a body to a candidate, as pure functions.
//!
//! Source: `k8s.io/apiserver/pkg/endpoints/handlers/patch.go` and the library it applies patches
//! with, `gopkg.in/evanphx/json-patch.v4`, whose departures from RFC 6902 clients have come to know.

mod json_patch;
mod merge_patch;

use api_types::media_type::PatchType;
use api_types::options::FieldValidation;
use api_types::status::ApiError;
use kube_json::Weight;
use serde_json::Value;

use crate::compute::INLINE;
use json_patch::JsonPatch;

/// A patch whose syntax is known to be right.
#[derive(Debug)]
pub struct Patch {
    operation: Operation,
    problems: Vec<String>,
}

#[derive(Debug)]
enum Operation {
    Json(JsonPatch),
    Merge(Value),
    /// JSON, but no patch: told only once there is an object that it could change.
    Rejected(ApiError),
}

/// What applying a body weighs to [`crate::compute`]: operations that copy or move make much of little.
#[must_use]
pub fn weight(kind: PatchType, body: &[u8]) -> usize {
    let holds = |word: &str| memchr::memmem::find(body, word.as_bytes()).is_some();
    // Letters may be escaped.
    if kind == PatchType::Json && ["copy", "move", "\\u"].into_iter().any(holds) {
        return body.len().max(INLINE + 1);
    }
    body.len()
}

impl Patch {
    /// Reads a body.
    ///
    /// # Errors
    /// 400 if the body is no JSON, 415 for server-side apply, which is not served yet.
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

    /// What strict decoding has to say about the patch itself; empty if nobody wants to know.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// The object with the patch applied, whose values become part of it.
    ///
    /// # Errors
    /// 400 if the body was no such patch, 413 if it had too many operations or the object would
    /// take too much memory, 422 if an operation of a JSON patch fails; why is not said, as in
    /// kube-apiserver.
    pub fn apply(self, object: Value) -> Result<Value, ApiError> {
        let patched = match self.operation {
            Operation::Json(patch) => patch.apply(object)?,
            Operation::Merge(patch) => merge_patch::apply(object, patch),
            Operation::Rejected(error) => return Err(error),
        };
        // Small patches, one after the other, could make what no body may be.
        let weight = Weight::of(&patched).check();
        weight.map_err(|error| ApiError::unparsed(error, ApiError::bad_request))?;
        Ok(patched)
    }
}

/// The 415 for patches that are not served; without apply, which comes with field management.
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
