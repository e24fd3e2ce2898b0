//! A server without sockets.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Error;
use super::background::Background;
use crate::handlers::Api;
use crate::stack::{Inner, Stack};
use crate::store::Phase;

/// Request chain, handlers and store. The caller passes requests to [`InProcess::stack`], and
/// authenticates as the peer of a connection does.
#[derive(Debug)]
pub struct InProcess<I = Api> {
    pub(super) stack: Arc<Stack<I>>,
    pub(super) background: Background,
}

impl InProcess {
    /// The phase of the store, and its changes.
    #[must_use]
    pub fn phase(&self) -> watch::Receiver<Phase> {
        self.stack.inner.store.phase()
    }
}

impl<I: Inner> InProcess<I> {
    /// The request chain, and the state of its steps.
    #[must_use]
    pub const fn stack(&self) -> &Arc<Stack<I>> {
        &self.stack
    }

    /// Runs the tasks that requests need until `stop` is cancelled, then drains as
    /// [`super::App::run`] does.
    ///
    /// # Errors
    /// If a task ends before the shutdown.
    pub async fn run(self, stop: CancellationToken) -> Result<(), Error> {
        let mut background = self.background.start();
        let failed = stop.run_until_cancelled(background.ended()).await;
        self.stack.lifecycle.drain(Duration::ZERO).await;
        background.stop().await;
        failed.map_or(Ok(()), |part| Err(Error::Ended(part)))
    }
}
