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
        let folder = tempfile::tempdir().expect("temporary directory");
        let served = conformance::Served::at(&folder.path().join("s"), driver).await;
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
