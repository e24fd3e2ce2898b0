//! Write transactions, their stamps, and the outcome of a failure.

use rusqlite::Connection;

use crate::error::{Error, is_locked, nothing_stored};
use crate::stamp::Stamp;

/// Which transactions get a stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stamping {
    /// Those that change a row, so that others write nothing.
    Changed,
    /// All, because SQLite does not count the change as one.
    Always,
}

/// Runs `body` in a transaction that replaces `stamp` by the next one.
pub(crate) fn run<T>(
    connection: &Connection,
    stamp: &mut Stamp,
    stamping: Stamping,
    body: impl FnOnce(&Connection) -> Result<T, Error>,
) -> Result<T, Error> {
    let next = stamp.next();
    let (value, stamped) = unstamped(connection, |connection| {
        let before = connection.total_changes();
        let value = body(connection)?;
        let stamped = stamping == Stamping::Always || connection.total_changes() != before;
        if stamped {
            replace(connection, *stamp, next)?;
        }
        Ok((value, stamped))
    })?;
    if stamped {
        *stamp = next;
    }
    Ok(value)
}

/// Runs `body` between BEGIN IMMEDIATE and COMMIT. A failure before COMMIT stores nothing. A failed
/// COMMIT stores nothing only if the disk was full or the database locked; otherwise its outcome is
/// unknown.
pub(crate) fn unstamped<T>(
    connection: &Connection,
    body: impl FnOnce(&Connection) -> Result<T, Error>,
) -> Result<T, Error> {
    let execute = |sql: &str| -> Result<(), rusqlite::Error> {
        connection.prepare_cached(sql)?.execute([]).map(drop)
    };
    execute("BEGIN IMMEDIATE")?;
    let result = match body(connection) {
        Ok(value) => match execute("COMMIT") {
            Ok(()) => return Ok(value),
            Err(error) if nothing_stored(&error) || is_locked(&error) => Err(Error::Storage(error)),
            Err(error) => Err(Error::OutcomeUnknown(error)),
        },
        Err(error) => Err(error),
    };
    // SQLite rolls back by itself after some failures.
    if !connection.is_autocommit() {
        execute("ROLLBACK")?;
    }
    result
}

/// Replaces the stamp, unless another driver has written to the store since.
fn replace(connection: &Connection, before: Stamp, next: Stamp) -> Result<(), Error> {
    let sql = "UPDATE store SET stamp = ?1 WHERE stamp = ?2";
    let replaced = connection
        .prepare_cached(sql)?
        .execute((next.encode(), before.encode()))?;
    match replaced {
        0 => Err(Error::TakenOver),
        _ => Ok(()),
    }
}
