//! Batches of operations, each in one transaction.

use std::collections::HashMap;

use backend_proto::v1::backend_error::Reason;
use backend_proto::v1::event::Type;
use backend_proto::v1::op::Action;
use backend_proto::v1::op_result::conflict::Cause;
use backend_proto::v1::op_result::{Applied, Conflict, Verdict};
use backend_proto::v1::{BackendError, Event, Key, Op, OpResult, Record};
use rusqlite::{Connection, OptionalExtension as _};
use sidecar::head::Head;
use sidecar::key::path_of;
use sidecar::op::{actor, invalid, origin, refused, rejection};
use sidecar::time::timestamp;

use crate::error::Error;
use crate::read;
use crate::record::{Entry, Sealed, change};

/// Maximum size of a value in bytes.
pub(crate) const VALUE_BYTES: usize = 32 << 20;

/// Cache of the ids in `resource`. Dropped after a rollback, because the transaction may have added
/// one.
#[derive(Debug, Default)]
pub(crate) struct ResourceIds(HashMap<String, HashMap<String, i64>>);

/// A batch in progress.
pub(crate) struct Batch<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) resources: &'a mut ResourceIds,
    /// Whether creates and updates are rejected.
    pub(crate) full: bool,
    /// Newest revision so far.
    pub(crate) revision: i64,
    /// Commit time in nanoseconds since 1970.
    pub(crate) now: i64,
    pub(crate) events: Vec<Event>,
}

/// Key of one operation.
struct Target<'a> {
    op: &'a Op,
    key: &'a Key,
    resource: i64,
    path: String,
}

