//! Backups of databases, and the mark that makes a restored one begin a new epoch.

use std::path::Path;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::connection::{self, explain, refuse};
use crate::continuity;
use crate::error::Error;
use crate::files;
use crate::integrity;
use crate::location;
use crate::lock::Lock;
use crate::options::Options;
use crate::schema;
use crate::transaction::{self, Stamping};

/// Copies the database at `from` into the new file `to` from one snapshot, without stopping its
/// writer, and verifies the copy. A server started on the copy begins a new epoch, because the
/// original may have committed more.
///
/// # Errors
/// A message that names the file; `to` does not exist in this case.
pub fn run(from: &Path, to: &Path) -> Result<(), Error> {
    if std::fs::symlink_metadata(to).is_ok() {
        return Err(refuse(
            to,
            "the file exists: choose another path, a backup never overwrites",
        ));
    }
    if !from.exists() {
        return Err(refuse(from, "there is no such file"));
    }
    let options = location::resolve(&Options::new(from))?;
    schema::check_file(&options.path)?;
    let source = source(&options)?;
    let mut partial = to.as_os_str().to_owned();
    partial.push(".partial");
    let partial = Path::new(&partial);
    files::remove_unfinished(partial)?;
    let copied = copy(&source, &options.path, partial, to).and_then(|()| {
        std::fs::rename(partial, to)
            .and_then(|()| location::sync_folder(to))
            .map_err(|error| refuse(to, format!("cannot finish the backup: {error}")))
    });
    if copied.is_err() {
        // The error of the copy says what to do.
        let _ = files::remove_unfinished(partial);
    }
    copied
}

/// Opens the database to be copied. Without a driver, its log must be its own.
fn source(options: &Options) -> Result<Connection, Error> {
    let path = &options.path;
    // A lock that this process creates is removed again; a running driver holds it.
    if let Ok(_lock) = Lock::take(options) {
        continuity::examine(options)?;
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let source = Connection::open_with_flags(path, flags).map_err(|error| explain(path, &error))?;
    source
        .pragma_update(None, "wal_autocheckpoint", 0)
        .map_err(|error| explain(path, &error))?;
    schema::check_owner(&source, path)?;
    Ok(source)
}

/// Marks an unused database as a restored copy, as [`run`] marks its copies: the next server begins
/// a new epoch.
///
/// # Errors
/// A message that names the file.
pub fn mark(options: &Options) -> Result<(), Error> {
    if !options.path.exists() {
        return Err(refuse(&options.path, "there is no such file"));
    }
    let options = &location::resolve(options)?;
    let path = &options.path;
    schema::check_file(path)?;
    let mut lock = Lock::take(options)?;
    files::check_new(options)?;
    continuity::examine(options)?;
    files::tighten(options);
    let connection = connection::writer(options)?;
    schema::check_owner(&connection, path)?;
    lock.write_pid()?;
    let marked = match schema::stamp(&connection)? {
        Some(mut stamp) => {
            transaction::run(&connection, &mut stamp, Stamping::Changed, schema::mark)
        }
        None => transaction::unstamped(&connection, schema::mark),
    };
    check_marked(marked, path)?;
    connection
        .close()
        .map_err(|(_, error)| explain(path, &error))?;
    // Keep the note of an unclean stop: the next server must still verify the file.
    if !lock.was_unclean() {
        lock.release();
    }
    Ok(())
}

fn check_marked(marked: Result<bool, Error>, path: &Path) -> Result<(), Error> {
    match marked {
        Ok(true) => Ok(()),
        Ok(false) => Err(refuse(path, "the table `store` is empty: restore a backup")),
        Err(Error::Storage(error)) => Err(explain(path, &error)),
        Err(error) => Err(error),
    }
}

fn copy(source: &Connection, from: &Path, partial: &Path, to: &Path) -> Result<(), Error> {
    let name = partial
        .to_str()
        .ok_or_else(|| refuse(partial, "the name is not UTF-8"))?;
    // SQLite fills the empty file and keeps its mode.
    files::create(partial)?;
    source
        .execute("VACUUM INTO ?1", [name])
        .map_err(|error| explain(reason_of(&error, from, to), &error))?;
    let copy = Connection::open(partial).map_err(|error| explain(to, &error))?;
    let marked = transaction::unstamped(&copy, |copy| {
        schema::remove_stamp(copy)?;
        schema::mark(copy)
    });
    match marked {
        Ok(true) => {}
        Ok(false) => check_marked(marked, from)?,
        Err(_) => check_marked(marked, to)?,
    }
    // A copy with damage would replace sound backups.
    let damaged = integrity::check(&copy, from)?;
    if let Some(first) = damaged.first() {
        let problem = format!(
            "{} stored values fail their checksum, the first of {first}: restore the objects from \
             an earlier backup, or delete them; there is no copy",
            damaged.len()
        );
        return Err(refuse(from, problem));
    }
    copy.close().map_err(|(_, error)| explain(to, &error))?;
    std::fs::File::open(partial)
        .and_then(|file| file.sync_all())
        .map_err(|error| refuse(to, error.to_string()))
}

/// Returns the file that an error of copying is about: reads fail with other codes than writes.
fn reason_of<'a>(error: &rusqlite::Error, from: &'a Path, to: &'a Path) -> &'a Path {
    match error.sqlite_error_code() {
        Some(
            ErrorCode::DiskFull
            | ErrorCode::CannotOpen
            | ErrorCode::ReadOnly
            | ErrorCode::SystemIoFailure,
        ) => to,
        _ => from,
    }
}
