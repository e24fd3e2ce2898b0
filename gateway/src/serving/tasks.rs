//! The tasks of a server.

use std::future::Future;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

use super::unsent::watched;

/// The tasks of a server, connections and the streams of HTTP/2 connections: owned by the listener,
/// which awaits them and in the end aborts what is left.
#[derive(Debug, Clone, Default)]
pub(super) struct Tasks {
    running: TaskTracker,
    /// The same once more, because a tracker cannot abort.
    set: Arc<Mutex<JoinSet<()>>>,
}

impl Tasks {
    /// Runs a task on the caller's runtime.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn_on(task, &Handle::current());
    }

    /// Runs a task on a runtime.
    pub(super) fn spawn_on(
        &self,
        task: impl Future<Output = ()> + Send + 'static,
        runtime: &Handle,
    ) {
        let mut set = self.set.lock();
        set.spawn_on(self.running.track_future(task), runtime);
        // Those that are done make room.
        while set.try_join_next().is_some() {}
    }

    /// Waits until all are done, also those that they begin meanwhile.
    pub(super) async fn done(&self) {
        self.running.close();
        self.running.wait().await;
    }

    /// Ends all that are left, and tells how many that were.
    pub(super) fn abort(&self) -> usize {
        self.set.lock().abort_all();
        self.running.len()
    }
}

impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        self.spawn(async move {
            watched(future).await;
        });
    }
}
