//! What differs between the kinds of writes.

use api_types::status::ApiError;
use serde_json::Value;

use super::Target;
use super::live::Current;
use crate::admission::{Operation, Options};
use crate::compute::Run;
use crate::strategy::prepare::Part;

/// One kind of write. The pipeline asks it for a candidate and does everything else; when another
/// write came between, it asks again.
pub(crate) trait Plan: Send + Sync + 'static {
    /// The operation that admission and validation see.
    fn operation(&self) -> Operation {
        Operation::Update
    }

    /// The options of the request.
    fn options(&self) -> Options<'_>;

    /// The part of the object that the write may change.
    fn part(&self) -> Part {
        Part::Main
    }

    /// Bytes of the body, which decide where the work is done; the stored object counts as well.
    fn weight(&self) -> usize {
        0
    }

    /// Rejects the stored object, or its absence, before the candidate is made.
    ///
    /// # Errors
    /// 404, or 409 if a precondition of the request does not hold.
    fn check(&self, target: &Target, current: &Current) -> Result<(), ApiError> {
        current.expect(target).map(|_| ())
    }

    /// The object that the client wants to be stored; none if it is to be deleted. `old` is the
    /// stored object in the version of the request.
    ///
    /// # Errors
    /// Whatever is wrong with the request.
    fn candidate(
        &self,
        run: &Run,
        target: &Target,
        old: Option<&Value>,
    ) -> Result<Option<Value>, ApiError>;

    /// Completes the new object after mutating admission.
    fn complete(&self, _object: &mut Value) {}
}
