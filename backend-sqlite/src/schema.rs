//! Schema, migrations, and the checks before a file is trusted.

use std::io::Read as _;
use std::path::Path;
use std::time::SystemTime;

use rusqlite::{Connection, ErrorCode, OptionalExtension as _};
use sidecar::head::Head;

use crate::connection::{explain, refuse};
use crate::error::{Error, is_damage};
use crate::renumber;

/// `ArkB`: the `application_id` of this driver's files.
const APPLICATION_ID: i32 = 0x4172_6b42;

/// Version `n` of the schema is the result of the first `n` migrations.
const MIGRATIONS: &[&str] = &[
    include_str!("schema/0001.sql"),
    include_str!("schema/0002.sql"),
    include_str!("schema/0003.sql"),
    include_str!("schema/0004.sql"),
];

/// First schema version whose revisions are at most 2^53 - 1.
const SMALL_REVISIONS: usize = 3;

/// State of the store as read at start.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) store_id: String,
    pub(crate) head: Head,
    /// Reason of the fence, if the store is fenced.
    pub(crate) fenced: Option<String>,
}

/// Rejects a path that is not a database before SQLite opens it.
pub(crate) fn check_file(path: &Path) -> Result<(), Error> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if !folder.is_dir() {
        let problem = format!(
            "the directory {} does not exist: create it or correct --path",
            folder.display()
        );
        return Err(refuse(path, problem));
    }
    let mut file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(refuse(path, format!("cannot read: {error}"))),
    };
    let mut start = Vec::with_capacity(16);
    file.by_ref()
        .take(16)
        .read_to_end(&mut start)
        .map_err(|error| refuse(path, format!("cannot read: {error}")))?;
    if start.is_empty() || start == b"SQLite format 3\0" {
        return Ok(());
    }
    let problem = "this is not a SQLite database, or its first page is damaged: \
                   restore a backup or correct --path; the file was not touched";
    Err(refuse(path, problem))
}

/// Rejects a database of another program or of a newer release, without changing it.
pub(crate) fn check_owner(connection: &Connection, path: &Path) -> Result<(), Error> {
    let explained = |error: rusqlite::Error| explain(path, &error);
    let application: i32 = connection
        .pragma_query_value(None, "application_id", |row| row.get(0))
        .map_err(explained)?;
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(explained)?;
    if tables > 0 && application != APPLICATION_ID {
        let problem = "this SQLite database belongs to another program: correct --path";
        return Err(refuse(path, problem));
    }
    let version = version(connection).map_err(explained)?;
    if tables > 0 && version < 1 {
        let problem = format!(
            "the database has schema version {version}, which no program made: it is damaged, \
             restore a backup"
        );
        return Err(refuse(path, problem));
    }
    if version > MIGRATIONS.len() as i64 {
        let problem = format!(
            "the database has schema version {version}, this program knows up to {}: \
             use the newer program that wrote it",
            MIGRATIONS.len()
        );
        return Err(refuse(path, problem));
    }
    Ok(())
}

/// Migrates the file to this release's schema and reads its state. A restored store begins a new
/// epoch, because it may lack commits that clients saw.
pub(crate) fn prepare(
    connection: &Connection,
    path: &Path,
    now: SystemTime,
) -> Result<Identity, Error> {
    let started = identify(connection, now).map_err(|error| match error {
        Error::Storage(error) => explain(path, &error),
        error => refuse(path, error.to_string()),
    });
    started?.ok_or_else(|| refuse(path, "the table `store` is empty: restore a backup"))
}

fn identify(connection: &Connection, now: SystemTime) -> Result<Option<Identity>, Error> {
    let version = usize::try_from(version(connection)?).unwrap_or_default();
    migrate(connection, version, now)?;
    let Some((identity, restored)) = identity(connection)? else {
        return Ok(None);
    };
    identity.head.check()?;
    check_newest_row(connection)?;
    if !restored {
        return Ok(Some(identity));
    }
    let head = begin_epoch(connection, identity.head, now)?;
    tracing::info!(epoch = head.epoch, "restored store begins a new epoch");
    Ok(Some(Identity { head, ..identity }))
}

