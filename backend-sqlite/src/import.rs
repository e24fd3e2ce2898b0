//! Imports into an empty store; each call is one transaction.

use std::cmp::Ordering;
use std::time::SystemTime;

use backend_proto::v1::event::Type;
use backend_proto::v1::{Event, Header, Key, Origin, Record};
use rusqlite::Connection;
use sidecar::driver::{ImportOptions, ImportPart, ImportProgress};
use sidecar::head::Head;
use sidecar::key::path_of;
use sidecar::op::origin;
use sidecar::time::nanos;
use tokio::sync::mpsc;

use crate::error::Error;
use crate::record::{Sealed, change};
use crate::staged;
use crate::write::ResourceIds;

/// Bytes of values that are sorted by revision before they are stored.
const SORTED_BYTES: usize = 16 << 20;

/// Result of one call of an import.
pub(crate) enum Filled {
    /// More calls must follow before the content is visible.
    Staged(ImportProgress),
    /// The import is complete.
    Whole(Head),
}

/// An import in progress.
struct Import<'a> {
    connection: &'a Connection,
    resources: ResourceIds,
    /// Progress, including this call.
    kept: ImportProgress,
    /// Whether records must be in key order: required for an import in several calls.
    ordered: bool,
    /// Records not stored yet, and their bytes.
    pending: Vec<Record>,
    pending_bytes: usize,
}

/// A new row of the log.
struct NewRow<'a> {
    revision: i64,
    change: i64,
    previous: i64,
    time: i64,
    actor: &'a str,
    origin: Option<&'a Origin>,
    record: &'a Record,
}

/// Reads all parts of one call. After an error, or if the channel closes before `Done`, nothing of
/// the call is stored. Must run inside a write transaction.
pub(crate) fn fill(
    connection: &Connection,
    head: Head,
    options: &ImportOptions,
    mut parts: mpsc::Receiver<ImportPart>,
    now: SystemTime,
) -> Result<Filled, Error> {
    let mut import = Import::begin(connection, head, options)?;
    loop {
        match parts.blocking_recv() {
            Some(ImportPart::Records(records)) => import.records(records)?,
            Some(ImportPart::Events(events)) => import.events(&events)?,
            Some(ImportPart::Done) => break,
            None => return Err(invalid("the import ended before it was complete")),
        }
    }
    import.store_pending()?;
    if options.more {
        staged::write(connection, &import.kept)?;
        return Ok(Filled::Staged(import.kept));
    }
    import.finish(options, head, now).map(Filled::Whole)
}

impl<'a> Import<'a> {
    /// Continues an unfinished import, or begins one in an empty store.
    fn begin(
        connection: &'a Connection,
        head: Head,
        options: &ImportOptions,
    ) -> Result<Self, Error> {
        let source = &options.source;
        let mut kept = staged::read(connection)?;
        if kept.is_some() && options.discard {
            staged::discard(connection)?;
            kept = None;
        }
        let ordered = options.more || kept.is_some();
        let kept = match kept {
            Some(kept) if identity(&kept.source) == identity(source) => kept,
            Some(_) => {
                let problem = "an import of another snapshot is unfinished: \
                               carry on with it, or discard it";
                return Err(invalid(problem));
            }
            None => {
                check_empty(connection, head)?;
                ImportProgress {
                    source: source.clone(),
                    last: None,
                    revision: source.revision,
                    records: 0,
                }
            }
        };
        Ok(Self {
            connection,
            resources: ResourceIds::default(),
            kept,
            ordered,
            pending: Vec::new(),
            pending_bytes: 0,
        })
    }

    fn records(&mut self, records: Vec<Record>) -> Result<(), Error> {
        let snapshot = self.kept.source.revision;
        if self.kept.revision != snapshot {
            return Err(invalid("records after events"));
        }
        for record in records {
            if record.revision < 1 || record.revision > snapshot {
                return Err(invalid("a record is newer than its snapshot"));
            }
            self.follow(&record)?;
            self.pending_bytes += record.value.len();
            self.pending.push(record);
        }
        if self.pending_bytes >= SORTED_BYTES {
            self.store_pending()?;
        }
        Ok(())
    }

    /// Stores the pending records sorted by revision, the order of rows in `log`. Inserting a row
    /// between others makes SQLite rewrite both neighbours, and most rows fill a page.
    fn store_pending(&mut self) -> Result<(), Error> {
        let mut records = std::mem::take(&mut self.pending);
        self.pending_bytes = 0;
        records.sort_unstable_by_key(|record| record.revision);
        for record in &records {
            let created = record.revision == record.create_revision;
            self.insert(&NewRow {
                revision: record.revision,
                change: if created {
                    change::CREATED
                } else {
                    change::UPDATED
                },
                previous: 0,
                time: nanos(record.updated_at.as_ref()),
                actor: "",
                origin: None,
                record,
            })?;
        }
        Ok(())
    }

    /// Records the last key: the next call continues after it, so records must be in order.
    fn follow(&mut self, record: &Record) -> Result<(), Error> {
        self.kept.records += 1;
        if !self.ordered {
            return Ok(());
        }
        let before = self.kept.last.as_ref().zip(record.key.as_ref());
        if before.is_some_and(|(last, key)| in_order(last, key).is_ge()) {
            return Err(invalid("records out of key order"));
        }
        self.kept.last.clone_from(&record.key);
        Ok(())
    }

