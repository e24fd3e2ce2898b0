//! `update`: a body that replaces the object or its status.

use std::fmt;
use std::sync::Arc;

use api_types::options::UpdateOptions;
use api_types::status::ApiError;
use serde_json::Value;

use super::live::Current;
use super::plan::Plan;
use super::{Target, identity};
use crate::admission::Options;
use crate::compute::{Recomputable, Run};
use crate::strategy::prepare::Part;

/// Replaces the object, or its status, by the object of a body.
pub(crate) struct Replace {
    /// The part that may change.
    pub part: Part,
    /// The options of the request.
    pub options: UpdateOptions,
    /// The uid that the stored object must have, if the body names one.
    pub uid: Option<Arc<str>>,
    /// Bytes of the body, for the pool.
    pub weight: usize,
    /// The object of the body.
    pub object: Recomputable<Value, ApiError>,
}

impl Plan for Replace {
    fn options(&self) -> Options<'_> {
        Options::Update(&self.options)
    }

    fn part(&self) -> Part {
        self.part
    }

    fn weight(&self) -> usize {
        self.weight
    }

    fn check(&self, target: &Target, current: &Current) -> Result<(), ApiError> {
        identity::expect_uid(target, current.expect(target)?, self.uid.as_deref())
    }

    fn candidate(
        &self,
        run: &Run,
        _target: &Target,
        _old: Option<&Value>,
    ) -> Result<Option<Value>, ApiError> {
        self.object.take(run).map(Some)
    }
}

impl fmt::Debug for Replace {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Replace").finish_non_exhaustive()
    }
}
