//! The tasks of a server.

use std::future::Future;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

use super::unsent::watched;

/// The tasks of a server: connections, and the streams of HTTP/2 connections. Owned by the
/// listener, which awaits them and finally aborts the rest.
#[derive(Debug, Clone, Default)]
pub(super) struct Tasks {
    running: TaskTracker,
    /// The same tasks, because a tracker cannot abort.
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
        // Removes finished tasks.
        while set.try_join_next().is_some() {}
    }

    /// Waits until all tasks are done, including those started meanwhile.
    pub(super) async fn done(&self) {
        self.running.close();
        self.running.wait().await;
    }

    /// Aborts the remaining tasks; returns their number.
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
        // Boxed: each wrapper of a future reserves its size again, and a stream with an unread
        // response keeps the memory of its task.
        let future = Box::pin(future);
        self.spawn(async move {
            watched(future).await;
        });
    }
}
