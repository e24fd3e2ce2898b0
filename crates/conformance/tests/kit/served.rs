//! A driver behind the driver kit, on its own socket.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use conformance::empty::{EmptyStore, EmptyStores};
use conformance::{Endpoint, ModelDriver};
use sidecar::Driver;
use tempfile::TempDir;

/// A served driver in its own directory; [`Served::stop`] ends it in order.
pub(crate) struct Served {
    served: conformance::Served,
    folder: TempDir,
}

impl Served {
    pub(crate) async fn start(driver: Arc<dyn Driver>) -> Self {
        Self::keeping(driver, None).await
    }

    pub(crate) async fn keeping(driver: Arc<dyn Driver>, events: Option<u64>) -> Self {
        let folder = tempfile::tempdir().expect("temporary directory");
        let socket = folder.path().join("s");
        let served = conformance::Served::keeping(&socket, driver, events).await;
        Self {
            served: served.expect("a socket"),
            folder,
        }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("s")
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        self.served.endpoint()
    }

    pub(crate) async fn stop(self) {
        self.served.stop().await.expect("served");
    }
}

/// Empty stores of the model, each wrapped by a function.
pub(crate) struct Empty<W>(pub(crate) W);

#[async_trait]
impl<W: Fn(ModelDriver) -> Arc<dyn Driver> + Send + Sync> EmptyStores for Empty<W> {
    async fn serve(&self) -> Result<EmptyStore, String> {
        let served = Served::start((self.0)(ModelDriver::new())).await;
        Ok(EmptyStore::new(served.endpoint(), served))
    }
}
