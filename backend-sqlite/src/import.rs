//! Filling an empty store from an export, inside one transaction.

use backend_proto::limits::{epoch_base, epoch_of};
use backend_proto::v1::event::Type;
use backend_proto::v1::{Event, Key, Record};
use rusqlite::Connection;
use sidecar::driver::{ImportOptions, ImportPart};
use tokio::sync::mpsc;

use crate::error::Error;
use crate::record::{change, checksum, nanos, path_of};
use crate::shared::Head;
use crate::write::ResourceIds;

/// Content on its way in.
struct Import<'a> {
    connection: &'a Connection,
    resources: &'a mut ResourceIds,
    /// Revision of the exported snapshot.
    snapshot: i64,
    /// Newest revision so far.
    revision: i64,
}

/// One row of the log to be.
struct NewRow<'a> {
    revision: i64,
    change: i64,
    previous: i64,
    time: i64,
    actor: &'a str,
    record: &'a Record,
}

/// Takes all parts; an error, or a channel that closes before `Done`, keeps nothing.
pub(crate) fn fill(
    connection: &Connection,
    resources: &mut ResourceIds,
    head: Head,
    options: &ImportOptions,
    mut parts: mpsc::Receiver<ImportPart>,
) -> Result<Head, Error> {
    let empty: bool = connection.query_row("SELECT NOT EXISTS (SELECT 1 FROM log)", [], |row| {
        row.get(0)
    })?;
    if !empty || head.revision != epoch_base(head.epoch) {
        return Err(invalid("import needs an empty store"));
    }
    let source = &options.source;
    if source.epoch < 1 || epoch_of(source.revision) != source.epoch {
        return Err(invalid("the source's revision does not fit its epoch"));
    }
    let mut import = Import {
        connection,
        resources,
        snapshot: source.revision,
        revision: source.revision,
    };
    loop {
        match parts.blocking_recv() {
            Some(ImportPart::Records(records)) => import.records(&records)?,
            Some(ImportPart::Events(events)) => import.events(&events)?,
            Some(ImportPart::Done) => break,
            None => return Err(invalid("the import ended before it was complete")),
        }
    }
    import.finish(options, head)
}

impl Import<'_> {
    fn records(&mut self, records: &[Record]) -> Result<(), Error> {
        if self.revision != self.snapshot {
            return Err(invalid("records after events"));
        }
        for record in records {
            if record.revision < 1 || record.revision > self.snapshot {
                return Err(invalid("a record is newer than its snapshot"));
            }
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
                record,
            })?;
        }
        Ok(())
    }

    fn events(&mut self, events: &[Event]) -> Result<(), Error> {
        for event in events {
            if event.revision <= self.revision {
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
            self.revision = event.revision;
            self.insert(&NewRow {
                revision: event.revision,
                change,
                previous: event.previous_revision,
                time: nanos(event.time.as_ref()),
                actor: &event.actor,
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
        let path = path_of(&key.namespace, &key.name);
        let kept = row.change != change::DELETED;
        let index = record.index.as_ref().filter(|_| kept);
        let value = kept.then_some(record.value.as_ref());
        let sql = "INSERT INTO log (revision, resource, path, change, previous, create_revision, \
                   created_at, time, actor, idx, crc, value) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
        self.connection.prepare_cached(sql)?.execute((
            row.revision,
            resource,
            &path,
            row.change,
            row.previous,
            record.create_revision,
            nanos(record.created_at.as_ref()),
            row.time,
            row.actor,
            index.map(prost::Message::encode_to_vec),
            value.map(checksum),
            value,
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

    /// Commits who the store now is.
    fn finish(&self, options: &ImportOptions, before: Head) -> Result<Head, Error> {
        let source = &options.source;
        let head = if options.keep_epoch {
            Head {
                epoch: source.epoch,
                revision: self.revision,
                compact_revision: self.snapshot,
            }
        } else {
            let epoch = source.epoch.max(before.epoch) + 1;
            Head {
                epoch,
                revision: epoch_base(epoch),
                compact_revision: epoch_base(epoch),
            }
        };
        let sql = "UPDATE store SET store_id = ?1, epoch = ?2, revision = ?3, \
                   compact_revision = ?4, swept_revision = ?5";
        self.connection.execute(
            sql,
            (
                &source.store_id,
                head.epoch,
                head.revision,
                head.compact_revision,
                self.snapshot,
            ),
        )?;
        Ok(head)
    }
}

fn invalid(message: &str) -> Error {
    Error::Invalid(message.to_owned())
}
