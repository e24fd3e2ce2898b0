//! State of the store: the records at the compact revision, and every change since.
//!
//! State at a revision is the records at the compact revision plus the changes up to that revision.
//! That makes reads at past revisions correct by construction.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::SystemTime;

use backend_proto::v1::event::Type;
use backend_proto::v1::op::Action;
use backend_proto::v1::op_result::conflict::Cause;
use backend_proto::v1::op_result::{Applied, Conflict, Verdict};
use backend_proto::v1::{BackendError, Event, Header, Key, Op, OpResult, Range, Record};
use bytes::Bytes;
use prost_types::Timestamp;
use sidecar::driver::ListQuery;
use sidecar::head::{Exhausted, Head};
use sidecar::op;

use super::errors::{compacted, future, invalid};

/// Maximum size of a value in bytes.
pub const VALUE_BYTES: usize = 4 << 20;

/// Sort key of a key: group, resource, and `namespace/name` or `name`.
pub(super) type SortKey = (String, String, String);

/// Records by sort key.
pub(super) type Records = BTreeMap<SortKey, Record>;

/// A store.
#[derive(Clone, Debug)]
pub(super) struct State {
    header: Header,
    /// Records at `header.compact_revision`.
    base: Records,
    /// Current records: `base` with `log` applied, cached because most reads need them.
    now: Records,
    /// Changes after the compact revision, oldest first.
    log: VecDeque<Event>,
    /// Revision of each applied operation in the log, by op_id.
    applied: HashMap<Bytes, i64>,
    resources: BTreeSet<(String, String)>,
}

impl State {
    pub(super) fn new(store_id: String, now: SystemTime) -> Self {
        let started = Head::made(now);
        Self::with(started.header(store_id), Records::new())
    }

    /// Creates a store without history from the records at its revision.
    pub(super) fn with(header: Header, records: Records) -> Self {
        let resources = records.keys().map(|(group, resource, _)| (group, resource));
        Self {
            header,
            resources: resources.map(|(g, r)| (g.clone(), r.clone())).collect(),
            base: records.clone(),
            now: records,
            log: VecDeque::new(),
            applied: HashMap::new(),
        }
    }

    pub(super) fn header(&self) -> Header {
        self.header.clone()
    }

    pub(super) const fn head(&self) -> Head {
        Head {
            epoch: self.header.epoch,
            revision: self.header.revision,
            compact_revision: self.header.compact_revision,
        }
    }

    /// Returns the same records in a new epoch, without history.
    pub(super) fn begin_epoch(&self, now: SystemTime) -> Result<Self, Exhausted> {
        let started = Head::begin(self.head(), now)?;
        let header = started.header(self.header.store_id.clone());
        Ok(Self::with(header, self.now.clone()))
    }

    /// Whether the store never had records.
    pub(super) fn is_empty(&self) -> bool {
        self.head().has_just_begun() && self.now.is_empty()
    }

    pub(super) fn resources(&self) -> Vec<(String, String)> {
        self.resources.iter().cloned().collect()
    }

    /// Bytes of the values of all records.
    pub(super) fn bytes(&self) -> usize {
        self.now.values().map(|record| record.value.len()).sum()
    }

    /// Number of records.
    pub(super) fn count(&self) -> u64 {
        self.now.len() as u64
    }

    // ----- reads -----

    /// Returns the revision at which a read is served; 0 is the newest.
    pub(super) fn readable(&self, asked: i64) -> Result<i64, BackendError> {
        match asked {
            0 => Ok(self.header.revision),
            _ if asked > self.header.revision => Err(future(asked, self.header.revision)),
            _ if asked < self.header.compact_revision => {
                Err(compacted(self.header.compact_revision))
            }
            _ => Ok(asked),
        }
    }

