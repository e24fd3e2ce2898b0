//! Clients that run random operations and record the results.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use backend_proto::v1::event::Type;
use backend_proto::v1::op_result::Verdict;
use backend_proto::v1::{Event, Op, Record, WriteRequest};
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::task::JoinSet;
use tonic::Request;

use super::register::{Action, Operation, Outcome, Value};
use crate::check::{Check, Stop, ensure, some};
use crate::client::{Client, timed};
use crate::context::CaseContext;
use crate::key::path_of;

const CLIENTS: u64 = 6;
const KEYS: u64 = 3;
/// Calls per client.
const CALLS: usize = 50;

/// One operation of a history.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    pub(crate) path: String,
    pub(crate) operation: Operation,
    /// Revision of an applied change.
    pub(crate) revision: i64,
    /// Records in the response.
    pub(crate) shown: Vec<Record>,
}

impl Recorded {
    /// Checks that an event matches this operation.
    pub(crate) fn fits(&self, event: &Event) -> Check {
        let record = some(event.record.as_ref(), "record of an event")?;
        let path = record.key.as_ref().map(path_of);
        let (kind, value) = match self.operation.action {
            Action::Create(value) => (Type::Created, Some(value)),
            Action::Update { value, .. } => (Type::Updated, Some(value)),
            Action::Delete { .. } => (Type::Deleted, None),
            Action::Get => (Type::Unspecified, None),
        };
        let same_value = value.is_none_or(|value| value_of(record) == Some(value));
        ensure!(
            path.as_ref() == Some(&self.path) && event.r#type() == kind && same_value,
            "event {} is not what {:?} on {} did",
            event.revision,
            self.operation.action,
            self.path
        );
        Ok(())
    }
}

/// A client and its state.
struct Actor {
    context: CaseContext,
    client: Client,
    random: StdRng,
    /// Logical clock that orders all calls of the history.
    clock: Arc<AtomicU64>,
    values: Arc<AtomicU64>,
    /// Last observed revision and value of each key.
    known: HashMap<String, (i64, Value)>,
    prefix: String,
    history: Vec<Recorded>,
}

/// Runs the clients on keys under `prefix`; the same seed makes the same choices.
pub(crate) async fn record(context: &CaseContext, seed: u64, prefix: &str) -> Check<Vec<Recorded>> {
    let (clock, values) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(1)));
    let mut actors = JoinSet::new();
    for number in 0..CLIENTS {
        let actor = Actor {
            client: context.connect(),
            context: context.clone(),
            random: StdRng::seed_from_u64(seed.wrapping_mul(CLIENTS).wrapping_add(number)),
            clock: clock.clone(),
            values: values.clone(),
            known: HashMap::new(),
            prefix: prefix.to_owned(),
            history: Vec::new(),
        };
        actors.spawn(actor.run());
    }
    let mut history = Vec::new();
    for recorded in actors.join_all().await {
        history.extend(recorded?);
    }
    Ok(history)
}

// === impl Actor ===

impl Actor {
    async fn run(mut self) -> Check<Vec<Recorded>> {
        for _ in 0..CALLS {
            match self.random.random_range(0..10) {
                0..3 => self.get().await?,
                3..9 => self.write(1).await?,
                _ => self.write(KEYS).await?,
            }
        }
        Ok(self.history)
    }

