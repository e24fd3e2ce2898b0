//! Batches of events: collected from a queue, and encoded.

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::queue::Job;
use super::{Delivery, Mode, Truncate};
use crate::audit::metrics::{Metrics, Plugin};
use crate::audit::policy::Level;

/// Events of a batch in a blocking mode, in which no event waits for others.
const BLOCKING_BATCH: usize = 400;

/// Collects batches.
#[derive(Debug)]
pub(super) struct Batches {
    jobs: mpsc::Receiver<Job>,
    delivery: Delivery,
}

impl Batches {
    pub(super) const fn new(jobs: mpsc::Receiver<Job>, delivery: Delivery) -> Self {
        Self { jobs, delivery }
    }

    /// The next batch. After the cancellation the remaining ones, then `None`.
    pub(super) async fn next(&mut self, stop: &CancellationToken) -> Option<Vec<Job>> {
        let (most, wait) = match self.delivery.mode {
            Mode::Batch => (self.delivery.max_batch, self.delivery.max_wait),
            Mode::Blocking | Mode::BlockingStrict => (BLOCKING_BATCH, Default::default()),
        };
        let mut batch = Vec::new();
        let some = stop.run_until_cancelled(self.jobs.recv_many(&mut batch, most));
        if some.await.is_none() {
            self.jobs.close();
            // Ends at once: nothing enters a closed queue.
            self.jobs.recv_many(&mut batch, most).await;
        }
        let deadline = Instant::now() + wait;
        while !batch.is_empty() && batch.len() < most && !wait.is_zero() {
            let room = most - batch.len();
            let more = timeout_at(deadline, self.jobs.recv_many(&mut batch, room));
            match stop.run_until_cancelled(more).await {
                Some(Ok(received)) if received > 0 => {}
                _ => break,
            }
        }
        (!batch.is_empty()).then_some(batch)
    }
}

/// Appends the JSON of an event, without its bodies if it is too large. Counts one that is still too
/// large as lost, and returns false.
pub(super) fn encode(
    job: &Job,
    truncate: Option<Truncate>,
    metrics: &Metrics,
    out: &mut Vec<u8>,
) -> bool {
    let (event, start) = (job.event(), out.len());
    event.write(false, out);
    let Some(Truncate { max_event, .. }) = truncate else {
        return true;
    };
    if out.len() - start > max_event && event.head.level >= Level::Request {
        out.truncate(start);
        event.write(true, out);
    }
    if out.len() - start <= max_event {
        return true;
    }
    out.truncate(start);
    metrics.lost(
        Plugin::Truncate,
        1,
        &"the event is too large without its bodies",
    );
    false
}
