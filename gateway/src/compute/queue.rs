//! What waits for the pool: one line per user, served in turns.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::Overloaded;

/// Most jobs of a user that wait; as many as kube-apiserver's default priority level queues of one
/// flow at least (queueLengthLimit 50), and as many as a deletion of a collection has under way.
const USER_JOBS: usize = 64;
/// Most bytes of objects that a user's waiting jobs are about, unless one alone is larger.
const USER_BYTES: usize = 64 << 20;
/// The same for all users.
const ALL_JOBS: usize = 512;
const ALL_BYTES: usize = 128 << 20;

pub(super) type Job = Box<dyn FnOnce() + Send>;

/// What a thread of the pool does next.
pub(super) enum Task {
    Job(Job),
    Garbage(Box<dyn Send>),
}

#[derive(Default)]
pub(super) struct Queue {
    lines: HashMap<Arc<str>, Line>,
    /// Users with waiting jobs, each once.
    turns: VecDeque<Arc<str>>,
    /// What is only to be dropped. As much as there was work for: needs no bound of its own.
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
    /// Queues a job and names it; gives it back if there are no threads any more.
    ///
    /// # Errors
    /// If too much waits and the job may be refused.
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
        // Whoever has nothing waiting is let in: others must not be able to lock a user out.
        self.lines.get(user).is_none_or(|line| {
            line.jobs.len() < USER_JOBS
                && line.bytes + weight <= USER_BYTES
                && self.jobs < ALL_JOBS
                && self.bytes + weight <= ALL_BYTES
        })
    }

    /// What to do next: the oldest job of the user who waited longest for a turn.
    pub(super) fn pop(&mut self) -> Option<Task> {
        // First, because it gives memory back.
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

    /// Takes a job back, unless it was begun.
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

    /// Queues a value to be dropped; gives it back if there are no threads any more.
    pub(super) fn discard(&mut self, value: Box<dyn Send>) -> Result<(), Box<dyn Send>> {
        if self.closed {
            return Err(value);
        }
        self.garbage.push_back(value);
        Ok(())
    }

    /// Nothing comes in any more.
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
