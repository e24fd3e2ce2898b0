//! Applies the changes after an imported snapshot.

use std::collections::HashSet;

use backend_proto::v1::event::Type as Kind;
use backend_proto::v1::{Event, Record};
use sidecar::time::nanos;
use tokio_postgres::types::{ToSql, Type};

use super::{Import, PART_TIMEOUT, Row, invalid};
use crate::connection::Statement;
use crate::error::Error;
use crate::write::origin;
use crate::writer::extend_log;

/// Applies events on different keys; returns the number of events that do not match the stored
/// state.
static APPLY: Statement = Statement {
    text: "
WITH event AS MATERIALIZED (
  SELECT e.*, o.revision AS old_revision, o.time AS old_time, o.sum AS old_sum, o.idx AS old_idx,
    o.value AS old_value
  FROM unnest($1::smallint[], $2::integer[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[],
      $7::bigint[], $8::bigint[], $9::text[], $10::bytea[], $11::bytea[], $12::bytea[], $13::bytea[],
      $14::text[], $15::text[], $16::text[])
    AS e(change, resource, path, revision, previous, create_revision, created_at, time, actor, sum,
      uid, idx, value, manager, verb, subresource)
  LEFT JOIN ark.object o ON o.resource = e.resource AND o.path = e.path
), stored AS (
  INSERT INTO ark.object (resource, path, revision, create_revision, created_at, time, size, sum,
    uid, idx, value)
  SELECT resource, path, revision, create_revision, created_at, time, octet_length(value), sum, uid,
    idx, value
  FROM event WHERE change <> 3
  ON CONFLICT (resource, path) DO UPDATE SET revision = excluded.revision,
    create_revision = excluded.create_revision, created_at = excluded.created_at,
    time = excluded.time, size = excluded.size, sum = excluded.sum, uid = excluded.uid,
    idx = excluded.idx, value = excluded.value
), removed AS (
  DELETE FROM ark.object o USING event e
  WHERE e.change = 3 AND o.resource = e.resource AND o.path = e.path
), logged AS (
  INSERT INTO ark.log (revision, resource, path, change, previous, create_revision, created_at,
    time, actor, manager, verb, subresource, size, old_time, old_sum, old_idx, old_value)
  SELECT revision, resource, path, change, previous, create_revision, created_at, time, actor,
    manager, verb, subresource, octet_length(value), old_time, old_sum, old_idx, old_value
  FROM event
)
SELECT count(*) FROM event WHERE coalesce(old_revision, 0) <> previous",
    types: &[
        Type::INT2_ARRAY,
        Type::INT4_ARRAY,
        Type::TEXT_ARRAY,
        Type::INT8_ARRAY,
        Type::INT8_ARRAY,
        Type::INT8_ARRAY,
        Type::INT8_ARRAY,
        Type::INT8_ARRAY,
        Type::TEXT_ARRAY,
        Type::BYTEA_ARRAY,
        Type::BYTEA_ARRAY,
        Type::BYTEA_ARRAY,
        Type::BYTEA_ARRAY,
        Type::TEXT_ARRAY,
        Type::TEXT_ARRAY,
        Type::TEXT_ARRAY,
    ],
};

/// Events as column arrays for the statement.
#[derive(Default)]
struct Columns<'a> {
    change: Vec<i16>,
    resource: Vec<i32>,
    path: Vec<String>,
    revision: Vec<i64>,
    previous: Vec<i64>,
    create_revision: Vec<i64>,
    created_at: Vec<i64>,
    time: Vec<i64>,
    actor: Vec<String>,
    sum: Vec<Vec<u8>>,
    uid: Vec<&'a [u8]>,
    index: Vec<Option<Vec<u8>>>,
    value: Vec<&'a [u8]>,
    manager: Vec<String>,
    verb: Vec<String>,
    subresource: Vec<String>,
}

impl<'a> Columns<'a> {
    fn add(&mut self, event: &'a Event, record: &'a Record, resource: i32) {
        let row = Row::new(record, resource);
        self.change.push(event.r#type() as i16);
        self.resource.push(resource);
        self.path.push(row.path);
        self.revision.push(event.revision);
        self.previous.push(event.previous_revision);
        self.create_revision.push(row.create_revision);
        self.created_at.push(row.created_at);
        self.time.push(nanos(event.time.as_ref()));
        self.actor.push(event.actor.replace('\0', ""));
        self.sum.push(row.sum);
        self.uid.push(row.uid);
        self.index.push(row.index);
        self.value.push(row.value);
        let origin = origin(event.origin.as_ref()).unwrap_or_default();
        self.manager.push(origin.manager);
        self.verb.push(origin.verb);
        self.subresource.push(origin.subresource);
    }

    fn parameters(&self) -> [&(dyn ToSql + Sync); 16] {
        [
            &self.change,
            &self.resource,
            &self.path,
            &self.revision,
            &self.previous,
            &self.create_revision,
            &self.created_at,
            &self.time,
            &self.actor,
            &self.sum,
            &self.uid,
            &self.index,
            &self.value,
            &self.manager,
            &self.verb,
            &self.subresource,
        ]
    }
}

impl Import<'_> {
    /// Stores events; runs of events on different keys go in one statement.
    pub(super) async fn events(&mut self, events: &[Event]) -> Result<(), Error> {
        let (Some(first), Some(last)) = (events.first(), events.last()) else {
            return Ok(());
        };
        let (first, last) = (first.revision, last.revision);
        if first <= self.progress.revision || last < first {
            return Err(invalid("events out of order"));
        }
        extend_log(self.connection, first, last).await?;
        let mut run = Columns::default();
        let mut keys = HashSet::new();
        for event in events {
            if event.revision <= self.progress.revision {
                return Err(invalid("events out of order"));
            }
            self.progress.revision = event.revision;
            if event.r#type() == Kind::Unspecified {
                return Err(invalid("an event has no type"));
            }
            let record = event.record.as_ref();
            let record = record.ok_or_else(|| invalid("an event has no record"))?;
            let key = record.key.as_ref();
            let key = key.ok_or_else(|| invalid("a record has no key"))?;
            if !keys.insert(key) {
                self.apply(&std::mem::take(&mut run)).await?;
                keys = HashSet::from([key]);
            }
            run.add(event, record, self.id(key).await?);
        }
        self.apply(&run).await
    }

    async fn apply(&self, run: &Columns<'_>) -> Result<(), Error> {
        let parameters = run.parameters();
        let row = self
            .connection
            .query_one(&APPLY, &parameters, PART_TIMEOUT)
            .await?;
        let stray: i64 = row.get(0);
        if stray > 0 {
            return Err(invalid("an event does not follow what is there"));
        }
        Ok(())
    }
}
