//! Write transactions, and the outcome of a failure.

use rusqlite::Connection;

use crate::error::{Error, nothing_stored};

/// Runs `body` between BEGIN IMMEDIATE and COMMIT. A failure before COMMIT stores nothing. A failed
/// COMMIT stores nothing only if the disk was full; otherwise its outcome is unknown.
pub(crate) fn run<T>(
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
            Err(error) if nothing_stored(&error) => Err(Error::Storage(error)),
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
