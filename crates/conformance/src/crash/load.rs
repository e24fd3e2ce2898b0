//! Writers and watchers that survive restarts of the driver.

use backend_proto::error::from_status;
use backend_proto::v1::event::Type;
use backend_proto::v1::op_result::Verdict;
use backend_proto::v1::{BackendError, Event, Op, Origin, Record};
use tonic::Status;

use super::history::{Change, History};
use crate::check::{Check, Stop, same};
use crate::client::Client;
use crate::context::{CaseContext, path_of};
use crate::replay::Replay;

/// Keys per writer.
const KEYS: usize = 8;

/// Bytes of a value besides its number.
const FILLER: usize = 300;

/// A writer of keys that no other writer changes.
#[derive(Debug)]
pub(super) struct Writer {
    number: usize,
    /// Revision and value of each key.
    stored: [Option<(i64, u64)>; KEYS],
    round: usize,
    /// Operations sent without a response.
    open: Vec<Sent>,
}

/// A sent operation.
#[derive(Clone, Debug)]
struct Sent {
    op: Op,
    slot: usize,
    kind: Type,
    value: u64,
}

/// Responses to a writer in one run of the driver.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) changes: Vec<Change>,
    /// Newest revision in any header.
    pub(super) newest: i64,
    /// A verdict that is only possible if a change was lost.
    pub(super) problem: Option<String>,
}

/// Reason why an operation is unsettled.
#[derive(Debug)]
pub(super) enum WriteError {
    /// The call failed.
    Call(Status),
    /// This operation of the call was rejected.
    Refused(BackendError),
}

// === impl WriteError ===

impl WriteError {
    /// Returns the driver's error; `None` if the call broke without one.
    pub(super) fn typed(&self) -> Option<BackendError> {
        match self {
            Self::Call(status) => from_status(status),
            Self::Refused(error) => Some(error.clone()),
        }
    }
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
    pub(super) async fn work(mut self, context: CaseContext) -> (Self, Written) {
        let client = context.connect();
        let mut outcome = Written::default();
        while outcome.problem.is_none() {
            match self.step(&context, &client, &mut outcome).await {
                Ok(()) => {}
                Err(WriteError::Call(_)) => break,
                Err(WriteError::Refused(error)) => {
                    outcome.problem = Some(format!("an operation was refused: {}", error.message));
                }
            }
        }
        (self, outcome)
    }

    /// Sends the next operations; they are unsettled if that fails.
    pub(super) async fn step(
        &mut self,
        context: &CaseContext,
        client: &Client,
        outcome: &mut Written,
    ) -> Result<(), WriteError> {
        // Every second writer sends two operations per request.
        let count = 1 + self.number % 2;
        let sent: Vec<Sent> = (0..count).map(|_| self.plan(context)).collect();
        let ops = sent.iter().map(|sent| sent.op.clone()).collect();
        let response = match client.write(ops).await {
            Ok(response) => response,
            Err(status) => {
                self.open = sent;
                return Err(WriteError::Call(status));
            }
        };
        let revision = response.header.map_or(0, |header| header.revision);
        outcome.newest = outcome.newest.max(revision);
        let mut rejected = None;
        for (sent, result) in sent.into_iter().zip(response.results) {
            if let Some(Verdict::Refused(error)) = result.verdict {
                self.open.push(sent);
                rejected = Some(error);
                continue;
            }
            match self.take(&sent, result.verdict) {
                Ok(change) => outcome.changes.push(change),
                Err(Stop::Failed(problem) | Stop::Skipped(problem)) => {
                    outcome.problem = Some(problem);
                }
            }
        }
        rejected.map_or(Ok(()), |error| Err(WriteError::Refused(error)))
    }

