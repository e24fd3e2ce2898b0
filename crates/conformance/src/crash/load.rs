//! Writers and watchers that outlive the driver.

use backend_proto::v1::event::Type;
use backend_proto::v1::op_result::Verdict;
use backend_proto::v1::{Event, Op, Record};

use super::evidence::{Change, Evidence};
use crate::bench::{Bench, path_of};
use crate::check::{Check, Stop, same};
use crate::client::Client;
use crate::replay::Replay;

/// Keys of each writer.
const KEYS: usize = 8;

/// Bytes of a value beside its number.
const FILLER: usize = 300;

/// Changes keys that nobody else changes.
#[derive(Debug)]
pub(super) struct Writer {
    number: usize,
    /// Revision and value of each key.
    stored: [Option<(i64, u64)>; KEYS],
    round: usize,
    /// Sent, but not answered.
    open: Vec<Sent>,
}

/// One operation on its way.
#[derive(Clone, Debug)]
struct Sent {
    op: Op,
    slot: usize,
    kind: Type,
    value: u64,
}

/// What a writer was told in one life of the driver.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) changes: Vec<Change>,
    /// Newest revision in any header.
    pub(super) newest: i64,
    /// A verdict that cannot be if nothing is lost.
    pub(super) problem: Option<String>,
}

// === impl Writer ===

impl Writer {
    pub(super) fn new(number: usize) -> Self {
        Self {
            number,
            stored: [None; KEYS],
            round: 0,
            open: Vec::new(),
        }
    }

    pub(super) fn number(&self) -> usize {
        self.number
    }

    /// Writes until a call fails.
    pub(super) async fn work(mut self, bench: Bench) -> (Self, Written) {
        let client = bench.connect();
        let mut told = Written::default();
        loop {
            // Every other writer sends two operations at once.
            let count = 1 + self.number % 2;
            let sent: Vec<Sent> = (0..count).map(|_| self.plan(&bench)).collect();
            let ops = sent.iter().map(|sent| sent.op.clone()).collect();
            let Ok(response) = client.write(ops).await else {
                self.open = sent;
                return (self, told);
            };
            let revision = response.header.map_or(0, |header| header.revision);
            told.newest = told.newest.max(revision);
            for (sent, result) in sent.into_iter().zip(response.results) {
                match self.take(&sent, result.verdict) {
                    Ok(change) => told.changes.push(change),
                    Err(Stop::Failed(problem) | Stop::Skipped(problem)) => {
                        told.problem = Some(problem);
                        return (self, told);
                    }
                }
            }
        }
    }

    /// Sends again what was not answered: its op_id tells.
    pub(super) async fn settle(&mut self, client: &Client, evidence: &mut Evidence) -> Check {
        for sent in std::mem::take(&mut self.open) {
            let verdict = client.verdict(sent.op.clone()).await?;
            let again = client.verdict(sent.op.clone()).await?;
            match (&verdict, &again) {
                (Verdict::Applied(first), Verdict::Applied(second))
                    if first.revision == second.revision && second.replayed => {}
                _ => evidence.unsettled(format!(
                    "an open operation was first {}, then {}",
                    brief(&verdict),
                    brief(&again)
                )),
            }
            match self.take(&sent, Some(verdict)) {
                Ok(change) => evidence.settled(change),
                Err(Stop::Failed(problem) | Stop::Skipped(problem)) => evidence.unsettled(problem),
            }
        }
        Ok(())
    }

    /// The next operation: it goes round the keys, creating, updating twice, deleting.
    fn plan(&mut self, bench: &Bench) -> Sent {
        let slot = self.round % KEYS;
        let number = self.round as u64;
        self.round += 1;
        let path = format!("w{}/k{slot}", self.number);
        let fresh = self.number as u64 * 1_000_000_000 + number;
        let bytes = format!("{fresh} {}", "v".repeat(FILLER));
        let life = self.round / KEYS + slot;
        let (kind, value, op) = match self.stored[slot] {
            None => (Type::Created, fresh, bench.create(&path, bytes)),
            Some((at, value)) if life % 4 == 3 => (Type::Deleted, value, bench.delete(&path, at)),
            Some((at, _)) => (Type::Updated, fresh, bench.update(&path, bytes, at)),
        };
        Sent {
            op,
            slot,
            kind,
            value,
        }
    }

