//! How far an import in several calls has come: a column of the row of `store`.
//!
//! What its calls brought lies where it will stay, in `log` and `current`, so that the last call
//! only has to say who the store now is. Until then every read and write is refused.

use backend_proto::v1;
use prost::Message as _;
use rusqlite::Connection;
use sidecar::driver::ImportProgress;

use crate::error::Error;

/// The progress of an unfinished import; `None` if there is none.
pub(crate) fn read(connection: &Connection) -> Result<Option<ImportProgress>, Error> {
    let kept: Option<Vec<u8>> =
        connection.query_row("SELECT importing FROM store", [], |row| row.get(0))?;
    let Some(kept) = kept else {
        return Ok(None);
    };
    let damaged = || Error::Invalid("the progress of an unfinished import is damaged".to_owned());
    let kept = v1::ImportProgress::decode(kept.as_slice()).map_err(|_| damaged())?;
    Ok(Some(ImportProgress {
        source: kept.source.ok_or_else(damaged)?,
        last: kept.last,
        revision: kept.revision,
        records: kept.records,
    }))
}

/// Notes the progress. Called inside a write transaction.
pub(crate) fn write(connection: &Connection, progress: &ImportProgress) -> Result<(), Error> {
    let kept = v1::ImportProgress {
        source: Some(progress.source.clone()),
        last: progress.last.clone(),
        revision: progress.revision,
        records: progress.records,
    };
    let sql = "UPDATE store SET importing = ?1";
    connection.execute(sql, [kept.encode_to_vec()])?;
    Ok(())
}

/// Drops what earlier calls brought: the store is then empty. Called inside a write transaction.
pub(crate) fn discard(connection: &Connection) -> rusqlite::Result<()> {
    let sql = "DELETE FROM log; DELETE FROM current; DELETE FROM resource; \
               UPDATE store SET importing = NULL";
    connection.execute_batch(sql)
}
