//! State built from events, to check lists and reads against.

use std::collections::BTreeMap;

use backend_proto::v1::event::Type;
use backend_proto::v1::{Event, Record};

use crate::check::{Check, ensure, same, some};
use crate::key::path_of;

/// Records of one group and resource by path, after the events so far.
#[derive(Clone, Debug, Default)]
pub struct Replay {
    records: BTreeMap<String, Record>,
    revision: i64,
}

// === impl Replay ===

impl Replay {
    /// Builds the state of a list at `revision`.
    #[must_use]
    pub fn from_list(records: &[Record], revision: i64) -> Self {
        let keyed = records.iter().filter_map(|record| {
            let path = path_of(record.key.as_ref()?);
            Some((path, record.clone()))
        });
        Self {
            records: keyed.collect(),
            revision,
        }
    }

    /// Applies the next event, which must follow from the current state (V3, V8).
    ///
    /// # Errors
    /// If it does not.
    pub fn apply(&mut self, event: &Event) -> Check {
        let revision = event.revision;
        ensure!(
            revision > self.revision,
            "V1: event {revision} follows event {}",
            self.revision
        );
        self.revision = revision;
        let record = some(event.record.as_ref(), "record of an event")?;
        let path = path_of(some(record.key.as_ref(), "key of an event")?);
        let before = self.records.get(&path);
        let stored = before.map_or(0, |record| record.revision);
        same!(
            event.previous_revision,
            stored,
            "V3, V8: what event {revision} of {path} replaces"
        );
        match event.r#type() {
            Type::Deleted => {
                ensure!(
                    before == Some(record),
                    "V8: the delete {revision} of {path} does not carry the last record"
                );
                self.records.remove(&path);
            }
            Type::Created | Type::Updated | Type::Unspecified => {
                self.records.insert(path, record.clone());
            }
        }
        Ok(())
    }

    pub(crate) fn apply_all(&mut self, events: &[Event]) -> Check {
        events.iter().try_for_each(|event| self.apply(event))
    }

    /// Asserts that a list equals this state, in key order.
    ///
    /// # Errors
    /// If it does not.
    pub fn matches(&self, records: &[Record], what: &str) -> Check {
        let brief = |record: &Record| {
            let path = record.key.as_ref().map(path_of).unwrap_or_default();
            (path, record.revision)
        };
        let expected: Vec<_> = self.records.values().map(brief).collect();
        let observed: Vec<_> = records.iter().map(brief).collect();
        same!(observed, expected, "{what}");
        ensure!(
            records.iter().eq(self.records.values()),
            "{what}: a record differs from the one in its event"
        );
        Ok(())
    }

    pub(crate) fn get(&self, path: &str) -> Option<&Record> {
        self.records.get(path)
    }
}

/// Builds the state at `revision` from all events since the beginning.
pub(crate) fn state_at(events: &[Event], revision: i64) -> Check<Replay> {
    let mut replay = Replay::default();
    for event in events.iter().take_while(|event| event.revision <= revision) {
        replay.apply(event)?;
    }
    Ok(replay)
}
