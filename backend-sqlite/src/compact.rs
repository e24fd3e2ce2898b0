//! Compaction of history.
//!
//! A compaction first advances the compact revision, then sweeps the log: of the changes up to it,
//! the rows that they replaced are deleted, and so are rows of deletes. What remains is the newest
//! row of each existing key.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _};
use sidecar::head::Head;
use sidecar::time::now;

use crate::error::Error;
use crate::record::change;
use crate::schema::read_head;

/// Rows of the log per step: keeps the write transaction short.
const STEP: i64 = 512;

/// Advances the compact revision to `revision`. Must run inside a write transaction.
pub(crate) fn move_to(connection: &Connection, revision: i64, head: Head) -> Result<Head, Error> {
    head.reached(revision)?;
    if revision <= head.compact_revision {
        return Ok(head);
    }
    connection
        .prepare_cached("UPDATE store SET compact_revision = ?1")?
        .execute([revision])?;
    Ok(Head {
        compact_revision: revision,
        ..head
    })
}

/// Deletes rows that are no longer readable; returns `true` if more remain. Rows above `barrier`
/// stay. Does nothing while an import is unfinished, because its rows have revisions of the source
/// store. Must run inside a write transaction.
pub(crate) fn sweep(connection: &Connection, barrier: Option<i64>) -> Result<bool, Error> {
    let sql = "SELECT swept_revision, compact_revision, importing IS NOT NULL FROM store";
    let (swept, compact, importing): (i64, i64, bool) = connection
        .prepare_cached(sql)?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    if importing {
        return Ok(false);
    }
    let limit = barrier.map_or(compact, |barrier| barrier.min(compact));
    if swept >= limit {
        return Ok(false);
    }
    let sql = "SELECT revision, change, previous FROM log \
               WHERE revision > ?1 AND revision <= ?2 ORDER BY revision LIMIT ?3";
    let observed: Vec<(i64, i64, i64)> = connection
        .prepare_cached(sql)?
        .query_map((swept, limit, STEP), |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?
        .collect::<Result<_, _>>()?;
    let mut delete = connection.prepare_cached("DELETE FROM log WHERE revision = ?1")?;
    for &(revision, change, previous) in &observed {
        if previous > 0 {
            delete.execute([previous])?;
        }
        if change == change::DELETED {
            delete.execute([revision])?;
        }
    }
    let whole = (observed.len() as i64) < STEP;
    let reached = match observed.last() {
        Some(&(revision, ..)) if !whole => revision,
        _ => limit,
    };
    connection
        .prepare_cached("UPDATE store SET swept_revision = ?1")?
        .execute([reached])?;
    Ok(reached < limit)
}

/// Returns the newest revision that is both older than `keep` and not among the last `keep_events`.
pub(crate) fn target(
    connection: &Connection,
    keep: Duration,
    keep_events: u64,
) -> Result<Option<i64>, Error> {
    let head = match read_head(connection) {
        // An unfinished import has no history.
        Err(Error::Importing) => return Ok(None),
        head => head?,
    };
    let events = i64::try_from(keep_events).unwrap_or(i64::MAX);
    let highest = head.revision.saturating_sub(events);
    let age = i64::try_from(keep.as_nanos()).unwrap_or(i64::MAX);
    let horizon = now().saturating_sub(age);
    // Invariant of the binary search: every retained change up to `old` is older than the horizon.
    let (mut old, mut end) = (head.compact_revision, highest);
    while old < end {
        let middle = old + (end - old + 1) / 2;
        if older(connection, middle, horizon)? {
            old = middle;
        } else {
            end = middle - 1;
        }
    }
    Ok((old > head.compact_revision).then_some(old))
}

fn older(connection: &Connection, revision: i64, horizon: i64) -> Result<bool, Error> {
    let sql = "SELECT time FROM log WHERE revision >= ?1 ORDER BY revision LIMIT 1";
    let time: Option<i64> = connection
        .prepare_cached(sql)?
        .query_row([revision], |row| row.get(0))
        .optional()?;
    Ok(time.is_some_and(|time| time < horizon))
}