impl Batch<'_> {
    /// Applies one operation and returns its verdict. An error fails the whole batch.
    pub(crate) fn apply(&mut self, op: &Op) -> Result<OpResult, Error> {
        let verdict = match (rejection(op, VALUE_BYTES), op.key.as_ref()) {
            (None, Some(key)) => self.decide(op, key)?,
            // An operation without a key has a refusal.
            (refused, _) => Verdict::Refused(refused.unwrap_or_default()),
        };
        Ok(OpResult {
            verdict: Some(verdict),
        })
    }

    /// Returns the verdict of an operation that was already applied; stores nothing.
    pub(crate) fn remembered(&mut self, op: &Op) -> Result<Option<Verdict>, Error> {
        let Some(key) = op.key.as_ref() else {
            return Ok(None);
        };
        let resource = self.resources.get(self.connection, key)?;
        self.replay(op, key, resource, &path_of(key))
    }

    /// Stores the newest revision in the row of `store`, if the batch changed anything.
    pub(crate) fn finish(&self) -> Result<(), Error> {
        if !self.events.is_empty() {
            self.connection
                .prepare_cached("UPDATE store SET revision = ?1")?
                .execute([self.revision])?;
        }
        Ok(())
    }

    fn decide(&mut self, op: &Op, key: &Key) -> Result<Verdict, Error> {
        let resource = self.resources.get(self.connection, key)?;
        let path = path_of(key);
        if let Some(verdict) = self.replay(op, key, resource, &path)? {
            return Ok(verdict);
        }
        if let Err(exhausted) = Head::check_room(self.revision) {
            return Ok(Verdict::Refused(exhausted.into()));
        }
        if self.full && op.action() != Action::Delete {
            return Ok(Verdict::Refused(no_space()));
        }
        let current = match resource {
            Some(resource) => read::current(self.connection, key, resource, &path)?,
            None => None,
        };
        if let Some(conflict) = conflict(op, current.as_ref()) {
            return Ok(Verdict::Conflict(conflict));
        }
        // A damaged record can only be deleted: the client may base an update on its content.
        let damaged = current.as_ref().map(|entry| &entry.record.unreadable);
        if let (Action::Update, Some(damage)) = (op.action(), damaged.filter(|it| !it.is_empty())) {
            return Ok(Verdict::Refused(refused(Reason::Corrupt, damage)));
        }
        let resource = match resource {
            Some(resource) => resource,
            None => self.resources.add(self.connection, key)?,
        };
        let target = Target {
            op,
            key,
            resource,
            path,
        };
        let applied = match (op.action(), current) {
            (Action::Update, Some(current)) => self.update(&target, &current)?,
            (Action::Delete, Some(current)) => self.delete(&target, current)?,
            (Action::Create, None) => self.create(&target)?,
            // Rejected above, or a conflict.
            _ => return Ok(Verdict::Refused(invalid("the operation has no action"))),
        };
        Ok(Verdict::Applied(applied))
    }

    /// Returns the first verdict of an operation that was already applied.
    fn replay(
        &self,
        op: &Op,
        key: &Key,
        resource: Option<i64>,
        path: &str,
    ) -> Result<Option<Verdict>, Error> {
        if op.op_id.is_empty() {
            return Ok(None);
        }
        let sql = "SELECT revision, resource, path, change, previous FROM log WHERE op_id = ?1";
        let found = self
            .connection
            .prepare_cached(sql)?
            .query_row([op.op_id.as_ref()], |row| {
                let revision: i64 = row.get(0)?;
                let same =
                    resource == Some(row.get(1)?) && row.get_ref(2)?.as_bytes()? == path.as_bytes();
                let deleted = row.get::<_, i64>(3)? == change::DELETED;
                Ok((revision, same, deleted, row.get::<_, i64>(4)?))
            })
            .optional()?;
        let Some((revision, same, deleted, previous)) = found else {
            return Ok(None);
        };
        if !same {
            let refused = invalid("this op_id was used for another key");
            return Ok(Some(Verdict::Refused(refused)));
        }
        let deleted = if deleted {
            read::entry(self.connection, key.clone(), previous)?.map(|entry| entry.record)
        } else {
            None
        };
        Ok(Some(Verdict::Applied(Applied {
            revision,
            noop: false,
            deleted,
            replayed: true,
        })))
    }

    fn create(&mut self, target: &Target<'_>) -> Result<Applied, Error> {
        let revision = self.revision + 1;
        let record = self.record(target, revision, revision, self.now);
        self.log(target, change::CREATED, 0, &record, self.now)?;
        self.connection
            .prepare_cached("INSERT INTO current (resource, path, revision) VALUES (?1, ?2, ?3)")?
            .execute((target.resource, &target.path, revision))?;
        Ok(self.applied(target.op, Type::Created, 0, record))
    }

    fn update(&mut self, target: &Target<'_>, current: &Entry) -> Result<Applied, Error> {
        let stored = &current.record;
        if stored.value == target.op.value {
            return Ok(Applied {
                revision: stored.revision,
                noop: true,
                ..Applied::default()
            });
        }
        let revision = self.revision + 1;
        let record = self.record(target, revision, stored.create_revision, current.created_at);
        let previous = stored.revision;
        self.log(
            target,
            change::UPDATED,
            previous,
            &record,
            current.created_at,
        )?;
        self.connection
            .prepare_cached("UPDATE current SET revision = ?3 WHERE resource = ?1 AND path = ?2")?
            .execute((target.resource, &target.path, revision))?;
        Ok(self.applied(target.op, Type::Updated, previous, record))
    }

    fn delete(&mut self, target: &Target<'_>, current: Entry) -> Result<Applied, Error> {
        let previous = current.record.revision;
        let record = current.record;
        self.log(
            target,
            change::DELETED,
            previous,
            &record,
            current.created_at,
        )?;
        self.connection
            .prepare_cached("DELETE FROM current WHERE resource = ?1 AND path = ?2")?
            .execute((target.resource, &target.path))?;
        let mut applied = self.applied(target.op, Type::Deleted, previous, record.clone());
        applied.deleted = Some(record);
        Ok(applied)
    }

    fn record(&self, target: &Target<'_>, revision: i64, created: i64, created_at: i64) -> Record {
        Record {
            key: Some(target.key.clone()),
            revision,
            create_revision: created,
            value: target.op.value.clone(),
            index: target.op.index.clone(),
            created_at: Some(timestamp(created_at)),
            updated_at: Some(timestamp(self.now)),
            unreadable: String::new(),
        }
    }

    fn log(
        &self,
        target: &Target<'_>,
        change: i64,
        previous: i64,
        record: &Record,
        created_at: i64,
    ) -> Result<(), Error> {
        let retained = change != change::DELETED;
        let index = record.index.as_ref().filter(|_| retained);
        let value = retained.then_some(record.value.as_ref());
        let op_id = (!target.op.op_id.is_empty()).then_some(target.op.op_id.as_ref());
        let origin = origin(target.op.origin.as_ref()).unwrap_or_default();
        let index = index.map(prost::Message::encode_to_vec);
        let sealed = Sealed {
            key: target.key,
            revision: self.revision + 1,
            change,
            previous,
            create_revision: record.create_revision,
            created_at,
            time: self.now,
            actor: actor(target.op),
            index: index.as_deref(),
            value,
        };
        let sql = "INSERT INTO log (revision, resource, path, change, previous, create_revision, \
                   created_at, time, actor, op_id, idx, crc, value, manager, verb, subresource) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)";
        self.connection.prepare_cached(sql)?.execute((
            self.revision + 1,
            target.resource,
            &target.path,
            change,
            previous,
            record.create_revision,
            created_at,
            self.now,
            sealed.actor,
            op_id,
            sealed.index,
            sealed.seal(),
            value,
            origin.manager,
            origin.verb,
            origin.subresource,
        ))?;
        Ok(())
    }

    /// Assigns the revision of the change and adds its event.
    fn applied(&mut self, op: &Op, kind: Type, previous: i64, record: Record) -> Applied {
        self.revision += 1;
        self.events.push(Event {
            revision: self.revision,
            r#type: kind.into(),
            record: Some(record),
            previous_revision: previous,
            time: Some(timestamp(self.now)),
            actor: actor(op).to_owned(),
            origin: origin(op.origin.as_ref()),
        });
        Applied {
            revision: self.revision,
            ..Applied::default()
        }
    }
}