    /// Whether any operation has no response yet.
    pub(super) fn has_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// As [`Writer::settle`], while calls may still fail: operations without a response stay
    /// unsettled.
    pub(super) async fn try_settle(
        &mut self,
        client: &Client,
        history: &mut History,
    ) -> Result<(), WriteError> {
        while let Some(sent) = self.open.first().cloned() {
            let verdict = told_of(client, &sent.op).await?;
            let again = told_of(client, &sent.op).await?;
            self.open.remove(0);
            self.close(&sent, verdict, &again, history);
        }
        Ok(())
    }

    /// Repeats operations without a response, to get their verdict by op_id.
    pub(super) async fn settle(&mut self, client: &Client, history: &mut History) -> Check {
        for sent in std::mem::take(&mut self.open) {
            let verdict = client.verdict(sent.op.clone()).await?;
            let again = client.verdict(sent.op.clone()).await?;
            self.close(&sent, verdict, &again, history);
        }
        Ok(())
    }

    /// Records the verdict of an operation, and checks that a repetition returns the same.
    fn close(&mut self, sent: &Sent, verdict: Verdict, again: &Verdict, history: &mut History) {
        match (&verdict, again) {
            (Verdict::Applied(first), Verdict::Applied(second))
                if first.revision == second.revision && second.replayed => {}
            _ => history.unsettled(format!(
                "an open operation was first {}, then {}",
                brief(&verdict),
                brief(again)
            )),
        }
        match self.take(sent, Some(verdict)) {
            Ok(change) => history.settled(change),
            Err(Stop::Failed(problem) | Stop::Skipped(problem)) => history.unsettled(problem),
        }
    }

    /// Plans the next operation: creates, updates twice and deletes each key in turn.
    fn plan(&mut self, context: &CaseContext) -> Sent {
        let slot = self.round % KEYS;
        let number = self.round as u64;
        self.round += 1;
        let path = format!("w{}/k{slot}", self.number);
        let fresh = self.number as u64 * 1_000_000_000 + number;
        let bytes = format!("{fresh} {}", "v".repeat(FILLER));
        let life = self.round / KEYS + slot;
        let (kind, value, mut op) = match self.stored[slot] {
            None => (Type::Created, fresh, context.create(&path, bytes)),
            Some((at, value)) if life % 4 == 3 => (Type::Deleted, value, context.delete(&path, at)),
            Some((at, _)) => (Type::Updated, fresh, context.update(&path, bytes, at)),
        };
        // Unique origins, to detect a driver that mixes them up.
        op.origin = context.has_origins().then(|| Origin {
            manager: format!("writer {}", self.number),
            verb: format!("{kind:?}").to_lowercase(),
            subresource: format!("{number}"),
        });
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
                verdict.as_ref().map_or("undecided".to_owned(), brief)
            )));
        };
        let gone = sent.kind == Type::Deleted;
        self.stored[sent.slot] = (!gone).then_some((applied.revision, sent.value));
        Ok(Change {
            revision: applied.revision,
            kind: sent.kind,
            path,
            value: sent.value,
            origin: sent.op.origin.clone(),
        })
    }
}

