//! Thread pool for work on large objects, separate from the threads that serve connections
//! (docs/adr/0011-heavy-work-has-a-pool.md).
//!
//! Decoding, validating and patching a large object takes tens of milliseconds. On a serving thread
//! it would delay every probe, handshake and watch of that thread. Work heavier than [`INLINE`]
//! therefore runs on the pool, where users take turns job by job. Lighter work runs inline at no
//! extra cost. Walks over many small objects also stay on their thread, and yield it by [`Turn`]s.
//!
//! The future of a job owns the job. If the future is dropped, because the client disconnected or
//! the deadline passed, a queued job is removed from the queue, and a running job observes the
//! cancellation through [`Run::check`]. Values of the job are dropped on the pool, because dropping
//! a large tree is work as well.

mod pool_dropped;
mod queue;
mod turn;

#[cfg(test)]
mod tests;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use api_types::status::ApiError;
use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use self::queue::{Job, Queue, Task};

pub use self::pool_dropped::{PoolDropped, Recomputable};
pub use self::turn::{Turn, Walks};

/// The largest object that is worked on inline, bytes. The worst bodies, in which every few bytes
/// are an error, cost 0.6 to 1 us per byte: 10 to 16 ms of the 50 ms that a request may hold a
/// serving thread. Ordinary objects have a few KiB and cost a tenth of that.
pub const INLINE: usize = 16 << 10;

/// Nice value of the pool's threads: under contention they get a third of the time of a processor.
const NICENESS: i32 = 5;

/// `Retry-After` of [`Overloaded`], seconds: kube-apiserver's value for 429.
const RETRY_AFTER: u32 = 1;

/// Handle to the pool; cheap to clone.
#[derive(Clone, Debug)]
pub struct Pool {
    shared: Arc<Shared>,
    walks: Walks,
}

/// Threads of a pool. After a drop they end once their queue is empty; later jobs run inline.
#[derive(Debug)]
pub struct Workers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// The pool for one user; users take turns. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    pool: Pool,
    user: Arc<str>,
}

/// Context of a running job.
#[derive(Debug)]
pub struct Run {
    /// None for an inline job.
    pool: Option<Pool>,
    cancelled: Arc<AtomicBool>,
}

/// The queue of the pool is full; the job was not started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too much heavy work waits")]
pub struct Overloaded;

/// The future of the job was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request is over")]
pub struct Cancelled;

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// Notified once per task, and for all threads at close.
    wake: Condvar,
}

/// Removes its job from the queue when dropped.
struct Waiting<'a> {
    client: &'a Client,
    id: u64,
    cancelled: Arc<AtomicBool>,
    done: bool,
}

// === impl Pool ===

impl Pool {
    /// Starts a pool.
    ///
    /// # Errors
    /// If the system cannot create threads.
    pub fn start(threads: usize) -> io::Result<(Self, Workers)> {
        let shared = Arc::<Shared>::default();
        let mut workers = Workers {
            shared: Arc::clone(&shared),
            threads: Vec::with_capacity(threads),
        };
        for number in 0..threads.max(1) {
            let shared = Arc::clone(&shared);
            // The stack must hold trees of the maximum depth, as on serving threads.
            let thread = thread::Builder::new()
                .name(format!("compute-{number}"))
                .stack_size(kube_json::STACK_SIZE);
            workers.threads.push(thread.spawn(move || shared.work())?);
        }
        let walks = Walks::new(Self::usual_threads());
        Ok((Self { shared, walks }, workers))
    }

    /// Threads of a pool that leaves one processor to the serving threads.
    #[must_use]
    pub fn usual_threads() -> usize {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        processors.saturating_sub(1).max(1)
    }

    /// The turns of walks, which do not use the pool's threads.
    #[must_use]
    pub const fn walks(&self) -> &Walks {
        &self.walks
    }

    /// The pool for one user.
    #[must_use]
    pub fn of(&self, user: &str) -> Client {
        Client {
            pool: self.clone(),
            user: user.into(),
        }
    }

    /// Drops a value on one of the threads.
    fn discard(&self, value: Box<dyn Send>) {
        let mut queue = self.shared.queue.lock();
        if let Err(value) = queue.discard(value) {
            drop(queue);
            drop(value);
            return;
        }
        self.shared.wake.notify_one();
    }
}

// === impl Workers ===

impl Workers {
    /// Waits until all queued work is done; blocks its thread.
    pub fn join(mut self) {
        self.shared.close();
        for thread in self.threads.drain(..) {
            // Jobs catch their panics, so the thread does not panic.
            let _ = thread.join();
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.shared.close();
    }
}

// === impl Client ===

impl Client {
    /// Runs work on an object of `weight` bytes: inline, or on the pool above [`INLINE`]. If this
    /// future is dropped, a queued job is not started, and a running job observes the cancellation.
    ///
    /// # Errors
    /// If too much work of this user, or of all users, is queued.
    pub async fn run<T: Send + 'static>(
        &self,
        weight: usize,
        work: impl FnOnce(&Run) -> T + Send + 'static,
    ) -> Result<T, Overloaded> {
        self.submit(weight, work, true).await
    }