    fn now(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    fn path(&self, key: u64) -> String {
        format!("{}/k{key}", self.prefix)
    }

    async fn get(&mut self) -> Check {
        let key = self.random.random_range(0..KEYS);
        let path = self.path(key);
        let begin = self.now();
        let reply = self.client.get(&self.context.key(&path), 0).await?;
        let end = self.now();
        self.know(&path, reply.record.as_ref());
        let operation = Operation {
            begin,
            end: Some(end),
            action: Action::Get,
            outcome: Outcome::Got(value(reply.record.as_ref())?),
        };
        self.note(path, operation, 0, reply.record);
        Ok(())
    }

    /// Writes `count` operations on different keys in one request, sometimes with a deadline too
    /// short for the response.
    async fn write(&mut self, count: u64) -> Check {
        let first = self.random.random_range(0..KEYS);
        let mut planned = Vec::new();
        for key in 0..count {
            let path = self.path((first + key) % KEYS);
            let (action, op) = self.plan(&path);
            planned.push((path, action, op));
        }
        let ops = planned.iter().map(|(_, _, op)| op.clone()).collect();
        let mut request = timed(WriteRequest { ops });
        if self.random.random_range(0..12) == 0 {
            let haste = self.random.random_range(200..3_000);
            request.set_timeout(Duration::from_micros(haste));
        }
        let begin = self.now();
        let reply = self.send(request).await;
        let end = self.now();
        let verdicts = match reply {
            None => vec![None; planned.len()],
            Some(verdicts) => verdicts?.into_iter().map(Some).collect(),
        };
        for ((path, action, _), verdict) in planned.into_iter().zip(verdicts) {
            self.settle(path, action, (begin, end), verdict)?;
        }
        Ok(())
    }

    /// Returns the verdicts; `None` if the call failed, so that the outcome is unknown.
    async fn send(&self, request: Request<WriteRequest>) -> Option<Check<Vec<Verdict>>> {
        let count = request.get_ref().ops.len();
        let response = self.client.raw().write(request).await.ok()?.into_inner();
        let verdicts: Vec<_> = response
            .results
            .into_iter()
            .filter_map(|r| r.verdict)
            .collect();
        Some(if verdicts.len() == count {
            Ok(verdicts)
        } else {
            let sentence = format!("{} verdicts over {count} operations", verdicts.len());
            Err(Stop::Failed(sentence))
        })
    }

    fn plan(&mut self, path: &str) -> (Action, Op) {
        let value = self.values.fetch_add(1, Ordering::SeqCst);
        let bytes = Bytes::from(value.to_string());
        let known = self.known.get(path).copied();
        let known = known.filter(|_| self.random.random_range(0..4) != 0);
        let (expected, expect) = known.map_or((0, None), |(at, value)| (at, Some(value)));
        match self.random.random_range(0..6) {
            0..2 => (Action::Create(value), self.context.create(path, bytes)),
            2..5 => {
                let op = self.context.update(path, bytes, expected);
                (Action::Update { expect, value }, op)
            }
            _ => (
                Action::Delete { expect },
                self.context.delete(path, expected),
            ),
        }
    }

    fn settle(
        &mut self,
        path: String,
        action: Action,
        (begin, end): (u64, u64),
        verdict: Option<Verdict>,
    ) -> Check {
        let (outcome, revision, shown) = match verdict {
            None => (Outcome::Unknown, 0, None),
            Some(Verdict::Refused(error)) => {
                let sentence = format!("an operation was refused: {}", error.message);
                return Err(Stop::Failed(sentence));
            }
            Some(Verdict::Conflict(conflict)) => {
                self.know(&path, conflict.current.as_ref());
                let observed = value(conflict.current.as_ref())?;
                (Outcome::Conflict(observed), 0, conflict.current)
            }
            Some(Verdict::Applied(applied)) => {
                match action {
                    Action::Create(value) | Action::Update { value, .. } => {
                        self.known.insert(path.clone(), (applied.revision, value));
                    }
                    Action::Delete { .. } | Action::Get => {}
                }
                let deleted = value(applied.deleted.as_ref())?;
                (
                    Outcome::Applied { deleted },
                    applied.revision,
                    applied.deleted,
                )
            }
        };
        let operation = Operation {
            begin,
            end: (outcome != Outcome::Unknown).then_some(end),
            action,
            outcome,
        };
        self.note(path, operation, revision, shown);
        Ok(())
    }

    fn know(&mut self, path: &str, record: Option<&Record>) {
        if let Some(record) = record
            && let Some(value) = value_of(record)
        {
            self.known.insert(path.to_owned(), (record.revision, value));
        }
    }

    fn note(&mut self, path: String, operation: Operation, revision: i64, shown: Option<Record>) {
        self.history.push(Recorded {
            path,
            operation,
            revision,
            shown: shown.into_iter().collect(),
        });
    }
}

/// Returns the value of a record, which must be one of the history's values.
fn value(record: Option<&Record>) -> Check<Option<Value>> {
    let value = record.map(|record| some(value_of(record), "a value that was ever written"));
    value.transpose()
}

fn value_of(record: &Record) -> Option<Value> {
    std::str::from_utf8(&record.value).ok()?.parse().ok()
}
