//! Rejects calls while an import is unfinished: a partial store must not be read or written.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use backend_proto::v1::BackendError;

use tokio::sync::Mutex;

use crate::driver::Driver;
use crate::refuse::not_ready;

/// Whether calls are admitted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate {
    importing: Arc<AtomicBool>,
    /// Serializes refreshes, so that an older response never overwrites a newer one.
    refreshing: Arc<Mutex<()>>,
}

impl Gate {
    /// Asks the driver whether an import is unfinished. The gate stays closed while the driver
    /// returns an error.
    pub(crate) async fn refresh(&self, driver: &dyn Driver) -> Result<(), BackendError> {
        let _refreshing = self.refreshing.lock().await;
        let progress = driver.import_progress().await;
        let importing = progress.as_ref().map_or(true, Option::is_some);
        self.importing.store(importing, Ordering::Release);
        progress.map(|_| ())
    }

    /// Returns an error while an import is unfinished.
    pub(crate) fn check(&self) -> Result<(), BackendError> {
        if self.importing.load(Ordering::Acquire) {
            return Err(not_ready(
                "an import is unfinished: carry on with it, or discard it",
            ));
        }
        Ok(())
    }
}