    /// As [`Self::run`] for a later step of a request, never rejected: a change may already be
    /// stored, and its client must get the outcome. The limits on requests bound how much of this
    /// work is queued.
    pub async fn run_accepted<T: Send + 'static>(
        &self,
        weight: usize,
        work: impl FnOnce(&Run) -> T + Send + 'static,
    ) -> T {
        let done = self.submit(weight, work, false).await;
        done.expect("only rejectable jobs are rejected")
    }

    /// The turns of walks.
    #[must_use]
    pub const fn walks(&self) -> &Walks {
        &self.pool.walks
    }

    async fn submit<T: Send + 'static>(
        &self,
        weight: usize,
        work: impl FnOnce(&Run) -> T + Send + 'static,
        refusable: bool,
    ) -> Result<T, Overloaded> {
        if weight <= INLINE {
            return Ok(work(&Run::inline()));
        }
        let cancelled = Arc::<AtomicBool>::default();
        let run = Run {
            pool: Some(self.pool.clone()),
            cancelled: Arc::clone(&cancelled),
        };
        let (done, outcome) = oneshot::channel();
        let span = tracing::Span::current();
        let job = move || {
            let outcome = catch_unwind(AssertUnwindSafe(|| span.in_scope(|| work(&run))));
            // The result is dropped here if the future was dropped.
            drop(done.send(outcome));
        };
        let id = match self.push(weight, Box::new(job), refusable)? {
            Ok(id) => id,
            // The pool is closed: a server that drains completes its requests inline.
            Err(job) => {
                job();
                0
            }
        };
        let mut waiting = Waiting {
            client: self,
            id,
            cancelled,
            done: false,
        };
        let outcome = outcome.await;
        waiting.done = true;
        match outcome {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(panic)) => resume_unwind(panic),
            Err(_) => Err(Overloaded),
        }
    }

    fn push(
        &self,
        weight: usize,
        job: Job,
        refusable: bool,
    ) -> Result<Result<u64, Job>, Overloaded> {
        let shared = &self.pool.shared;
        let pushed = shared
            .queue
            .lock()
            .push(&self.user, weight, job, refusable)?;
        if pushed.is_ok() {
            shared.wake.notify_one();
        }
        Ok(pushed)
    }
}

// === impl Run ===

impl Run {
    fn inline() -> Self {
        Self {
            pool: None,
            cancelled: Arc::default(),
        }
    }

    /// Whether the future of the job still exists. Call it between steps.
    ///
    /// # Errors
    /// If the future was dropped.
    pub fn check(&self) -> Result<(), Cancelled> {
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(Cancelled);
        }
        Ok(())
    }

    /// Wraps a value of the job's weight that is to be dropped where the job ran.
    #[must_use]
    pub fn drop_on_pool<T: Send + 'static>(&self, value: T) -> PoolDropped<T> {
        PoolDropped::new(value, self.pool.clone())
    }
}

// === impl Shared ===

impl Shared {
    fn work(&self) {
        // Sets the priority of this thread: in Linux, threads have priorities of their own. A
        // failure is harmless.
        let _ = rustix::process::setpriority_process(None, NICENESS);
        let mut queue = self.queue.lock();
        loop {
            match queue.pop() {
                Some(Task::Job(job)) => {
                    drop(queue);
                    job();
                    queue = self.queue.lock();
                }
                Some(Task::Garbage(value)) => {
                    drop(queue);
                    drop(value);
                    queue = self.queue.lock();
                }
                None if queue.is_closed() => return,
                None => self.wake.wait(&mut queue),
            }
        }
    }

    fn close(&self) {
        self.queue.lock().close();
        self.wake.notify_all();
    }
}

// === impl Waiting ===

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        self.cancelled.store(true, Ordering::Relaxed);
        let pool = &self.client.pool;
        let taken = pool.shared.queue.lock().take(&self.client.user, self.id);
        if let Some(job) = taken {
            pool.discard(Box::new(job));
        }
    }
}

// === impl Overloaded, Cancelled ===

impl From<Overloaded> for ApiError {
    fn from(_: Overloaded) -> Self {
        Self::too_many_requests("Too many requests, please try again later.", RETRY_AFTER)
    }
}

/// The response is never sent, because the request was dropped.
impl From<Cancelled> for ApiError {
    fn from(cancelled: Cancelled) -> Self {
        Self::internal(cancelled)
    }
}
