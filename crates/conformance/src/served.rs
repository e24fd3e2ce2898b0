//! A driver behind the kit, in this process.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use backend_client::Endpoint;
use sidecar::listen::Listener;
use sidecar::{Driver, Error, Options};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A driver that the kit serves at a unix socket. Dropping it aborts the server without an orderly
/// shutdown.
#[derive(Debug)]
pub struct Served {
    socket: PathBuf,
    stop: CancellationToken,
    server: JoinSet<Result<(), Error>>,
}

impl Served {
    /// Serves a driver at a socket whose directory exists.
    ///
    /// # Errors
    /// If the socket is unusable.
    pub async fn at(socket: &Path, driver: Arc<dyn Driver>) -> Result<Self, Error> {
        Self::keeping(socket, driver, None).await
    }

    /// As [`Served::at`]; keeps history for a second, and at least some changes, if given.
    ///
    /// # Errors
    /// If the socket is unusable.
    pub async fn keeping(
        socket: &Path,
        driver: Arc<dyn Driver>,
        keep_events: Option<u64>,
    ) -> Result<Self, Error> {
        let mut options = Options::at(format!("unix://{}", socket.display()));
        if let Some(keep_events) = keep_events {
            options.keep_seconds = 1;
            options.keep_events = keep_events;
        }
        let listener = Listener::bind(&options).await?;
        let stop = CancellationToken::new();
        let mut server = JoinSet::new();
        let shutdown_signal = stop.clone();
        server.spawn(
            async move { sidecar::serve(driver, listener, &options, shutdown_signal).await },
        );
        Ok(Self {
            socket: socket.to_path_buf(),
            stop,
            server,
        })
    }

    /// Returns its endpoint.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::unix(&self.socket)
    }

    /// Stops in order: drains clients and closes the driver.
    ///
    /// # Errors
    /// As [`sidecar::serve`].
    pub async fn stop(mut self) -> Result<(), Error> {
        self.stop.cancel();
        // The only task; it panics only if the driver does.
        match self.server.join_next().await {
            Some(Ok(served)) => served,
            Some(Err(panicked)) => Err(Error::Open(panicked.to_string())),
            None => Ok(()),
        }
    }
}
