//! `create`: a new object.

use std::fmt;
use std::sync::Arc;

use api_types::meta::Meta;
use api_types::options::CreateOptions;
use api_types::status::ApiError;
use parking_lot::Mutex;
use serde_json::Value;

use super::Target;
use super::live::Current;
use super::plan::Plan;
use crate::admission::{Operation, Options};
use crate::compute::Run;
use crate::strategy::generate_name;

/// Stores the object of a body.
pub(crate) struct Create {
    /// Decodes the body; called again for each regenerated name.
    decode: Decode,
    options: CreateOptions,
    /// Bytes of the body, for the pool.
    weight: usize,
    last: Mutex<Attempt>,
}

type Decode = Box<dyn Fn(&Run) -> Result<Value, ApiError> + Send + Sync>;

/// The name of the last attempt.
struct Attempt {
    name: Arc<str>,
    /// Whether the client set `generateName`.
    prefixed: bool,
    /// Remaining attempts to generate a name.
    left: usize,
}

impl Create {
    /// A create of the object that `decode` makes from a body of `weight` bytes.
    pub(crate) fn new(
        options: CreateOptions,
        weight: usize,
        decode: impl Fn(&Run) -> Result<Value, ApiError> + Send + Sync + 'static,
    ) -> Self {
        Self {
            decode: Box::new(decode),
            options,
            weight,
            last: Mutex::new(Attempt {
                name: "".into(),
                prefixed: false,
                left: generate_name::ATTEMPTS,
            }),
        }
    }
}

impl Plan for Create {
    fn operation(&self) -> Operation {
        Operation::Create
    }

    fn options(&self) -> Options<'_> {
        Options::Create(&self.options)
    }

    fn weight(&self) -> usize {
        self.weight
    }

    /// Rejects a name that is taken, unless another one can be generated.
    fn check(&self, target: &Target, current: &Current) -> Result<(), ApiError> {
        let last = self.last.lock();
        // After an attempt the name is taken, even if the driver returns no object.
        if last.name.is_empty() || last.left > 0 {
            return Ok(());
        }
        let deleting = match current {
            Current::Present(stored) => stored.deleting(),
            Current::Absent | Current::Undecodable { .. } => false,
        };
        let resource = target.served.group_resource();
        let error = if last.prefixed {
            ApiError::generate_name_conflict(resource, &last.name, 1)
        } else {
            ApiError::already_exists(resource, &last.name)
        };
        if !deleting {
            return Err(error);
        }
        let mut status = error.into_status();
        status.message = format!("object is being deleted: {}", status.message);
        Err(status.into())
    }

    fn candidate(
        &self,
        run: &Run,
        target: &Target,
        _old: Option<&Value>,
    ) -> Result<Option<Value>, ApiError> {
        let mut object = (self.decode)(run)?;
        target.deduplicate_owners(&mut object, "");
        Ok(Some(object))
    }

    /// Generates the name. kube-apiserver does so after mutating admission.
    fn complete(&self, object: &mut Value) {
        let mut last = self.last.lock();
        let meta = Meta::of(object);
        last.prefixed = !meta.generate_name().is_empty();
        if last.prefixed && meta.name().is_empty() {
            let name = generate_name::generate(meta.generate_name());
            object["metadata"]["name"] = name.into();
            last.left = last.left.saturating_sub(1);
        } else {
            last.left = 0;
        }
        last.name = Meta::of(object).name().into();
    }
}

impl fmt::Debug for Create {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Create").finish_non_exhaustive()
    }
}