    /// Returns the records at a revision validated by [`State::readable`].
    pub(super) fn at(&self, revision: i64) -> Cow<'_, Records> {
        if revision == self.header.revision {
            return Cow::Borrowed(&self.now);
        }
        let mut records = self.base.clone();
        let changes = self.log.iter();
        for event in changes.take_while(|event| event.revision <= revision) {
            replay(&mut records, event);
        }
        Cow::Owned(records)
    }

    /// Returns the records of a list, plus one beyond its limit, which shows the caller that more
    /// exist.
    pub(super) fn select(&self, revision: i64, query: &ListQuery) -> Vec<Record> {
        let after = query.after.as_ref().map(sort_key);
        let limit = match query.limit {
            0 => usize::MAX,
            limit => usize::try_from(limit)
                .unwrap_or(usize::MAX)
                .saturating_add(1),
        };
        self.at(revision)
            .iter()
            .filter(|(_, record)| holds(&query.range, record))
            .filter(|(sort_key, _)| after.as_ref().is_none_or(|after| *sort_key > after))
            .take(limit)
            .map(|(_, record)| record.clone())
            .collect()
    }

    /// Returns changes after a revision, oldest first.
    pub(super) fn changes_after(&self, revision: i64) -> impl Iterator<Item = &Event> {
        let first = self.log.partition_point(|event| event.revision <= revision);
        self.log.range(first..)
    }

    // ----- writes -----

    /// Applies one operation and returns its verdict.
    pub(super) fn apply(&mut self, op: Op, now: Timestamp) -> OpResult {
        let verdict = self.decide(op, now).unwrap_or_else(Verdict::Refused);
        OpResult {
            verdict: Some(verdict),
        }
    }

    /// Returns the verdict of an operation that was already applied; stores nothing.
    pub(super) fn remembered(&self, op: &Op) -> Option<Verdict> {
        let key = op.key.as_ref()?;
        let first = self.replayed(op, key).transpose()?;
        Some(first.map_or_else(Verdict::Refused, Verdict::Applied))
    }

    fn decide(&mut self, op: Op, now: Timestamp) -> Result<Verdict, BackendError> {
        let key = check(&op)?;
        // Check the op_id first: a repeated operation must not conflict with the state it created.
        if let Some(first) = self.replayed(&op, &key)? {
            return Ok(Verdict::Applied(first));
        }
        Head::check_room(self.header.revision)?;
        let current = self.now.get(&sort_key(&key)).cloned();
        if let Some(cause) = conflict(&op, current.as_ref()) {
            return Ok(Verdict::Conflict(Conflict {
                cause: cause.into(),
                current,
            }));
        }
        if let Some(stored) = &current
            && op.action() == Action::Update
            && stored.value == op.value
        {
            return Ok(Verdict::Applied(Applied {
                revision: stored.revision,
                noop: true,
                ..Applied::default()
            }));
        }
        let op_id = op.op_id.clone();
        let event = self.change(op, key, current, now);
        let applied = Applied {
            revision: event.revision,
            deleted: deleted(&event),
            ..Applied::default()
        };
        self.record(event, op_id);
        Ok(Verdict::Applied(applied))
    }

    /// Returns the first verdict of an operation that was already applied.
    fn replayed(&self, op: &Op, key: &Key) -> Result<Option<Applied>, BackendError> {
        let Some(&revision) = self.applied.get(&op.op_id) else {
            return Ok(None);
        };
        let found = self.changes_after(revision - 1).next();
        let Some(event) = found.filter(|event| key_of(event) == *key) else {
            return Err(invalid("this op_id was used for another key"));
        };
        Ok(Some(Applied {
            revision,
            noop: false,
            deleted: deleted(event),
            replayed: true,
        }))
    }

    /// Builds the change of a permitted operation, with the next revision.
    fn change(&self, op: Op, key: Key, current: Option<Record>, now: Timestamp) -> Event {
        let revision = self.header.revision + 1;
        let actor = op::actor(&op).to_owned();
        let origin = op::origin(op.origin.as_ref());
        let previous_revision = current.as_ref().map_or(0, |record| record.revision);
        let (kind, record) = match current {
            Some(stored) if op.action() == Action::Delete => (Type::Deleted, stored),
            stored => {
                let (kind, create_revision, created_at) = match stored {
                    Some(stored) => (Type::Updated, stored.create_revision, stored.created_at),
                    None => (Type::Created, revision, Some(now)),
                };
                let record = Record {
                    key: Some(key),
                    revision,
                    create_revision,
                    value: op.value,
                    index: op.index,
                    created_at,
                    updated_at: Some(now),
                    unreadable: String::new(),
                };
                (kind, record)
            }
        };
        Event {
            revision,
            r#type: kind.into(),
            record: Some(record),
            previous_revision,
            time: Some(now),
            actor,
            origin,
        }
    }

    /// Appends a change to the log and applies it.
    pub(super) fn record(&mut self, event: Event, op_id: Bytes) {
        let key = key_of(&event);
        self.resources.insert((key.group, key.resource));
        self.header.revision = event.revision;
        replay(&mut self.now, &event);
        if !op_id.is_empty() {
            self.applied.insert(op_id, event.revision);
        }
        self.log.push_back(event);
    }

    // ----- history -----

    /// Drops changes up to `revision`; their result stays in `base`.
    pub(super) fn compact(&mut self, revision: i64) -> Result<(), BackendError> {
        if revision > self.header.revision {
            return Err(future(revision, self.header.revision));
        }
        if revision <= self.header.compact_revision {
            return Ok(());
        }
        self.base = self.at(revision).into_owned();
        self.log.retain(|event| event.revision > revision);
        self.applied.retain(|_, applied| *applied > revision);
        self.header.compact_revision = revision;
        Ok(())
    }

    /// Returns the newest revision that is both older than the horizon and not among the last
    /// `keep_events`.
    pub(super) fn retention_target(&self, horizon: Timestamp, keep_events: u64) -> Option<i64> {
        let keep = usize::try_from(keep_events).unwrap_or(usize::MAX);
        let age = |time: &Timestamp| (time.seconds, time.nanos);
        self.log
            .iter()
            .take(self.log.len().saturating_sub(keep))
            .take_while(|event| event.time.as_ref().is_some_and(|t| age(t) < age(&horizon)))
            .last()
            .map(|event| event.revision)
    }
}

