//! The queue in front of a backend, and the wait for it.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::{Delivery, Mode};
use crate::audit::event::Event;
use crate::audit::metrics::{Metrics, Plugin};

/// Events that a blocking backend has not stored yet. Requests that find it full wait for room, so
/// it needs no more than requests in flight.
const BLOCKING_BUFFER: usize = 4096;

/// An event for one backend. One that is dropped without [`Job::finish`] is counted as lost.
#[derive(Debug)]
pub(in crate::audit) struct Job {
    event: Arc<Event>,
    stored: Option<oneshot::Sender<bool>>,
    finished: bool,
    metrics: Metrics,
}

/// The queue of one backend.
#[derive(Debug)]
pub(in crate::audit) struct Queue {
    mode: Mode,
    jobs: mpsc::Sender<Job>,
    metrics: Metrics,
}

/// The queues of all backends.
#[derive(Debug)]
pub(in crate::audit) struct Queues(Vec<Queue>);

impl Job {
    pub(super) fn event(&self) -> &Event {
        &self.event
    }

    /// The event is stored, or is counted as lost already.
    pub(super) fn finish(mut self, stored: bool) {
        self.finished = true;
        if let Some(waiting) = self.stored.take() {
            // The request may have ended.
            let _ = waiting.send(stored);
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if !self.finished {
            let reason = "the server stopped before the event was delivered";
            self.metrics.lost(Plugin::Buffered, 1, &reason);
        }
    }
}

impl Queue {
    /// A queue, and its other end.
    pub(in crate::audit) fn new(
        delivery: &Delivery,
        metrics: &Metrics,
    ) -> (Self, mpsc::Receiver<Job>) {
        let buffer = match delivery.mode {
            Mode::Batch => delivery.buffer,
            Mode::Blocking | Mode::BlockingStrict => BLOCKING_BUFFER,
        };
        let (jobs, received) = mpsc::channel(buffer.max(1));
        let queue = Self {
            mode: delivery.mode,
            jobs,
            metrics: metrics.clone(),
        };
        (queue, received)
    }

    fn job(&self, event: &Arc<Event>, stored: Option<oneshot::Sender<bool>>) -> Job {
        Job {
            event: Arc::clone(event),
            stored,
            finished: false,
            metrics: self.metrics.clone(),
        }
    }

    fn submit(&self, event: &Arc<Event>) {
        let Err(error) = self.jobs.try_send(self.job(event, None)) else {
            return;
        };
        let (job, reason) = match error {
            mpsc::error::TrySendError::Full(job) => (job, "the buffer of the backend is full"),
            mpsc::error::TrySendError::Closed(job) => (job, "the backend has stopped"),
        };
        self.metrics.lost(Plugin::Buffered, 1, &reason);
        job.finish(false);
    }

    /// Submits an event when there is room; returns what reports that it is stored.
    async fn enter(
        &self,
        event: &Arc<Event>,
        deadline: Instant,
    ) -> Option<oneshot::Receiver<bool>> {
        let (stored, waiting) = oneshot::channel();
        let room = timeout_at(deadline, self.jobs.reserve()).await;
        let reason = match room {
            Ok(Ok(room)) => {
                room.send(self.job(event, Some(stored)));
                return Some(waiting);
            }
            Ok(Err(_)) => "the backend has stopped",
            Err(_) => "the backend did not store earlier events in time",
        };
        self.metrics.lost(Plugin::Buffered, 1, &reason);
        None
    }
}

impl Queues {
    pub(in crate::audit) const fn new(queues: Vec<Queue>) -> Self {
        Self(queues)
    }

    /// Whether a request is rejected if its event cannot be stored.
    pub(in crate::audit) fn are_strict(&self) -> bool {
        self.0
            .iter()
            .any(|queue| queue.mode == Mode::BlockingStrict)
    }

    /// Submits an event without waiting; it is lost where there is no room.
    pub(in crate::audit) fn submit(&self, event: &Arc<Event>) {
        self.0.iter().for_each(|queue| queue.submit(event));
    }

    /// Submits an event, and waits for the blocking backends until the deadline. Returns whether
    /// every strict one has stored it.
    pub(in crate::audit) async fn store(&self, event: Arc<Event>, deadline: Instant) -> bool {
        let mut waiting = Vec::new();
        for queue in &self.0 {
            if queue.mode == Mode::Batch {
                queue.submit(&event);
            } else {
                let stored = queue.enter(&event, deadline).await;
                waiting.push((queue.mode, stored));
            }
        }
        drop(event);
        let mut success = true;
        for (mode, stored) in waiting {
            let stored = match stored {
                Some(stored) => matches!(timeout_at(deadline, stored).await, Ok(Ok(true))),
                None => false,
            };
            success &= stored || mode != Mode::BlockingStrict;
        }
        success
    }
}
