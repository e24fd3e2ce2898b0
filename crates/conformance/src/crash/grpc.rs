//! Clients of a workload over the Backend protocol. Every message is checked against the rules of
//! the protocol.

use std::hash::{DefaultHasher, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backend_proto::error::from_status;
use backend_proto::v1::backend_error::{Outcome, Reason};
use backend_proto::v1::event::Type;
use backend_proto::v1::op_result::Verdict;
use backend_proto::v1::{
    BackendError, CurrentRevisionRequest, Header, Op, OpResult, Origin, Record,
};
use bytes::Bytes;
use prost::Message as _;
use tonic::Status;
use workload::{
    Action, Applied, Batch, CallError, Client as WorkloadClient, Event, Head, Key, Kind, Listing,
    Object, Revision, Servers, Watch, Write,
};

use crate::check::Stop;
use crate::client::{Client, timed};
use crate::context::CaseContext;
use crate::key::path_of;
use crate::stream::Stream;

/// Bytes of a value besides its number.
const FILLER: usize = 300;

/// Drivers of one store.
pub struct Drivers(Vec<CaseContext>);

/// A connection to a driver.
pub struct Session {
    context: CaseContext,
    client: Client,
}

struct OpenWatch(Stream);

// === impl Drivers ===

impl Drivers {
    /// Wraps contexts with the same keys at different endpoints.
    #[must_use]
    pub fn new(contexts: Vec<CaseContext>) -> Self {
        Self(contexts)
    }
}

#[async_trait]
impl Servers for Drivers {
    async fn connect(&self, turn: usize) -> (usize, Arc<dyn WorkloadClient>) {
        let index = turn % self.0.len();
        (index, Arc::new(Session::new(&self.0[index])))
    }

    fn count(&self) -> usize {
        self.0.len()
    }
}

// === impl Session ===

impl Session {
    /// Opens a connection. A channel delays reconnecting after a failure, so that clients open a
    /// new one after each.
    #[must_use]
    pub fn new(context: &CaseContext) -> Self {
        Self {
            client: context.connect(),
            context: context.clone(),
        }
    }

    fn op(&self, write: &Write) -> Op {
        let path = write.key.as_str();
        let mut op = match write.action {
            Action::Create => self.context.create(path, value(write.number)),
            Action::Replace(at) | Action::Patch(Some(at)) => {
                self.context.update(path, value(write.number), number(at))
            }
            // No update without a revision exists; 0 is rejected.
            Action::Patch(None) => self.context.update(path, value(write.number), 0),
            Action::Delete(at) => self.context.delete(path, number(at)),
        };
        op.op_id = Bytes::copy_from_slice(&write.id);
        op.origin = self.context.has_origins().then(|| origin(write));
        op
    }

    fn applied(&self, write: &Write, result: OpResult) -> Result<Applied, CallError> {
        match result.verdict {
            Some(Verdict::Applied(applied)) => Ok(Applied {
                revision: Some(revision(applied.revision)),
                digest: None,
                author: (self.context.has_origins()).then(|| author(&origin(write))),
                repeated: applied.replayed,
            }),
            Some(Verdict::Conflict(conflict)) => {
                Err(CallError::Conflict(format!("{:?}", conflict.cause())))
            }
            Some(Verdict::Refused(error)) => Err(typed(&error)),
            None => Err(CallError::Violation("a write without a verdict".to_owned())),
        }
    }
}

#[async_trait]
impl WorkloadClient for Session {
    async fn write(&self, writes: &[Write]) -> Result<Vec<Result<Applied, CallError>>, CallError> {
        let ops = writes.iter().map(|write| self.op(write)).collect();
        let response = self
            .client
            .write(ops)
            .await
            .map_err(|status| failed(&status))?;
        let results = writes.iter().zip(response.results);
        Ok(results
            .map(|(write, result)| self.applied(write, result))
            .collect())
    }

    async fn read(&self, key: &Key) -> Result<Option<Object>, CallError> {
        let key = self.context.key(key.as_str());
        let found = self
            .client
            .get(&key, 0)
            .await
            .map_err(|status| failed(&status))?;
        Ok(found.record.as_ref().map(object))
    }

    async fn list(&self) -> Result<Listing, CallError> {
        let listed = self.client.try_list(self.context.all(0)).await;
        let listed = listed
            .map_err(|stop| violation(&stop))?
            .map_err(|status| failed(&status))?;
        let records = listed.records.iter();
        Ok(Listing {
            revision: revision(listed.header.revision),
            objects: records
                .map(|record| (key_of(record), object(record)))
                .collect(),
        })
    }

    async fn head(&self) -> Result<Head, CallError> {
        let request = timed(CurrentRevisionRequest {});
        let response = self.client.raw().current_revision(request).await;
        let header = response
            .map_err(|status| failed(&status))?
            .into_inner()
            .header;
        let none = || CallError::Violation("a response without a header".to_owned());
        Ok(head(&header.ok_or_else(none)?))
    }

    async fn watch(&self, after: Revision) -> Result<Box<dyn Watch>, CallError> {
        let request = self.context.after(number(after));
        let opened = self.client.try_watch(request).await;
        let stream = opened
            .map_err(|stop| violation(&stop))?
            .map_err(|status| failed(&status))?;
        Ok(Box::new(OpenWatch(stream)))
    }
}

// === impl OpenWatch ===

#[async_trait]
impl Watch for OpenWatch {
    async fn next(&mut self) -> Result<Batch, CallError> {
        let message = self.0.next().await;
        let message = message
            .map_err(|stop| violation(&stop))?
            .map_err(|status| failed(&status))?;
        let events = message.events.iter().map(event);
        Ok(Batch {
            events: events.collect::<Result<_, _>>()?,
            up_to_revision: revision(message.up_to_revision),
        })
    }
}

/// Converts a header.
#[must_use]
pub fn head(header: &Header) -> Head {
    Head {
        revision: revision(header.revision),
        epoch: Some((revision(header.epoch), revision(header.compact_revision))),
    }
}

/// Converts a revision of the protocol; negative ones become 0, which no store issues.
#[must_use]
pub fn revision(number: i64) -> Revision {
    Revision::new(u64::try_from(number).unwrap_or_default())
}

/// Converts a revision to the protocol.
#[must_use]
pub fn number(revision: Revision) -> i64 {
    i64::try_from(revision.get()).unwrap_or(i64::MAX)
}

fn event(event: &backend_proto::v1::Event) -> Result<Event, CallError> {
    let record = event.record.clone().unwrap_or_default();
    let stored = object(&record);
    if stored.number != 0 && record.value != value(stored.number) {
        let path = key_of(&record);
        let text = format!("event {} of {path} has a torn value", event.revision);
        return Err(CallError::Violation(text));
    }
    Ok(Event {
        revision: revision(event.revision),
        key: key_of(&record),
        kind: match event.r#type() {
            Type::Created => Kind::Created,
            Type::Deleted => Kind::Deleted,
            // The rules of streams reject events without a type.
            Type::Updated | Type::Unspecified => Kind::Updated,
        },
        number: stored.number,
        digest: stored.digest,
        previous: Some(revision(event.previous_revision)),
        author: event.origin.as_ref().map(author),
    })
}