/// Writes one operation; returns its verdict.
async fn told_of(client: &Client, op: &Op) -> Result<Verdict, WriteError> {
    let response = client
        .write(vec![op.clone()])
        .await
        .map_err(WriteError::Call)?;
    let verdict = response
        .results
        .into_iter()
        .next()
        .and_then(|result| result.verdict);
    match verdict {
        Some(Verdict::Refused(error)) => Err(WriteError::Refused(error)),
        Some(verdict) => Ok(verdict),
        None => Err(WriteError::Call(Status::internal(
            "a write without a verdict",
        ))),
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

/// A watcher that continues across restarts of the driver.
#[derive(Debug)]
pub(super) struct Watcher {
    start: i64,
    up_to_revision: i64,
    /// State built from its events, if it began at an empty range.
    replay: Option<Replay>,
    changes: Vec<Change>,
}

/// Problem found by a watcher in one run of the driver, and its position.
#[derive(Debug, Default)]
pub(super) struct Watched {
    pub(super) up_to_revision: i64,
    pub(super) problem: Option<String>,
}

/// How one stream of a watcher ended.
#[derive(Debug)]
pub(super) enum End {
    /// The last revision was received.
    Reached,
    /// The watch was rejected.
    Refused(Status),
    /// The stream broke.
    Broke(Status),
}

// === impl Watcher ===

impl Watcher {
    /// Creates a watcher that starts before the first write.
    pub(super) fn new(start: i64) -> Self {
        Self {
            replay: Some(Replay::default()),
            ..Self::starting_at(start)
        }
    }

    /// Creates a watcher that starts at a later revision.
    pub(super) fn starting_at(start: i64) -> Self {
        Self {
            start,
            up_to_revision: start,
            replay: None,
            changes: Vec::new(),
        }
    }

    pub(super) fn start(&self) -> i64 {
        self.start
    }

    pub(super) fn up_to_revision(&self) -> i64 {
        self.up_to_revision
    }

    pub(super) fn changes(&self) -> &[Change] {
        &self.changes
    }

    pub(super) fn replay(&self) -> Option<&Replay> {
        self.replay.as_ref()
    }

    /// Watches until the stream breaks.
    pub(super) async fn work(mut self, context: CaseContext) -> (Self, Watched) {
        let ended = self.follow(&context, || i64::MAX).await;
        let problem = match ended {
            // A typed rejection is a failure, even close to a kill.
            Ok(End::Refused(status)) if from_status(&status).is_some() => {
                Some(Stop::from(status).to_string())
            }
            Ok(_) => None,
            Err(stop) => Some(stop.to_string()),
        };
        let up_to_revision = self.up_to_revision;
        (
            self,
            Watched {
                up_to_revision,
                problem,
            },
        )
    }

    /// Watches up to a revision, which must be reached.
    pub(super) async fn finish(mut self, context: &CaseContext, head: i64) -> (Self, Watched) {
        let problem = match self.follow(context, || head).await {
            Ok(End::Reached) => None,
            Ok(End::Refused(status) | End::Broke(status)) => Some(Stop::from(status).to_string()),
            Err(stop) => Some(stop.to_string()),
        };
        let up_to_revision = self.up_to_revision;
        (
            self,
            Watched {
                up_to_revision,
                problem,
            },
        )
    }

    /// Runs one stream, from where the last one ended.
    pub(super) async fn follow(
        &mut self,
        context: &CaseContext,
        last: impl Fn() -> i64,
    ) -> Check<End> {
        let opened = context
            .connect()
            .try_watch(context.after(self.up_to_revision))
            .await;
        let mut stream = match opened? {
            Ok(stream) => stream,
            Err(status) => return Ok(End::Refused(status)),
        };
        while self.up_to_revision < last() {
            let outcome = match stream.next().await? {
                Ok(outcome) => outcome,
                Err(status) => return Ok(End::Broke(status)),
            };
            if let Some(replay) = &mut self.replay {
                replay.apply_all(&outcome.events)?;
            }
            for event in &outcome.events {
                self.changes.push(change(event)?);
            }
            self.up_to_revision = outcome.up_to_revision;
        }
        Ok(End::Reached)
    }
}

fn change(event: &Event) -> Check<Change> {
    let record = event.record.clone().unwrap_or_default();
    let change = Change {
        revision: event.revision,
        kind: event.r#type(),
        path: record.key.as_ref().map(path_of).unwrap_or_default(),
        value: value_of(&record),
        origin: event.origin.clone(),
    };
    same!(record.value.ends_with(b"v"), true, "a value that is whole");
    Ok(change)
}

/// Returns the number at the start of a value; 0 if no writer wrote it.
fn value_of(record: &Record) -> u64 {
    let text = std::str::from_utf8(&record.value).unwrap_or_default();
    let number = text.split(' ').next().unwrap_or_default();
    number.parse().unwrap_or(0)
}