    fn events(&mut self, events: &[Event]) -> Result<(), Error> {
        self.store_pending()?;
        for event in events {
            if event.revision <= self.kept.revision {
                return Err(invalid("events out of order"));
            }
            let record = event
                .record
                .as_ref()
                .ok_or_else(|| invalid("an event has no record"))?;
            let change = match event.r#type() {
                Type::Created => change::CREATED,
                Type::Updated => change::UPDATED,
                Type::Deleted => change::DELETED,
                Type::Unspecified => return Err(invalid("an event has no type")),
            };
            self.kept.revision = event.revision;
            self.insert(&NewRow {
                revision: event.revision,
                change,
                previous: event.previous_revision,
                time: nanos(event.time.as_ref()),
                actor: &event.actor,
                origin: event.origin.as_ref(),
                record,
            })?;
        }
        Ok(())
    }

    fn insert(&mut self, row: &NewRow<'_>) -> Result<(), Error> {
        let record = row.record;
        let key = record
            .key
            .as_ref()
            .ok_or_else(|| invalid("a record has no key"))?;
        let resource = self.resource(key)?;
        let path = path_of(key);
        let kept = row.change != change::DELETED;
        let index = record.index.as_ref().filter(|_| kept);
        let value = kept.then_some(record.value.as_ref());
        let origin = origin(row.origin).unwrap_or_default();
        let index = index.map(prost::Message::encode_to_vec);
        let sealed = Sealed {
            key,
            revision: row.revision,
            change: row.change,
            previous: row.previous,
            create_revision: record.create_revision,
            created_at: nanos(record.created_at.as_ref()),
            time: row.time,
            actor: row.actor,
            index: index.as_deref(),
            value,
        };
        let sql = "INSERT INTO log (revision, resource, path, change, previous, create_revision, \
                   created_at, time, actor, idx, crc, value, manager, verb, subresource) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)";
        self.connection.prepare_cached(sql)?.execute((
            row.revision,
            resource,
            &path,
            row.change,
            row.previous,
            record.create_revision,
            sealed.created_at,
            row.time,
            row.actor,
            sealed.index,
            sealed.seal(),
            value,
            origin.manager,
            origin.verb,
            origin.subresource,
        ))?;
        if kept {
            let sql = "INSERT INTO current (resource, path, revision) VALUES (?1, ?2, ?3) \
                       ON CONFLICT DO UPDATE SET revision = excluded.revision";
            let parameters = (resource, &path, row.revision);
            self.connection.prepare_cached(sql)?.execute(parameters)?;
        } else {
            let sql = "DELETE FROM current WHERE resource = ?1 AND path = ?2 AND revision = ?3";
            let parameters = (resource, &path, row.previous);
            let removed = self.connection.prepare_cached(sql)?.execute(parameters)?;
            if removed != 1 {
                return Err(invalid("an event deletes what is not there"));
            }
        }
        Ok(())
    }

    fn resource(&mut self, key: &Key) -> Result<i64, Error> {
        match self.resources.get(self.connection, key)? {
            Some(id) => Ok(id),
            None => self.resources.add(self.connection, key),
        }
    }

    /// Sets the identity and numbers of the finished store.
    fn finish(
        &self,
        options: &ImportOptions,
        before: Head,
        now: SystemTime,
    ) -> Result<Head, Error> {
        let source = &options.source;
        let head = if options.keep_epoch {
            Head {
                epoch: source.epoch,
                revision: self.kept.revision,
                compact_revision: self.kept.source.revision,
            }
        } else {
            let imported = Head {
                epoch: source.epoch,
                revision: self.kept.revision,
                compact_revision: source.revision,
            };
            Head::begin(imported.max_of(before), now)?
        };
        let sql = "UPDATE store SET store_id = ?1, epoch = ?2, revision = ?3, \
                   compact_revision = ?4, swept_revision = ?5, importing = NULL";
        self.connection.execute(
            sql,
            (
                &source.store_id,
                head.epoch,
                head.revision,
                head.compact_revision,
                self.kept.source.revision,
            ),
        )?;
        Ok(head)
    }
}

/// Identifies an exported snapshot.
fn identity(source: &Header) -> (&str, i64, i64) {
    (&source.store_id, source.epoch, source.revision)
}

fn check_empty(connection: &Connection, head: Head) -> Result<(), Error> {
    let sql = "SELECT NOT EXISTS (SELECT 1 FROM log)";
    let empty: bool = connection.query_row(sql, [], |row| row.get(0))?;
    if !empty || !head.has_just_begun() {
        return Err(invalid("import needs an empty store"));
    }
    Ok(())
}

/// Compares keys in key order.
fn in_order(one: &Key, other: &Key) -> Ordering {
    let path = |key: &Key| path_of(key);
    one.group
        .cmp(&other.group)
        .then_with(|| one.resource.cmp(&other.resource))
        .then_with(|| path(one).cmp(&path(other)))
}

fn invalid(message: &str) -> Error {
    Error::Invalid(message.to_owned())
}
