//! Closed while an import is unfinished: nobody may see, or change, half a store.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use backend_proto::v1::BackendError;

use crate::driver::Driver;
use crate::refuse::not_ready;

/// Whether calls are let through.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate {
    importing: Arc<AtomicBool>,
}

impl Gate {
    /// Asks the driver whether an import is unfinished.
    pub(crate) async fn refresh(&self, driver: &dyn Driver) -> Result<(), BackendError> {
        let importing = driver.import_progress().await?.is_some();
        self.importing.store(importing, Ordering::Release);
        Ok(())
    }

    /// Refuses while an import is unfinished.
    pub(crate) fn check(&self) -> Result<(), BackendError> {
        if self.importing.load(Ordering::Acquire) {
            return Err(not_ready(
                "an import is unfinished: carry on with it, or discard it",
            ));
        }
        Ok(())
    }
}