impl ResourceIds {
    /// Returns the id of a key's resource, if it has one.
    pub(crate) fn get(&mut self, connection: &Connection, key: &Key) -> Result<Option<i64>, Error> {
        let known = self.0.get(&key.group).and_then(|of| of.get(&key.resource));
        if let Some(id) = known {
            return Ok(Some(*id));
        }
        let id = read::resource_id(connection, &key.group, &key.resource)?;
        if let Some(id) = id {
            self.remember(key, id);
        }
        Ok(id)
    }

    /// Inserts a new resource.
    pub(crate) fn add(&mut self, connection: &Connection, key: &Key) -> Result<i64, Error> {
        connection
            .prepare_cached("INSERT INTO resource (api_group, resource) VALUES (?1, ?2)")?
            .execute((&key.group, &key.resource))?;
        let id = connection.last_insert_rowid();
        self.remember(key, id);
        Ok(id)
    }

    fn remember(&mut self, key: &Key, id: i64) {
        let of_group = self.0.entry(key.group.clone()).or_default();
        of_group.insert(key.resource.clone(), id);
    }
}

/// Returns the unmet precondition of an operation.
fn conflict(op: &Op, current: Option<&Entry>) -> Option<Conflict> {
    let cause = match (op.action(), current) {
        (Action::Create, Some(_)) => Cause::Exists,
        (Action::Update | Action::Delete, None) => Cause::NotFound,
        (Action::Update | Action::Delete, Some(entry)) => {
            let record = &entry.record;
            let uid = record.index.as_ref().map_or("", |index| index.uid.as_str());
            if op.expected_revision != 0 && op.expected_revision != record.revision {
                Cause::Revision
            } else if !op.expected_uid.is_empty() && op.expected_uid != uid {
                Cause::Uid
            } else {
                return None;
            }
        }
        _ => return None,
    };
    Some(Conflict {
        cause: cause.into(),
        current: current.map(|entry| entry.record.clone()),
    })
}

fn no_space() -> BackendError {
    refused(Reason::NoSpace, "the disk or quota of the database is full")
}
