//! Heavy computation of requests, off the threads that serve connections
//! (docs/adr/0011-heavy-work-has-a-pool.md).
//!
//! Decoding, validating and patching a large object takes tens of milliseconds, and during them the
//! thread serves nobody else: no probe, no handshake, no watch. Work that weighs more than [`INLINE`]
//! therefore runs on a few threads of its own, one job of each user after the other; work below it
//! runs where it is asked for and costs nothing more. Walks over many small things stay where they
//! are, too, and take [`Turn`]s.
//!
//! The future of a job is its owner. Dropped, because the client left or the time of its request is
//! over, it takes the job out of the queue, or tells it through [`Run::check`] that nobody waits; what
//! the job holds is dropped on the pool's threads, because that is work as well.

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

/// The most bytes of an object that are worked on where they are asked for: at 0.6 to 1 us a byte,
/// which is what the worst bodies cost, whose every few bytes are an error, 10 to 16 ms of the 50 ms
/// that a request may hold a thread for. Ordinary objects have a few KiB and cost a tenth of that.
pub const INLINE: usize = 16 << 10;

/// Priority of the pool's threads: a third of the time of a processor that others want as well.
const NICENESS: i32 = 5;

/// When to come back after [`Overloaded`], seconds: kube-apiserver's number for 429.
const RETRY_AFTER: u32 = 1;

/// Threads for heavy work; cheap to clone.
#[derive(Clone, Debug)]
pub struct Pool {
    shared: Arc<Shared>,
    walks: Walks,
}

/// The threads of a pool. Dropped, they end as soon as they are done; work that comes later runs
/// where it is asked for.
#[derive(Debug)]
pub struct Workers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// A pool as one user has it: users take turns. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    pool: Pool,
    user: Arc<str>,
}

/// What a job can know of its own run.
#[derive(Debug)]
pub struct Run {
    /// None where it runs inline.
    pool: Option<Pool>,
    cancelled: Arc<AtomicBool>,
}

/// So much heavy work waits already that more is refused; nothing was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too much heavy work waits")]
pub struct Overloaded;

/// Nobody waits for the job any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request is over")]
pub struct Cancelled;

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// Rings once per task, and for all at the end.
    wake: Condvar,
}

/// Takes its job back when dropped.
struct Waiting<'a> {
    client: &'a Client,
    id: u64,
    cancelled: Arc<AtomicBool>,
    done: bool,
}

// === impl Pool ===

impl Pool {
    /// A pool and its threads.
    ///
    /// # Errors
    /// If the system gives no threads.
    pub fn start(threads: usize) -> io::Result<(Self, Workers)> {
        let shared = Arc::<Shared>::default();
        let mut workers = Workers {
            shared: Arc::clone(&shared),
            threads: Vec::with_capacity(threads),
        };
        for number in 0..threads.max(1) {
            let shared = Arc::clone(&shared);
            // Trees are as deep here as anywhere else.
            let thread = thread::Builder::new()
                .name(format!("compute-{number}"))
                .stack_size(kube_json::STACK_SIZE);
            workers.threads.push(thread.spawn(move || shared.work())?);
        }
        let walks = Walks::new(Self::usual_threads());
        Ok((Self { shared, walks }, workers))
    }

    /// As many threads as leave a processor to those who serve.
    #[must_use]
    pub fn usual_threads() -> usize {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        processors.saturating_sub(1).max(1)
    }

    /// The turns of walks, which need no pool, but leave the threads where they are to others.
    #[must_use]
    pub const fn walks(&self) -> &Walks {
        &self.walks
    }

    /// The pool as a user has it.
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
    /// Waits until everything that was asked for is done; blocks its thread.
    pub fn join(mut self) {
        self.shared.close();
        for thread in self.threads.drain(..) {
            // Jobs catch their panics.
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
    /// Does work about an object of `weight` bytes: here, or if that is more than [`INLINE`] on the
    /// pool. Work on the pool is not begun, or told, when this future is dropped.
    ///
    /// # Errors
    /// If too much of this user's work, or of everybody's, waits already.
    pub async fn run<T: Send + 'static>(
        &self,
        weight: usize,
        work: impl FnOnce(&Run) -> T + Send + 'static,
    ) -> Result<T, Overloaded> {
        self.submit(weight, work, true).await
    }

    /// The same as a later step of a request: never refused, because something may be done already
    /// that its client must be told of. Requests bound how much of it waits.
    pub async fn run_accepted<T: Send + 'static>(
        &self,
        weight: usize,
        work: impl FnOnce(&Run) -> T + Send + 'static,
    ) -> T {
        let done = self.submit(weight, work, false).await;
        done.expect("only what may be refused is")
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
            // Dropped here if nobody waits.
            drop(done.send(outcome));
        };
        let id = match self.push(weight, Box::new(job), refusable)? {
            Ok(id) => id,
            // No threads are left: a server that ends finishes what it has begun.
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

    /// Whether anybody still waits; to be asked between steps.
    ///
    /// # Errors
    /// If nobody does.
    pub fn check(&self) -> Result<(), Cancelled> {
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(Cancelled);
        }
        Ok(())
    }

    /// A value of the job's weight that is dropped where the job ran.
    #[must_use]
    pub fn drop_on_pool<T: Send + 'static>(&self, value: T) -> PoolDropped<T> {
        PoolDropped::new(value, self.pool.clone())
    }
}

// === impl Shared ===

impl Shared {
    fn work(&self) {
        // Of this thread: in Linux threads have priorities of their own. Not to be had, not needed.
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

/// Nobody is there to be told.
impl From<Cancelled> for ApiError {
    fn from(cancelled: Cancelled) -> Self {
        Self::internal(cancelled)
    }
}
