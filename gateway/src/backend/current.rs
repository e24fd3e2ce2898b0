//! The current revision, asked for once for all who want to know at the same time.

use api_types::revision::Revision;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::backend::calls::Calls;
use crate::backend::error::{Error, Reason};

/// Askers between two looks of [`Current`], which takes them in all the time; more are shed.
const QUEUE: usize = 4096;
/// So many that wait are searched for those who have left. The others are bounded by the requests that
/// are served at once ([`crate::serving::limits`]).
const MANY: usize = 4096;

/// How often a question is asked whose connection breaks, which says nothing of the next one: a
/// restarted backend costs its readers nothing. The connection may break under the question, be
/// found to have ended, and be made.
const ATTEMPTS: u32 = 3;

type Answer = Result<Revision, Error>;
type Waiting = oneshot::Sender<Answer>;

/// Asks for the current revision.
#[derive(Clone, Debug)]
pub(super) struct Asker(mpsc::Sender<Waiting>);

/// Answers the askers.
#[derive(Debug)]
pub(super) struct Current {
    calls: Calls,
    askers: mpsc::Receiver<Waiting>,
}

impl Asker {
    pub(super) async fn ask(&self) -> Answer {
        let (answer, asked) = oneshot::channel();
        self.0.try_send(answer).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => Error::new(
                Reason::Overloaded,
                "too many reads wait for the storage backend",
            ),
            mpsc::error::TrySendError::Closed(_) => stopped(),
        })?;
        asked.await.unwrap_or_else(|_| Err(stopped()))
    }
}

impl Current {
    pub(super) fn new(calls: Calls) -> (Asker, Self) {
        let (sender, askers) = mpsc::channel(QUEUE);
        (Asker(sender), Self { calls, askers })
    }

    /// One call at a time; its answer is for all who asked before it was sent. Who asks while it
    /// is under way gets the next one's: an answer under way may be older than the question.
    pub(super) async fn run(mut self, cancel: CancellationToken) {
        let mut next = Vec::new();
        loop {
            if next.is_empty() {
                let got = tokio::select! {
                    got = self.askers.recv_many(&mut next, QUEUE) => got,
                    () = cancel.cancelled() => 0,
                };
                if got == 0 {
                    return;
                }
            }
            let mut waiting = std::mem::take(&mut next);
            waiting.retain(|asker| !asker.is_closed());
            if waiting.is_empty() {
                continue;
            }
            let answer = tokio::select! {
                answer = ask(&self.calls) => answer,
                () = all_closed(&mut waiting) => continue,
                () = collect(&mut self.askers, &mut next) => return,
            };
            for asker in waiting {
                // An asker that left needs no answer.
                let _ = asker.send(answer.clone());
            }
        }
    }
}

/// Takes askers in until there can be no more. Otherwise clients that ask and leave within the time of a
/// call would fill the queue, and others be shed.
async fn collect(askers: &mut mpsc::Receiver<Waiting>, next: &mut Vec<Waiting>) {
    let mut many = MANY;
    while askers.recv_many(next, QUEUE).await > 0 {
        if next.len() > many {
            next.retain(|asker| !asker.is_closed());
            many = MANY.max(2 * next.len());
        }
    }
}

async fn ask(calls: &Calls) -> Answer {
    let mut answer = calls.current_revision().await;
    for _ in 1..ATTEMPTS {
        match &answer {
            Err(error) if error.reason == Reason::Unreachable => {
                answer = calls.current_revision().await;
            }
            _ => break,
        }
    }
    answer
}

/// Waits until every asker has left.
async fn all_closed(askers: &mut [Waiting]) {
    for asker in askers {
        asker.closed().await;
    }
}

fn stopped() -> Error {
    Error::new(Reason::Unreachable, "the server is shutting down")
}