/// Rejects a row of `store` that is older than the newest change: revisions would be issued twice.
/// An unfinished import has revisions of its source.
fn check_newest_row(connection: &Connection) -> Result<(), Error> {
    let sql = "SELECT s.revision, (SELECT max(revision) FROM log) AS newest FROM store s \
               WHERE importing IS NULL AND newest > s.revision";
    let found = connection
        .query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional();
    match found {
        Ok(Some((revision, newest))) => Err(Error::Behind { revision, newest }),
        Ok(None) => Ok(()),
        // Serve objects on intact pages; a damaged object returns its error when it is read.
        Err(error) if is_damage(&error) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Begins an epoch above `newest`; all history before it counts as compacted.
fn begin_epoch(connection: &Connection, newest: Head, now: SystemTime) -> Result<Head, Error> {
    let head = Head::begin(newest, now)?;
    connection.execute(
        "UPDATE store SET epoch = ?1, revision = ?2, compact_revision = ?2, restored = 0",
        (head.epoch, head.revision),
    )?;
    Ok(head)
}

/// Reads the head of a readable state; fails while an import is unfinished.
pub(crate) fn read_head(connection: &Connection) -> Result<Head, Error> {
    let sql = "SELECT epoch, revision, compact_revision, importing IS NOT NULL FROM store";
    let mut statement = connection.prepare_cached(sql)?;
    let (head, importing) = statement.query_row([], |row| {
        let head = Head {
            epoch: row.get(0)?,
            revision: row.get(1)?,
            compact_revision: row.get(2)?,
        };
        Ok((head, row.get(3)?))
    })?;
    if importing {
        return Err(Error::Importing);
    }
    Ok(head)
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

fn migrate(connection: &Connection, version: usize, now: SystemTime) -> Result<(), Error> {
    for (index, migration) in MIGRATIONS.iter().enumerate().skip(version) {
        connection.execute_batch("BEGIN IMMEDIATE")?;
        connection
            .execute_batch(migration)
            .map_err(|error| not_of_its_version(error, version))?;
        if index == 0 {
            let head = Head::made(now);
            connection.execute(
                "INSERT INTO store (id, store_id, epoch, revision, compact_revision, \
                 swept_revision) VALUES (1, ?1, ?2, ?3, ?3, ?3)",
                (uuid::Uuid::new_v4().to_string(), head.epoch, head.revision),
            )?;
            connection.pragma_update(None, "application_id", APPLICATION_ID)?;
        }
        if index + 1 == SMALL_REVISIONS
            && let Some(head) = renumber::run(connection, now)?
        {
            let Head {
                epoch, revision, ..
            } = head;
            tracing::info!(epoch, revision, "renumbered a store of an earlier release");
        }
        connection.pragma_update(None, "user_version", (index + 1) as u32)?;
        connection.execute_batch("COMMIT")?;
    }
    Ok(())
}

/// Maps an SQL error of a statement to a mismatch of file version and tables.
fn not_of_its_version(error: rusqlite::Error, version: usize) -> Error {
    if error.sqlite_error_code() == Some(ErrorCode::Unknown) {
        return Error::NotOfItsVersion {
            version,
            source: error,
        };
    }
    error.into()
}

fn identity(connection: &Connection) -> rusqlite::Result<Option<(Identity, bool)>> {
    let sql = "SELECT store_id, epoch, revision, compact_revision, restored, fenced FROM store";
    connection
        .query_row(sql, [], |row| {
            let head = Head {
                epoch: row.get(1)?,
                revision: row.get(2)?,
                compact_revision: row.get(3)?,
            };
            let identity = Identity {
                store_id: row.get(0)?,
                head,
                fenced: row.get(5)?,
            };
            Ok((identity, row.get(4)?))
        })
        .optional()
}
