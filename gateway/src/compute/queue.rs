//! Queue of the pool: one line per user, served in turns.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::Overloaded;

/// Waiting jobs of a user. kube-apiserver's default priority level queues at least as many per flow
/// (queueLengthLimit 50), and a deletion of a collection has as many in flight (`AT_ONCE`).
const USER_JOBS: usize = 64;
/// Bytes of objects in a user's waiting jobs; a single larger job is accepted.
const USER_BYTES: usize = 64 << 20;
/// Waiting jobs of all users.
const ALL_JOBS: usize = 512;
const ALL_BYTES: usize = 128 << 20;

pub(super) type Job = Box<dyn FnOnce() + Send>;

/// The next step of a pool thread.
pub(super) enum Task {
    Job(Job),
    Garbage(Box<dyn Send>),
}

#[derive(Default)]
pub(super) struct Queue {
    lines: HashMap<Arc<str>, Line>,
    /// Users with waiting jobs, each once.
    turns: VecDeque<Arc<str>>,
    /// Values that wait for their drop. Bounded by the jobs that produced them.
    garbage: VecDeque<Box<dyn Send>>,
    jobs: usize,
    bytes: usize,
    last_id: u64,
    closed: bool,
}

/// The waiting jobs of a user.
#[derive(Default)]
struct Line {
    jobs: VecDeque<Waiting>,
    bytes: usize,
}

struct Waiting {
    id: u64,
    weight: usize,
    job: Job,
}

impl Queue {
    /// Queues a job and returns its id; returns the job if the pool is closed.
    ///
    /// # Errors
    /// If the queue is full and the job may be rejected.
    pub(super) fn push(
        &mut self,
        user: &Arc<str>,
        weight: usize,
        job: Job,
        refusable: bool,
    ) -> Result<Result<u64, Job>, Overloaded> {
        if self.closed {
            return Ok(Err(job));
        }
        if refusable && !self.has_room(user, weight) {
            return Err(Overloaded);
        }
        self.last_id += 1;
        let id = self.last_id;
        self.jobs += 1;
        self.bytes += weight;
        let line = self.lines.entry(Arc::clone(user)).or_default();
        if line.jobs.is_empty() {
            self.turns.push_back(Arc::clone(user));
        }
        line.bytes += weight;
        line.jobs.push_back(Waiting { id, weight, job });
        Ok(Ok(id))
    }

    fn has_room(&self, user: &Arc<str>, weight: usize) -> bool {
        // A user without waiting jobs is always accepted, so that other users cannot lock it out.
        self.lines.get(user).is_none_or(|line| {
            line.jobs.len() < USER_JOBS
                && line.bytes + weight <= USER_BYTES
                && self.jobs < ALL_JOBS
                && self.bytes + weight <= ALL_BYTES
        })
    }

    /// The next task: the oldest job of the user whose last turn is longest ago.
    pub(super) fn pop(&mut self) -> Option<Task> {
        // Drops come first, because they free memory.
        if let Some(value) = self.garbage.pop_front() {
            return Some(Task::Garbage(value));
        }
        let user = self.turns.pop_front()?;
        let line = self.lines.get_mut(&user)?;
        let next = line.jobs.pop_front()?;
        line.bytes -= next.weight;
        self.jobs -= 1;
        self.bytes -= next.weight;
        if line.jobs.is_empty() {
            self.lines.remove(&user);
        } else {
            self.turns.push_back(user);
        }
        Some(Task::Job(next.job))
    }

    /// Removes a job that has not started.
    pub(super) fn take(&mut self, user: &Arc<str>, id: u64) -> Option<Job> {
        let line = self.lines.get_mut(user)?;
        let at = line.jobs.iter().position(|waiting| waiting.id == id)?;
        let taken = line.jobs.remove(at)?;
        line.bytes -= taken.weight;
        self.jobs -= 1;
        self.bytes -= taken.weight;
        if line.jobs.is_empty() {
            self.lines.remove(user);
            self.turns.retain(|waiting| waiting != user);
        }
        Some(taken.job)
    }

    /// Queues a value to be dropped; returns it if the pool is closed.
    pub(super) fn discard(&mut self, value: Box<dyn Send>) -> Result<(), Box<dyn Send>> {
        if self.closed {
            return Err(value);
        }
        self.garbage.push_back(value);
        Ok(())
    }

    /// Rejects further jobs.
    pub(super) const fn close(&mut self) {
        self.closed = true;
    }

    pub(super) const fn is_closed(&self) -> bool {
        self.closed
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = out.debug_struct("Queue");
        out.field("jobs", &self.jobs).field("bytes", &self.bytes);
        out.finish()
    }
}
