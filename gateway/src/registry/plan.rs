//! The interface of the kinds of writes.

use api_types::status::ApiError;
use futures_util::future::BoxFuture;
use serde_json::Value;

use super::Target;
use super::live::Current;
use crate::admission::{Operation, Options};
use crate::compute::Run;
use crate::strategy::prepare::Part;

/// One kind of write. The pipeline calls it for a candidate and does everything else. After a
/// conflict it calls it again.
pub(crate) trait Plan: Send + Sync + 'static {
    /// The operation for admission and validation, if the object exists or `creation` is none.
    fn operation(&self) -> Operation {
        Operation::Update
    }

    /// The options of the request.
    fn options(&self) -> Options<'_>;

    /// The part of the object that the write may change.
    fn part(&self) -> Part {
        Part::Main
    }

    /// Bytes of the body. Together with the stored object they decide whether the work runs on the
    /// pool.
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

    /// The object to store; none to delete it. `old` is the stored object in the version of the
    /// request.
    ///
    /// # Errors
    /// Any error of the request.
    fn candidate(
        &self,
        run: &Run,
        target: &Target,
        old: Option<&Value>,
    ) -> Result<Option<Value>, ApiError>;

    /// Authorizes the creation of an object that does not exist; none if the write needs one.
    fn creation(&self) -> Option<BoxFuture<'_, Result<(), ApiError>>> {
        None
    }

    /// Whether the candidate has its field managers already.
    fn manages_fields(&self) -> bool {
        false
    }

    /// Whether the candidate was merged and not decoded, so that it may have unknown fields and
    /// nulls.
    fn is_merged(&self) -> bool {
        false
    }

    /// Completes the new object after mutating admission.
    fn complete(&self, _object: &mut Value) {}
}
