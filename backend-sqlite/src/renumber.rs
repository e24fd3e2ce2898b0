//! Upgrade of stores of releases before 0.2, whose revisions held the epoch in their upper bits and
//! exceed 2^53 (docs/adr/0013-revisions-below-2-53.md).

use std::time::SystemTime;

use backend_proto::limits::LAST_IMPORT;
use rusqlite::{Connection, OptionalExtension as _};
use sidecar::head::Head;

use crate::error::Error;

/// Renumbers every record into a new epoch, in the order of the old revisions, and drops the
/// history. Records whose newest change created them keep that property. Must run inside a write
/// transaction. Returns `None` if the store's revisions are small enough.
pub(crate) fn run(connection: &Connection, now: SystemTime) -> Result<Option<Head>, Error> {
    let sql = "SELECT epoch, revision, importing IS NOT NULL FROM store";
    let (epoch, revision, importing) = connection.query_row(sql, [], |row| {
        let epoch: i64 = row.get(0)?;
        Ok((epoch, row.get::<_, i64>(1)?, row.get::<_, bool>(2)?))
    })?;
    if revision <= LAST_IMPORT {
        return Ok(None);
    }
    if importing {
        // The source must be upgraded too, which gives it a new identity: the import cannot
        // continue.
        tracing::warn!(
            "dropping an unfinished import: repeat the copy after its source is upgraded"
        );
        crate::staged::discard(connection)?;
    }
    check_changes(connection)?;
    connection.execute_batch(
        "DELETE FROM log WHERE revision NOT IN (SELECT revision FROM current);
         UPDATE log SET create_revision = min(create_revision, revision);",
    )?;
    // Also above revisions that were issued in the valid range.
    let sql = "SELECT coalesce(max(revision), 0) FROM log WHERE revision <= ?1";
    let newest: i64 = connection.query_row(sql, [LAST_IMPORT], |row| row.get(0))?;
    let begun = Head::begin(
        Head {
            epoch,
            revision: newest,
            compact_revision: 0,
        },
        now,
    )?;
    // New numbers lie above the small old ones and below the large ones, so that renumbering row by
    // row never collides.
    connection.execute_batch(
        "CREATE TEMP TABLE numbers (old INTEGER PRIMARY KEY, new INTEGER NOT NULL) STRICT",
    )?;
    let count = connection.execute(
        "INSERT INTO temp.numbers
         SELECT old, ?1 + row_number() OVER (ORDER BY old)
         FROM (SELECT revision AS old FROM log UNION SELECT create_revision FROM log)",
        [begun.revision],
    )?;
    connection.execute_batch(
        "UPDATE log SET
           revision = (SELECT new FROM temp.numbers WHERE old = log.revision),
           create_revision = (SELECT new FROM temp.numbers WHERE old = log.create_revision),
           previous = 0;
         UPDATE current SET
           revision = (SELECT new FROM temp.numbers WHERE old = current.revision);
         DROP TABLE temp.numbers;",
    )?;
    let revision = begun.revision + i64::try_from(count).unwrap_or(i64::MAX);
    let head = Head {
        revision,
        compact_revision: revision,
        ..begun
    };
    connection.execute(
        "UPDATE store SET epoch = ?1, revision = ?2, compact_revision = ?2, swept_revision = ?2, \
         restored = 0",
        (head.epoch, head.revision),
    )?;
    Ok(Some(head))
}

/// Rejects objects without a change, which have no place in the order.
fn check_changes(connection: &Connection) -> Result<(), Error> {
    let sql = "SELECT coalesce(r.resource || '.' || r.api_group, '?') || ' ' || c.path, c.revision \
               FROM current c LEFT JOIN resource r ON r.id = c.resource \
               WHERE NOT EXISTS (SELECT 1 FROM log WHERE revision = c.revision) LIMIT 1";
    let found = connection
        .query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    match found {
        Some((key, revision)) => Err(Error::Dangling { key, revision }),
        None => Ok(()),
    }
}
