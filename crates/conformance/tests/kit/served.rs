//! A driver behind the driver kit, on a socket of its own.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use conformance::empty::{EmptyStore, EmptyStores};
use conformance::{Endpoint, ModelDriver};
use sidecar::listen::Listener;
use sidecar::{Driver, Options};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A served driver; [`Served::stop`] ends it in order.
pub(crate) struct Served {
    folder: TempDir,
    stop: CancellationToken,
    server: JoinSet<()>,
}

impl Served {
    pub(crate) async fn start(driver: Arc<dyn Driver>) -> Self {
        let folder = tempfile::tempdir().expect("temporary directory");
        let stop = CancellationToken::new();
        let mut served = Self {
            folder,
            stop: stop.clone(),
            server: JoinSet::new(),
        };
        let options = Options::at(format!("unix://{}", served.socket().display()));
        let listener = Listener::bind(&options).await.expect("bind");
        served.server.spawn(async move {
            let result = sidecar::serve(driver, listener, &options, stop).await;
            result.expect("served");
        });
        served
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("s")
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::unix(&self.socket())
    }

    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        while let Some(ended) = self.server.join_next().await {
            ended.expect("server");
        }
    }
}

/// Empty stores of the model, each as a driver that `wrap` makes of it.
pub(crate) struct Empty<W>(pub(crate) W);

#[async_trait]
impl<W: Fn(ModelDriver) -> Arc<dyn Driver> + Send + Sync> EmptyStores for Empty<W> {
    async fn serve(&self) -> Result<EmptyStore, String> {
        let served = Served::start((self.0)(ModelDriver::new())).await;
        Ok(EmptyStore::new(served.endpoint(), served))
    }
}
