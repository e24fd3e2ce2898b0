//! Closed while an import is unfinished: nobody may see, or change, half a store.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use backend_proto::v1::BackendError;

use tokio::sync::Mutex;

use crate::driver::Driver;
use crate::refuse::not_ready;

/// Whether calls are let through.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate {
    importing: Arc<AtomicBool>,
    /// One question at a time, so that an older answer never replaces a newer one.
    asking: Arc<Mutex<()>>,
}

impl Gate {
    /// Asks the driver whether an import is unfinished; closed while that cannot be told.
    pub(crate) async fn refresh(&self, driver: &dyn Driver) -> Result<(), BackendError> {
        let _asking = self.asking.lock().await;
        let progress = driver.import_progress().await;
        let importing = progress.as_ref().map_or(true, Option::is_some);
        self.importing.store(importing, Ordering::Release);
        progress.map(|_| ())
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
