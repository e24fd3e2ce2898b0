//! A writer: the only client that changes its keys.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::mpsc;
use tokio::time::{Instant, interval};

use crate::call::Call;
use crate::change::{Key, Kind, Revision};
use crate::client::{Action, Applied, CallError, Write};
use crate::fault::Fault;
use crate::options::{AfterUnknown, Pace};
use crate::script::{Known, Progress, Script};
use crate::shared::{Route, Shared};

/// Faults after which a writer ends: it can no longer know the state of its keys.
const MAX_FAULTS: usize = 20;

pub(crate) struct Writer {
    shared: Arc<Shared>,
    number: usize,
    route: Route,
    progress: Progress,
    /// Time between two requests; none to send the next one at once.
    pace: Option<Pace>,
    /// Receives the revision of each acknowledged write.
    starts: Option<mpsc::Sender<Revision>>,
    faults: usize,
}

/// A write, and whether an earlier attempt may have been applied.
struct Sent {
    write: Write,
    uncertain: bool,
}

// === impl Writer ===

impl Writer {
    pub(crate) fn new(
        shared: &Arc<Shared>,
        number: usize,
        script: Script,
        pace: Option<Pace>,
        starts: Option<mpsc::Sender<Revision>>,
    ) -> Self {
        Self {
            shared: Arc::clone(shared),
            number,
            route: Route::new(shared, number),
            progress: Progress::new(number, script),
            pace,
            starts,
            faults: 0,
        }
    }

    /// Writes until the run stops, and settles what is open.
    pub(crate) async fn run(mut self) {
        let mut ticks = self.pace.map(|pace| {
            let mut ticks = interval(pace.interval);
            ticks.set_missed_tick_behavior(pace.missed);
            ticks
        });
        while !self.shared.stop.is_cancelled() && self.faults < MAX_FAULTS {
            if let Some(ticks) = &mut ticks {
                tokio::select! {
                    _ = ticks.tick() => {}
                    () = self.shared.stop.cancelled() => break,
                }
            }
            let keys = self.progress.next_keys();
            for key in &keys {
                if self.progress.known(key) == Known::Unread {
                    self.read(key).await;
                }
            }
            let ready = keys
                .into_iter()
                .filter(|key| self.progress.known(key) != Known::Unread);
            let writes: Vec<Sent> = ready
                .collect::<Vec<_>>()
                .into_iter()
                .map(|key| Sent {
                    write: self.progress.write(key),
                    uncertain: false,
                })
                .collect();
            if !writes.is_empty() {
                self.send(writes).await;
            }
            self.shared.settled[self.number].fetch_add(1, Ordering::AcqRel);
        }
        self.shared.settled[self.number].store(u64::MAX, Ordering::Release);
    }

    /// Sends writes in one request; those without a conclusive response are repeated, or read.
    async fn send(&mut self, mut open: Vec<Sent>) {
        while !open.is_empty() {
            self.route.before_write();
            let (server, client) = self.route.client().await;
            let batch: Vec<Write> = open.iter().map(|sent| sent.write.clone()).collect();
            let begun = Instant::now();
            let response = client.write(&batch).await;
            let took = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.shared.slowest.fetch_max(took, Ordering::AcqRel);
            let results = match response {
                Ok(results) if results.len() == open.len() => results,
                Ok(results) => {
                    let count = results.len();
                    let error = format!("{count} results of {} writes", open.len());
                    vec![Err(CallError::Violation(error)); open.len()]
                }
                Err(error) => vec![Err(error); open.len()],
            };
            let mut failed: Option<CallError> = None;
            let mut left = Vec::new();
            for (sent, result) in open.into_iter().zip(results) {
                match self.conclude(sent, result, server).await {
                    Ok(()) => {}
                    Err((sent, error)) => {
                        left.push(sent);
                        failed = Some(error);
                    }
                }
            }
            open = left;
            if let Some(error) = failed {
                if !self.shared.justifies(Call::Write, &error) {
                    self.faults += 1;
                }
                self.route.after(&error).await;
                if self.gives_up() {
                    self.give_up(open);
                    return;
                }
            }
        }
    }

    /// Whether open writes are not repeated.
    fn gives_up(&self) -> bool {
        self.faults >= MAX_FAULTS || self.shared.after_unknown == AfterUnknown::Read
    }

    fn give_up(&mut self, open: Vec<Sent>) {
        for sent in open {
            if sent.uncertain {
                self.shared.ledger.unknown(&sent.write);
                if self.shared.after_unknown != AfterUnknown::Read {
                    let write = sent.write.to_string();
                    self.shared.ledger.fault(Fault::Unsettled(write));
                }
            }
            self.progress.learn(&sent.write.key, Known::Unread);
        }
    }

    /// Records the result of a write; returns the write if it has no conclusive result.
    async fn conclude(
        &mut self,
        mut sent: Sent,
        result: Result<Applied, CallError>,
        server: usize,
    ) -> Result<(), (Sent, CallError)> {
        match result {
            Ok(applied) => {
                if sent.uncertain && self.shared.after_unknown == AfterUnknown::RepeatById {
                    self.repeat(&sent.write, &applied).await;
                }
                self.acknowledge(&sent.write, &applied, server).await;
                Ok(())
            }
            Err(CallError::Conflict(message)) => {
                self.conflict(sent, message, server).await;
                Ok(())
            }
            Err(error) => {
                sent.uncertain |= !error.is_not_applied();
                Err((sent, error))
            }
        }
    }

