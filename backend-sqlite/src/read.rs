//! Reads, each inside one short transaction.

use std::collections::{HashMap, hash_map};

use backend_proto::v1::event::Type;
use backend_proto::v1::{Event, Key};
use rusqlite::{Connection, OptionalExtension as _, Row};
use sidecar::head::Head;
use sidecar::key::{key_of, path_of};
use sidecar::op::origin_of;
use sidecar::time::timestamp;

use crate::error::Error;
use crate::record::{Entry, change, columns};
use crate::schema::read_head;

/// Events of the log, and the revision up to which they are complete.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) events: Vec<Event>,
    pub(crate) up_to_revision: i64,
    pub(crate) head: Head,
}

/// Runs `body` in one read transaction, so that all its statements read the same state.
pub(crate) fn transaction<T>(
    connection: &Connection,
    body: impl FnOnce(&Connection) -> Result<T, Error>,
) -> Result<T, Error> {
    connection.prepare_cached("BEGIN")?.execute([])?;
    let result = body(connection);
    connection.prepare_cached("COMMIT")?.execute([])?;
    result
}

/// Returns the id of a resource that has or had records.
pub(crate) fn resource_id(
    connection: &Connection,
    group: &str,
    resource: &str,
) -> Result<Option<i64>, Error> {
    let sql = "SELECT id FROM resource WHERE api_group = ?1 AND resource = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement
        .query_row((group, resource), |row| row.get(0))
        .optional()?)
}

/// Returns group and plural of every resource, in key order.
pub(crate) fn resources(connection: &Connection) -> Result<Vec<(String, String)>, Error> {
    let sql = "SELECT api_group, resource FROM resource ORDER BY api_group, resource";
    let mut statement = connection.prepare_cached(sql)?;
    let names = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(names.collect::<Result<_, _>>()?)
}

/// Counts the records by a scan of `current`, which holds no values.
pub(crate) fn count(connection: &Connection) -> Result<u64, Error> {
    let mut statement = connection.prepare_cached("SELECT count(*) FROM current")?;
    let count: i64 = statement.query_row([], |row| row.get(0))?;
    Ok(u64::try_from(count).unwrap_or_default())
}

/// Returns the newest row of an existing key.
pub(crate) fn current(
    connection: &Connection,
    key: &Key,
    resource: i64,
    path: &str,
) -> Result<Option<Entry>, Error> {
    let sql = concat!(
        "SELECT ",
        columns!(),
        ", c.revision FROM current c LEFT JOIN log l ON l.revision = c.revision \
         WHERE c.resource = ?1 AND c.path = ?2"
    );
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query((resource, path))?;
    rows.next()?
        .map(|row| Entry::read_joined(row, 10, key.clone()))
        .transpose()
}

/// Returns one row of the log.
pub(crate) fn entry(
    connection: &Connection,
    key: Key,
    revision: i64,
) -> Result<Option<Entry>, Error> {
    let sql = concat!("SELECT ", columns!(), " FROM log l WHERE l.revision = ?1");
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([revision])?;
    rows.next()?.map(|row| Entry::read(row, key)).transpose()
}

/// Returns a record at a revision, or the latest for 0.
pub(crate) fn get(
    connection: &Connection,
    key: &Key,
    revision: i64,
) -> Result<(Head, Option<Entry>), Error> {
    let head = read_head(connection)?;
    let at = head.readable(revision)?;
    let Some(resource) = resource_id(connection, &key.group, &key.resource)? else {
        return Ok((head, None));
    };
    let path = path_of(key);
    let newest = current(connection, key, resource, &path)?;
    if let Some(found) = newest.filter(|entry| entry.record.revision <= at) {
        return Ok((head, Some(found)));
    }
    if at == head.revision {
        return Ok((head, None));
    }
    // The first change of the key after `at` names the row that was current at `at`.
    let sql = "SELECT previous FROM log WHERE revision > ?1 AND resource = ?2 AND path = ?3 \
               AND previous BETWEEN 1 AND ?1 LIMIT 1";
    let replaced: Option<i64> = connection
        .prepare_cached(sql)?
        .query_row((at, resource, &path), |row| row.get(0))
        .optional()?;
    let found = match replaced {
        Some(replaced) => entry(connection, key.clone(), replaced)?,
        None => None,
    };
    Ok((head, found))
}

/// Returns events after a revision, until their values exceed `max_bytes`.
pub(crate) fn log(connection: &Connection, after: i64, max_bytes: usize) -> Result<Page, Error> {
    let head = read_head(connection)?;
    head.follows(after)?;
    let sql = concat!(
        "SELECT ",
        columns!(),
        ", l.resource, l.path, l.manager, l.verb, l.subresource \
         FROM log l WHERE l.revision > ?1 ORDER BY l.revision"
    );
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([after])?;
    let mut names = Names::default();
    let mut events = Vec::new();
    let mut bytes = 0;
    let mut up_to_revision = head.revision;
    while let Some(row) = rows.next()? {
        let event = event(connection, row, &mut names)?;
        let revision = event.revision;
        bytes += event.record.as_ref().map_or(0, |record| record.value.len()) + 256;
        events.push(event);
        if bytes >= max_bytes {
            up_to_revision = revision;
            break;
        }
    }
    Ok(Page {
        events,
        up_to_revision,
        head,
    })
}

fn event(connection: &Connection, row: &Row<'_>, names: &mut Names) -> Result<Event, Error> {
    let (group, resource) = names.get(connection, row.get(10)?)?;
    let path = row.get_ref(11)?.as_str().map_err(rusqlite::Error::from)?;
    let key = key_of(group, resource, path);
    let entry = Entry::read(row, key.clone())?;
    let revision = entry.record.revision;
    let record = if entry.change == change::DELETED {
        // The sweep keeps the predecessor as long as this row is retained.
        let last = self::entry(connection, key.clone(), entry.previous)?;
        let last = last.unwrap_or_else(|| Entry::missing(key.clone(), entry.previous));
        let mut last = last.record;
        if last.unreadable.is_empty() {
            last.unreadable = entry.record.unreadable;
        }
        last
    } else {
        entry.record
    };
    let kind = match entry.change {
        change::CREATED => Type::Created,
        change::DELETED => Type::Deleted,
        _ => Type::Updated,
    };
    Ok(Event {
        revision,
        r#type: kind.into(),
        record: Some(record),
        previous_revision: entry.previous,
        time: Some(timestamp(entry.time)),
        actor: entry.actor,
        origin: origin_of(row.get(12)?, row.get(13)?, row.get(14)?),
    })
}

/// Cache of group and resource by id, for one transaction.
#[derive(Default)]
pub(crate) struct Names(HashMap<i64, (String, String)>);

impl Names {
    pub(crate) fn get(&mut self, connection: &Connection, id: i64) -> Result<(&str, &str), Error> {
        let (group, resource) = match self.0.entry(id) {
            hash_map::Entry::Occupied(known) => known.into_mut(),
            hash_map::Entry::Vacant(unknown) => {
                let sql = "SELECT api_group, resource FROM resource WHERE id = ?1";
                let names = connection
                    .prepare_cached(sql)?
                    .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))?;
                unknown.insert(names)
            }
        };
        Ok((group, resource))
    }
}