fn object(record: &Record) -> Object {
    let mut hasher = DefaultHasher::new();
    hasher.write(&record.encode_to_vec());
    let text = std::str::from_utf8(&record.value).unwrap_or_default();
    let number = text.split(' ').next().unwrap_or_default();
    Object {
        revision: revision(record.revision),
        number: number.parse().unwrap_or_default(),
        digest: hasher.finish(),
    }
}

fn key_of(record: &Record) -> Key {
    Key::from(record.key.as_ref().map(path_of).unwrap_or_default())
}

fn value(number: u64) -> Bytes {
    format!("{number} {}", "v".repeat(FILLER)).into()
}

/// A unique origin of each write, to detect a driver that mixes them up.
fn origin(write: &Write) -> Origin {
    let (writer, operation) = write.origin;
    Origin {
        manager: format!("writer {writer}"),
        verb: format!("{:?}", write.action.kind()).to_lowercase(),
        subresource: operation.to_string(),
    }
}

fn author(origin: &Origin) -> Arc<str> {
    let Origin {
        manager,
        verb,
        subresource,
    } = origin;
    format!("{manager}: {verb} {subresource}").into()
}

fn violation(stop: &Stop) -> CallError {
    CallError::Violation(stop.to_string())
}

fn failed(status: &Status) -> CallError {
    match from_status(status) {
        Some(error) => typed(&error),
        None => CallError::Broken(format!("{:?}: {}", status.code(), status.message())),
    }
}

fn typed(error: &BackendError) -> CallError {
    let reason = error.reason().as_str_name().to_owned();
    let message = error.message.clone();
    match error.reason() {
        Reason::NotReady | Reason::Overloaded => CallError::Retry {
            reason,
            message,
            after: u64::try_from(error.retry_after_ms)
                .ok()
                .filter(|after| *after > 0)
                .map(Duration::from_millis),
            not_applied: error.outcome() == Outcome::NotApplied,
        },
        Reason::Compacted | Reason::EpochChanged => CallError::Expired { reason, message },
        _ => CallError::Rejected(format!("{reason}: {message}")),
    }
}
