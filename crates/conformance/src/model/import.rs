//! An import on its way in, kept apart from the store until it is whole.

use backend_proto::limits::{epoch_base, epoch_of};
use backend_proto::v1::event::Type;
use backend_proto::v1::{BackendError, Event, Header, Record};
use bytes::Bytes;
use sidecar::driver::{ImportOptions, ImportPart};
use tokio::sync::mpsc;

use super::errors::invalid;
use super::state::{Records, State, place};

/// Everything that arrived.
pub(super) struct Imported {
    options: ImportOptions,
    records: Records,
    events: Vec<Event>,
}

/// Takes parts up to `Done`. A channel that closes before it means: keep nothing.
pub(super) async fn receive(
    options: ImportOptions,
    mut parts: mpsc::Receiver<ImportPart>,
) -> Result<Imported, BackendError> {
    let source = &options.source;
    if source.epoch < 1 || epoch_of(source.revision) != source.epoch {
        return Err(invalid("the source's revision does not fit its epoch"));
    }
    let mut imported = Imported {
        options,
        records: Records::new(),
        events: Vec::new(),
    };
    loop {
        match parts.recv().await {
            Some(ImportPart::Records(records)) => imported.add_records(records)?,
            Some(ImportPart::Events(events)) => imported.add_events(events)?,
            Some(ImportPart::Done) => return Ok(imported),
            None => return Err(invalid("the import ended before it was complete")),
        }
    }
}

impl Imported {
    fn add_records(&mut self, records: Vec<Record>) -> Result<(), BackendError> {
        if !self.events.is_empty() {
            return Err(invalid("records after events"));
        }
        for record in records {
            let key = record.key.as_ref();
            let key = key.ok_or_else(|| invalid("a record has no key"))?;
            if record.revision < 1 || record.revision > self.options.source.revision {
                return Err(invalid("a record is newer than its snapshot"));
            }
            self.records.insert(place(key), record);
        }
        Ok(())
    }

    fn add_events(&mut self, events: Vec<Event>) -> Result<(), BackendError> {
        for event in events {
            let newest = self.events.last().map(|event| event.revision);
            if event.revision <= newest.unwrap_or(self.options.source.revision) {
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

    /// The store that the import makes, in place of an empty one of epoch `before`.
    pub(super) fn into_state(self, before: i64) -> State {
        let source = self.options.source;
        let snapshot = Header {
            compact_revision: source.revision,
            ..source
        };
        let mut state = State::with(snapshot, self.records);
        for event in self.events {
            state.record(event, Bytes::new());
        }
        if self.options.keep_epoch {
            return state;
        }
        // Commits that somebody saw may be missing: everything revisioned so far is past, and no
        // old revision can be asked for.
        let epoch = state.header().epoch.max(before) + 1;
        let header = Header {
            epoch,
            revision: epoch_base(epoch),
            compact_revision: epoch_base(epoch),
            ..state.header()
        };
        State::with(header, state.at(state.header().revision).into_owned())
    }
}