    fn take(&mut self, sent: &Sent, verdict: Option<Verdict>) -> Check<Change> {
        let path = sent.op.key.as_ref().map(path_of).unwrap_or_default();
        let Some(Verdict::Applied(applied)) = verdict else {
            return Err(Stop::Failed(format!(
                "{:?} of {path} was {}, although its writer alone changes it",
                sent.kind,
                verdict.as_ref().map_or("not judged".to_owned(), brief)
            )));
        };
        let gone = sent.kind == Type::Deleted;
        self.stored[sent.slot] = (!gone).then_some((applied.revision, sent.value));
        Ok(Change {
            revision: applied.revision,
            kind: sent.kind,
            path,
            value: sent.value,
        })
    }
}

fn brief(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Applied(applied) if applied.replayed => format!("replayed {}", applied.revision),
        Verdict::Applied(applied) => format!("applied {}", applied.revision),
        Verdict::Conflict(conflict) => format!("conflict {:?}", conflict.cause()),
        Verdict::Refused(error) => format!("refused {:?}", error.reason()),
    }
}

/// Follows the changes across all lives of the driver.
#[derive(Debug)]
pub(super) struct Watcher {
    through: i64,
    /// The state that all its events make.
    replay: Replay,
    changes: Vec<Change>,
}

/// What a watcher found wrong in one life of the driver, and how far it came.
#[derive(Debug, Default)]
pub(super) struct Watched {
    pub(super) through: i64,
    pub(super) problem: Option<String>,
}

// === impl Watcher ===

impl Watcher {
    pub(super) fn new(start: i64) -> Self {
        Self {
            through: start,
            replay: Replay::default(),
            changes: Vec::new(),
        }
    }

    pub(super) fn through(&self) -> i64 {
        self.through
    }

    pub(super) fn changes(&self) -> &[Change] {
        &self.changes
    }

    pub(super) fn replay(&self) -> &Replay {
        &self.replay
    }

    /// Watches until the stream breaks.
    pub(super) async fn work(self, bench: Bench) -> (Self, Watched) {
        self.read(&bench, i64::MAX, true).await
    }

    /// Watches up to a revision, which must be reached.
    pub(super) async fn finish(self, bench: &Bench, head: i64) -> (Self, Watched) {
        self.read(bench, head, false).await
    }

    async fn read(mut self, bench: &Bench, last: i64, may_break: bool) -> (Self, Watched) {
        let problem = match self.follow(bench, last, may_break).await {
            Ok(()) => None,
            Err(Stop::Failed(sentence) | Stop::Skipped(sentence)) => Some(sentence),
        };
        let through = self.through;
        (self, Watched { through, problem })
    }

    async fn follow(&mut self, bench: &Bench, last: i64, may_break: bool) -> Check {
        let opened = bench.connect().try_watch(bench.after(self.through)).await;
        // A typed refusal is one even when the kill is near: it must not be.
        let mut stream = match opened? {
            Ok(stream) => stream,
            Err(status) if may_break && backend_proto::error::from_status(&status).is_none() => {
                return Ok(());
            }
            Err(status) => return Err(status.into()),
        };
        while self.through < last {
            let told = match stream.next().await? {
                Ok(told) => told,
                Err(_) if may_break => return Ok(()),
                Err(status) => return Err(status.into()),
            };
            self.replay.apply_all(&told.events)?;
            for event in &told.events {
                self.changes.push(change(event)?);
            }
            self.through = told.through;
        }
        Ok(())
    }
}

fn change(event: &Event) -> Check<Change> {
    let record = event.record.clone().unwrap_or_default();
    let change = Change {
        revision: event.revision,
        kind: event.r#type(),
        path: record.key.as_ref().map(path_of).unwrap_or_default(),
        value: value_of(&record),
    };
    same!(record.value.ends_with(b"v"), true, "a value that is whole");
    Ok(change)
}

/// The number that a value begins with; 0 of a value that no writer wrote.
fn value_of(record: &Record) -> u64 {
    let text = std::str::from_utf8(&record.value).unwrap_or_default();
    let number = text.split(' ').next().unwrap_or_default();
    number.parse().unwrap_or(0)
}