/// Applies a change to records.
fn replay(records: &mut Records, event: &Event) {
    let sort_key = sort_key(&key_of(event));
    match &event.record {
        Some(record) if event.r#type() != Type::Deleted => {
            records.insert(sort_key, record.clone());
        }
        _ => {
            records.remove(&sort_key);
        }
    }
}

/// Returns the key of an operation, or the reason why it is invalid in any state.
fn check(op: &Op) -> Result<Key, BackendError> {
    match op::rejection(op, VALUE_BYTES) {
        // An operation without a key has a refusal.
        None => Ok(op.key.clone().unwrap_or_default()),
        Some(rejection) => Err(rejection),
    }
}

/// Returns the unmet precondition of an operation.
fn conflict(op: &Op, current: Option<&Record>) -> Option<Cause> {
    match (op.action(), current) {
        (Action::Create, Some(_)) => Some(Cause::Exists),
        (Action::Create | Action::Unspecified, _) => None,
        (Action::Update | Action::Delete, None) => Some(Cause::NotFound),
        (Action::Update | Action::Delete, Some(stored)) => {
            let uid = stored.index.as_ref().map_or("", |index| index.uid.as_str());
            if op.expected_revision != 0 && op.expected_revision != stored.revision {
                Some(Cause::Revision)
            } else if !op.expected_uid.is_empty() && op.expected_uid != uid {
                Some(Cause::Uid)
            } else {
                None
            }
        }
    }
}

fn deleted(event: &Event) -> Option<Record> {
    let gone = event.r#type() == Type::Deleted;
    event.record.clone().filter(|_| gone)
}

fn key_of(event: &Event) -> Key {
    let key = event.record.as_ref().and_then(|record| record.key.clone());
    key.unwrap_or_default()
}

/// Returns the sort key of a key.
pub(super) fn sort_key(key: &Key) -> SortKey {
    let path = if key.namespace.is_empty() {
        key.name.clone()
    } else {
        format!("{}/{}", key.namespace, key.name)
    };
    (key.group.clone(), key.resource.clone(), path)
}

fn holds(range: &Range, record: &Record) -> bool {
    let Some(key) = &record.key else {
        return false;
    };
    let same = |wanted: &Option<String>, found: &String| wanted.as_ref().is_none_or(|w| w == found);
    range.group == key.group
        && range.resource == key.resource
        && same(&range.namespace, &key.namespace)
        && same(&range.name, &key.name)
}
