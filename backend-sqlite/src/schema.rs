//! Schema, migrations, and the checks before a file is trusted.

use std::io::Read as _;
use std::path::Path;
use std::time::SystemTime;

use rusqlite::{Connection, ErrorCode, OptionalExtension as _};
use sidecar::head::Head;

use crate::connection::{self, explain, refuse};
use crate::error::{Error, is_damage};
use crate::files;
use crate::location;
use crate::options::Options;
use crate::renumber;
use crate::stamp::{Generation, Stamp};
use crate::transaction;

/// `ArkB`: the `application_id` of this driver's files.
const APPLICATION_ID: i32 = 0x4172_6b42;

/// Version `n` of the schema is the result of the first `n` migrations.
const MIGRATIONS: &[&str] = &[
    include_str!("schema/0001.sql"),
    include_str!("schema/0002.sql"),
    include_str!("schema/0003.sql"),
    include_str!("schema/0004.sql"),
    include_str!("schema/0005.sql"),
];

/// First schema version with stamps.
pub(crate) const STAMPED: i64 = 5;

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

/// How a driver begins to serve a store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begin {
    pub(crate) now: SystemTime,
    /// Run of the driver.
    pub(crate) generation: Generation,
    /// Whether commits may be missing, so that a new epoch must begin.
    pub(crate) suspect: bool,
    /// Newest revision that may have been issued, whatever the database says.
    pub(crate) issued: i64,
}

/// Rejects a path that is not a database before SQLite opens it.
pub(crate) fn check_file(path: &Path) -> Result<(), Error> {
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

/// Makes a new store under another name and moves it to its place, so that an interrupted start
/// leaves no file there.
pub(crate) fn create(options: &Options) -> Result<(), Error> {
    let path = &options.path;
    let partial = options.beside(".partial");
    files::remove_unfinished(&partial)?;
    let made = make(&partial, options).and_then(|()| {
        std::fs::File::open(&partial)
            .and_then(|file| file.sync_all())
            .and_then(|()| std::fs::rename(&partial, path))
            .and_then(|()| location::sync_folder(path))
            .map_err(|error| refuse(path, format!("cannot create: {error}")))
    });
    if made.is_err() {
        // The error of the first failure says what to do.
        let _ = files::remove_unfinished(&partial);
    }
    made
}

fn make(partial: &Path, options: &Options) -> Result<(), Error> {
    files::create(partial)?;
    let explained = |error: rusqlite::Error| explain(&options.path, &error);
    let connection = Connection::open(partial).map_err(explained)?;
    // Without a journal file: a failed attempt is removed as a whole.
    connection::lay_out(&connection, &options.path)?;
    connection
        .pragma_update_and_check(None, "journal_mode", "MEMORY", |_| Ok(()))
        .map_err(explained)?;
    migrate(&connection, 0, (options.clock)()).map_err(|error| match error {
        Error::Storage(error) => explain(&options.path, &error),
        error => error,
    })?;
    // Switching an existing file would leave a rollback journal if the process is killed.
    connection
        .pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))
        .map_err(explained)?;
    connection.close().map_err(|(_, error)| explained(error))
}

/// Migrates the file to this release's schema, reads its state and gives it a stamp of this run. A
/// restored store, or one that may lack commits, begins a new epoch.
pub(crate) fn prepare(
    connection: &Connection,
    path: &Path,
    begin: Begin,
) -> Result<(Identity, Stamp), Error> {
    let started = identify(connection, begin).map_err(|error| match error {
        Error::Storage(error) => explain(path, &error),
        error => refuse(path, error.to_string()),
    });
    started?.ok_or_else(|| refuse(path, "the table `store` is empty: restore a backup"))
}

fn identify(connection: &Connection, begin: Begin) -> Result<Option<(Identity, Stamp)>, Error> {
    let version = usize::try_from(version(connection)?).unwrap_or_default();
    migrate(connection, version, begin.now)?;
    // Outside of the transaction: reading a damaged page would fail all of it.
    check_newest_row(connection)?;
    // One transaction: another driver may write until this one holds the write lock.
    transaction::unstamped(connection, |connection| {
        let Some(Row {
            identity,
            restored,
            stamp,
        }) = read_row(connection)?
        else {
            return Ok(None);
        };
        identity.head.check()?;
        let stamp = Stamp {
            generation: begin.generation,
            ..stamp.unwrap_or(Stamp::NONE)
        }
        .next();
        connection.execute("UPDATE store SET stamp = ?1", [stamp.encode()])?;
        if !restored && !begin.suspect {
            return Ok(Some((identity, stamp)));
        }
        let mut newest = identity.head;
        newest.revision = newest.revision.max(begin.issued);
        let head = begin_epoch(connection, newest, begin.now)?;
        tracing::info!(epoch = head.epoch, "begins a new epoch");
        Ok(Some((Identity { head, ..identity }, stamp)))
    })
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

/// Sets the mark of a restored copy; returns whether there is a row. Must run inside a write
/// transaction.
pub(crate) fn mark(connection: &Connection) -> Result<bool, Error> {
    Ok(connection.execute("UPDATE store SET restored = 1", [])? > 0)
}

/// Reads the stamp; `None` in a copy, or if the file is of an older release.
pub(crate) fn stamp(connection: &Connection) -> Result<Option<Stamp>, Error> {
    if version(connection)? < STAMPED {
        return Ok(None);
    }
    let stored: Option<Option<Vec<u8>>> = connection
        .query_row("SELECT stamp FROM store", [], |row| row.get(0))
        .optional()?;
    Ok(stored.flatten().as_deref().and_then(Stamp::decode))
}

/// Removes the stamp, which a copy does not have. Must run inside a write transaction.
pub(crate) fn remove_stamp(connection: &Connection) -> Result<(), Error> {
    if version(connection)? >= STAMPED {
        connection.execute("UPDATE store SET stamp = NULL", [])?;
    }
    Ok(())
}

/// The row of `store`.
struct Row {
    identity: Identity,
    restored: bool,
    /// Absent in copies and in stores of older releases, or damaged.
    stamp: Option<Stamp>,
}

fn read_row(connection: &Connection) -> rusqlite::Result<Option<Row>> {
    let sql = "SELECT store_id, epoch, revision, compact_revision, restored, fenced, stamp \
               FROM store";
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
            let stamp: Option<Vec<u8>> = row.get(6)?;
            Ok(Row {
                identity,
                restored: row.get(4)?,
                stamp: stamp.as_deref().and_then(Stamp::decode),
            })
        })
        .optional()
}
