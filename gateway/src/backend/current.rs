//! The current revision, asked for once for all who want to know at the same time.

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::backend::client::Calls;
use crate::backend::error::{Error, Reason};

/// Most askers that wait at once; more are shed.
const QUEUE: usize = 4096;

/// How often a question is asked whose connection breaks, which says nothing of the next one: a
/// restarted backend costs its readers nothing. The connection may break under the question, be
/// found to have ended, and be made.
const ATTEMPTS: u32 = 3;

type Answer = Result<u64, Error>;

/// Asks for the current revision.
#[derive(Clone, Debug)]
pub(super) struct Asker(mpsc::Sender<oneshot::Sender<Answer>>);

/// Answers the askers.
#[derive(Debug)]
pub(super) struct Current {
    calls: Calls,
    askers: mpsc::Receiver<oneshot::Sender<Answer>>,
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
        let mut waiting = Vec::new();
        loop {
            let got = tokio::select! {
                got = self.askers.recv_many(&mut waiting, QUEUE) => got,
                () = cancel.cancelled() => 0,
            };
            if got == 0 {
                return;
            }
            waiting.retain(|asker| !asker.is_closed());
            if waiting.is_empty() {
                continue;
            }
            let answer = tokio::select! {
                answer = ask(&self.calls) => answer,
                () = all_closed(&mut waiting) => {
                    waiting.clear();
                    continue;
                }
            };
            for asker in waiting.drain(..) {
                // An asker that left needs no answer.
                let _ = asker.send(answer.clone());
            }
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
async fn all_closed(askers: &mut [oneshot::Sender<Answer>]) {
    for asker in askers {
        asker.closed().await;
    }
}

fn stopped() -> Error {
    Error::new(Reason::Unreachable, "the server is shutting down")
}