    /// A conflict is the effect of an earlier attempt, or a fault.
    async fn conflict(&mut self, sent: Sent, message: String, server: usize) {
        let Sent { write, uncertain } = sent;
        let key = &write.key;
        let unresolved = self.shared.ledger.with(|history| {
            let last = history.attempts.iter().rev().find(|it| it.key == *key);
            last.is_some_and(|attempt| !attempt.is_acknowledged())
        });
        let lost_commits = self.shared.tolerance.expired;
        match self.shared.after_unknown {
            AfterUnknown::RepeatAndRead if uncertain => {
                self.progress.learn(key, Known::Unread);
                self.read(key).await;
                let applied = match (write.action, self.progress.known(key)) {
                    (Action::Delete(_), Known::Absent) => Some(Applied::default()),
                    (_, Known::At(revision, number)) if number == write.number => Some(Applied {
                        revision: Some(revision),
                        ..Applied::default()
                    }),
                    _ => None,
                };
                if let Some(applied) = applied {
                    return self.acknowledge(&write, &applied, server).await;
                }
            }
            AfterUnknown::Read if unresolved || lost_commits => {
                self.shared.ledger.with(|history| history.conflicts += 1);
                if lost_commits {
                    self.shared.ledger.overtaken(&write);
                }
                self.progress.learn(key, Known::Unread);
                return;
            }
            AfterUnknown::RepeatById | AfterUnknown::RepeatAndRead | AfterUnknown::Read => {}
        }
        self.faults += 1;
        self.progress.learn(key, Known::Unread);
        self.shared.ledger.fault(Fault::Conflict {
            write: write.to_string(),
            error: message,
        });
    }

    /// Repeats a write whose first response was lost: the outcome must be the same.
    async fn repeat(&mut self, write: &Write, first: &Applied) {
        loop {
            let (_, client) = self.route.client().await;
            let results = client.write(std::slice::from_ref(write)).await;
            let result = results.and_then(|results| {
                let none = CallError::Violation("a write without a result".to_owned());
                results.into_iter().next().unwrap_or(Err(none))
            });
            let second = match result {
                Ok(second) if second.revision == first.revision && second.repeated => return,
                Ok(second) => format!("{second:?}"),
                Err(error) if self.shared.tolerance.permits(Call::Write, &error) => {
                    self.shared.justifies(Call::Write, &error);
                    self.route.after(&error).await;
                    continue;
                }
                Err(error) => error.to_string(),
            };
            self.faults += 1;
            self.shared.ledger.fault(Fault::Outcome {
                write: write.to_string(),
                first: format!("{first:?}"),
                second,
            });
            return;
        }
    }

    async fn acknowledge(&mut self, write: &Write, applied: &Applied, server: usize) {
        self.shared.ledger.acknowledged(write, applied, server);
        self.shared.acknowledged.fetch_add(1, Ordering::AcqRel);
        let known = match (write.action.kind(), applied.revision) {
            (Kind::Deleted, _) => Known::Absent,
            (_, Some(revision)) => Known::At(revision, write.number),
            (_, None) => Known::Unread,
        };
        self.progress.learn(&write.key, known);
        let Some(revision) = applied.revision else {
            return;
        };
        let newest = &self.shared.newest_acknowledged;
        newest.fetch_max(revision.get(), Ordering::AcqRel);
        if let Some(starts) = &self.starts {
            // The receiver is gone when the run ends.
            let _ = starts.send(revision).await;
        }
    }

    /// Reads the state of a key, until there is a response or the run stops.
    async fn read(&mut self, key: &Key) {
        let floor = self.floor(key);
        loop {
            let (_, client) = self.route.client().await;
            let error = match client.read(key).await {
                Ok(found) => {
                    let revision = found.as_ref().map(|object| object.revision);
                    self.check_floor(key, floor, revision);
                    let known = found.map_or(Known::Absent, |object| {
                        Known::At(object.revision, object.number)
                    });
                    return self.progress.learn(key, known);
                }
                Err(error) => error,
            };
            if !self.shared.justifies(Call::Read, &error) {
                self.faults += 1;
            }
            self.route.after(&error).await;
            let stops = self.shared.stop.is_cancelled();
            let repeats = self.shared.after_unknown == AfterUnknown::RepeatAndRead;
            if self.faults >= MAX_FAULTS || (stops && !repeats) {
                return;
            }
        }
    }

    /// The revision below which a read of the key is stale: that of the last acknowledged write,
    /// and whether a later write may have deleted it.
    fn floor(&self, key: &Key) -> Option<(Revision, bool)> {
        if self.shared.tolerance.expired {
            return None;
        }
        self.shared.ledger.with(|history| {
            let mut deleted = false;
            for attempt in history.attempts.iter().rev().filter(|it| it.key == *key) {
                if attempt.is_acknowledged() {
                    let floor = attempt.revision().filter(|_| attempt.kind != Kind::Deleted);
                    return floor.map(|floor| (floor, deleted));
                }
                deleted |= attempt.kind == Kind::Deleted;
            }
            None
        })
    }

    fn check_floor(&self, key: &Key, floor: Option<(Revision, bool)>, found: Option<Revision>) {
        let Some((acknowledged, may_be_deleted)) = floor else {
            return;
        };
        let stale = match found {
            Some(found) => found < acknowledged,
            // A repeated deletion is not in the ledger before it is settled.
            None => !may_be_deleted && self.shared.after_unknown == AfterUnknown::Read,
        };
        if stale {
            self.shared.ledger.fault(Fault::StaleRead {
                key: key.clone(),
                acknowledged,
                found: found.map_or("nothing".to_owned(), |at| at.to_string()),
            });
        }
    }
}
