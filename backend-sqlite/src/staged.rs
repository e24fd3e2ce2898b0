//! Progress of an import in several calls: a column of the row of `store`.
//!
//! The imported content is stored in its final place, in `log` and `current`, so that the last call
//! only sets the identity of the store. Until then every read and write is rejected.

use backend_proto::v1;
use prost::Message as _;
use rusqlite::Connection;
use sidecar::driver::ImportProgress;

use crate::error::Error;

/// Reads the progress of an unfinished import; `None` if there is none.
pub(crate) fn read(connection: &Connection) -> Result<Option<ImportProgress>, Error> {
    let stored: Option<Vec<u8>> =
        connection.query_row("SELECT importing FROM store", [], |row| row.get(0))?;
    let Some(stored) = stored else {
        return Ok(None);
    };
    let damaged = || Error::Invalid("the progress of an unfinished import is damaged".to_owned());
    let stored = v1::ImportProgress::decode(stored.as_slice()).map_err(|_| damaged())?;
    Ok(Some(ImportProgress {
        source: stored.source.ok_or_else(damaged)?,
        last: stored.last,
        revision: stored.revision,
        records: stored.records,
    }))
}

/// Stores the progress. Must run inside a write transaction.
pub(crate) fn write(connection: &Connection, progress: &ImportProgress) -> Result<(), Error> {
    let stored = v1::ImportProgress {
        source: Some(progress.source.clone()),
        last: progress.last.clone(),
        revision: progress.revision,
        records: progress.records,
    };
    let sql = "UPDATE store SET importing = ?1";
    connection.execute(sql, [stored.encode_to_vec()])?;
    Ok(())
}

/// Drops the content of earlier calls, which leaves the store empty. Must run inside a write
/// transaction.
pub(crate) fn discard(connection: &Connection) -> rusqlite::Result<()> {
    let sql = "DELETE FROM log; DELETE FROM current; DELETE FROM resource; \
               UPDATE store SET importing = NULL";
    connection.execute_batch(sql)
}
