//! Connections and their settings.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::error::{Error, describe, no_room};
use crate::options::Options;

/// Oldest accepted SQLite. Versions 3.7.0 to 3.51.2 corrupt a write-ahead log that two connections
/// reset at once.
const OLDEST: (i32, &str) = (3_051_003, "3.51.3");

/// How long a connection waits for the write lock of another program, such as the `sqlite3` shell.
/// Well below the 5 s after which a gateway counts the outcome of a write as unknown.
pub(crate) const LOCK_TIMEOUT: Duration = Duration::from_millis(1500);

/// As [`LOCK_TIMEOUT`], after an attempt has failed: the next writes fail at once.
pub(crate) const LOCKED_TIMEOUT: Duration = Duration::from_millis(50);

/// Rejects a SQLite that is too old.
pub(crate) fn check_version(path: &Path) -> Result<(), Error> {
    if rusqlite::version_number() < OLDEST.0 {
        let problem = format!(
            "SQLite {} can corrupt databases: at least {} is needed",
            rusqlite::version(),
            OLDEST.1
        );
        return Err(refuse(path, problem));
    }
    Ok(())
}

/// Opens the only writing connection.
pub(crate) fn writer(options: &Options) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    open(&options.path, flags)
}

/// Sets the properties of a new file; both take effect only before the first table exists.
pub(crate) fn lay_out(connection: &Connection, path: &Path) -> Result<(), Error> {
    for (name, value) in [("page_size", "4096"), ("auto_vacuum", "INCREMENTAL")] {
        connection
            .pragma_update(None, name, value)
            .map_err(|error| explain(path, &error))?;
    }
    Ok(())
}

/// Configures the file and the writing connection. Call only after the file is known to belong to
/// this driver.
pub(crate) fn configure_writer(connection: &Connection, options: &Options) -> Result<(), Error> {
    let set = |name: &str, value: &str| {
        connection
            .pragma_update(None, name, value)
            .map_err(|error| explain(&options.path, &error))
    };
    let mode: String = connection
        .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
        .map_err(|error| explain(&options.path, &error))?;
    if mode != "wal" {
        let problem = format!("the file system cannot hold a write-ahead log (mode {mode})");
        return Err(refuse(&options.path, problem));
    }
    set("synchronous", "FULL")?;
    set("wal_autocheckpoint", "0")?;
    set("journal_size_limit", "67108864")?;
    set("cache_size", &format!("-{}", options.writer_cache_kib))?;
    set("temp_store", "MEMORY")
}

/// Opens a read-only connection.
pub(crate) fn reader(path: &Path, cache_kib: u32) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = open(path, flags)?;
    connection.pragma_update(None, "cache_size", format!("-{cache_kib}"))?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

/// Opens the connection that checkpoints.
pub(crate) fn checkpointer(path: &Path) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = open(path, flags)?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -64)?;
    Ok(connection)
}

fn open(path: &Path, flags: OpenFlags) -> Result<Connection, Error> {
    let connection =
        Connection::open_with_flags(path, flags).map_err(|error| explain(path, &error))?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.busy_timeout(LOCK_TIMEOUT)?;
    // No memory mapping: an I/O error would become SIGBUS, and a stray write could corrupt the
    // file.
    connection
        .pragma_update(None, "mmap_size", 0)
        .map_err(|error| explain(path, &error))?;
    connection.pragma_update(None, "trusted_schema", false)?;
    // Stable plans. Otherwise SQLite prepares statements again for each bound value, which took a
    // tenth of the time of a write.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(connection)
}

/// Builds the error of opening a database from an SQLite error.
pub(crate) fn explain(path: &Path, error: &rusqlite::Error) -> Error {
    let reason = describe(error);
    if no_room(error) {
        return refuse(path, format!("{reason}: free some MiB on its disk"));
    }
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            refuse(path, format!("{reason}: restore a backup"))
        }
        _ => refuse(path, reason),
    }
}

/// Builds the error of opening a database.
pub(crate) fn refuse(path: &Path, problem: impl Into<String>) -> Error {
    Error::Open {
        path: path.to_path_buf(),
        problem: problem.into(),
    }
}
