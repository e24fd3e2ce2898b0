//! Import in progress, kept separate from the store until it is complete.

use std::time::SystemTime;

use backend_proto::v1::event::Type;
use backend_proto::v1::{BackendError, Event, Header, Record};
use bytes::Bytes;
use sidecar::driver::{ImportOptions, ImportPart, ImportProgress};
use sidecar::head::{Exhausted, Head};
use tokio::sync::mpsc;

use super::errors::invalid;
use super::state::{Records, State, sort_key};

/// Content of all calls of an import so far.
#[derive(Clone, Debug)]
pub(super) struct Imported {
    source: Header,
    records: Records,
    events: Vec<Event>,
    /// Whether records must be in key order: required for an import in several calls.
    ordered: bool,
}

/// Receives the parts of one call up to `Done` and appends them to earlier calls. If the channel
/// closes before `Done`, nothing of the call is stored.
pub(super) async fn receive(
    options: &ImportOptions,
    earlier: Option<Imported>,
    mut parts: mpsc::Receiver<ImportPart>,
) -> Result<Imported, BackendError> {
    let mut imported = Imported::begin(options, earlier)?;
    loop {
        match parts.recv().await {
            Some(ImportPart::Records(records)) => imported.add_records(records)?,
            Some(ImportPart::Events(events)) => imported.add_events(events)?,
            Some(ImportPart::Done) => return Ok(imported),
            None => return Err(invalid("the import ended before it was complete")),
        }
    }
}

/// Identifies an exported snapshot.
fn identity(source: &Header) -> (&str, i64, i64) {
    (&source.store_id, source.epoch, source.revision)
}

impl Imported {
    fn begin(options: &ImportOptions, earlier: Option<Self>) -> Result<Self, BackendError> {
        let source = &options.source;
        let problem =
            "an import of another snapshot is unfinished: carry on with it, or discard it";
        match earlier.filter(|_| !options.discard) {
            Some(earlier) if identity(&earlier.source) == identity(source) => Ok(earlier),
            Some(_) => Err(invalid(problem)),
            None => Ok(Self {
                source: source.clone(),
                records: Records::new(),
                events: Vec::new(),
                ordered: options.more,
            }),
        }
    }

    /// Returns the progress from which the next call continues.
    pub(super) fn progress(&self) -> ImportProgress {
        let newest = self.events.last().map(|event| event.revision);
        let last = self.records.last_key_value();
        ImportProgress {
            source: self.source.clone(),
            last: last.and_then(|(_, record)| record.key.clone()),
            revision: newest.unwrap_or(self.source.revision),
            records: self.records.len() as i64,
        }
    }

    fn add_records(&mut self, records: Vec<Record>) -> Result<(), BackendError> {
        if !self.events.is_empty() {
            return Err(invalid("records after events"));
        }
        for record in records {
            let key = record.key.as_ref();
            let key = key.ok_or_else(|| invalid("a record has no key"))?;
            if record.revision < 1 || record.revision > self.source.revision {
                return Err(invalid("a record is newer than its snapshot"));
            }
            let (sort_key, last) = (sort_key(key), self.records.last_key_value());
            // The next call continues after the last key, so records must be in order.
            if self.ordered && last.is_some_and(|(last, _)| *last >= sort_key) {
                return Err(invalid("records out of key order"));
            }
            self.records.insert(sort_key, record);
        }
        Ok(())
    }

    fn add_events(&mut self, events: Vec<Event>) -> Result<(), BackendError> {
        for event in events {
            let newest = self.events.last().map(|event| event.revision);
            if event.revision <= newest.unwrap_or(self.source.revision) {
                return Err(invalid("events out of order"));
            }
            let key = event.record.as_ref().and_then(|record| record.key.as_ref());
            if key.is_none() || event.r#type() == Type::Unspecified {
                return Err(invalid("an event has no key or no type"));
            }
            self.events.push(event);
        }
        Ok(())
    }

    /// Builds the imported store, replacing an empty one at `before`.
    pub(super) fn into_state(
        self,
        before: Head,
        keep_epoch: bool,
        now: SystemTime,
    ) -> Result<State, Exhausted> {
        let source = self.source;
        let snapshot = Header {
            compact_revision: source.revision,
            ..source
        };
        let mut state = State::with(snapshot, self.records);
        for event in self.events {
            state.record(event, Bytes::new());
        }
        if keep_epoch {
            return Ok(state);
        }
        // The import may lack commits that clients saw: a new epoch begins, and earlier revisions
        // are compacted.
        let header = state.header();
        let started = Head::begin(state.head().max_of(before), now)?;
        Ok(State::with(
            started.header(header.store_id),
            state.at(header.revision).into_owned(),
        ))
    }
}
