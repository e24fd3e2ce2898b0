//! Backups of databases, and the mark that makes a restored one begin a new epoch.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use crate::connection::{self, explain, refuse};
use crate::error::Error;
use crate::files;
use crate::lock::Lock;
use crate::options::Options;
use crate::schema;

const MARK: &str = "UPDATE store SET restored = 1";

/// Copies the database at `from` into the new file `to` from one snapshot, without stopping its
/// writer. A server started on the copy begins a new epoch, because the original may have committed
/// more.
///
/// # Errors
/// A message that names the file; `to` does not exist in this case.
pub fn run(from: &Path, to: &Path) -> Result<(), Error> {
    if to.exists() {
        return Err(refuse(
            to,
            "the file exists: choose another path, a backup never overwrites",
        ));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let source = Connection::open_with_flags(from, flags).map_err(|error| explain(from, &error))?;
    source
        .pragma_update(None, "wal_autocheckpoint", 0)
        .map_err(|error| explain(from, &error))?;
    let mut partial = to.as_os_str().to_owned();
    partial.push(".partial");
    let partial = Path::new(&partial);
    let copied = copy(&source, from, partial);
    if copied.is_err() {
        let _ = std::fs::remove_file(partial);
    }
    copied?;
    std::fs::rename(partial, to)
        .and_then(|()| sync_folder(to))
        .map_err(|error| refuse(to, format!("cannot finish the backup: {error}")))
}

/// Marks an unused database as a restored copy, as [`run`] marks its copies: the next server begins
/// a new epoch.
///
/// # Errors
/// A message that names the file.
pub fn mark(options: &Options) -> Result<(), Error> {
    let path = &options.path;
    if !path.exists() {
        return Err(refuse(path, "there is no such file"));
    }
    schema::check_file(path)?;
    let lock_path = options.beside(".lock");
    let mut lock = Lock::take(&lock_path)?;
    if files::check_new(options)? {
        return Err(refuse(path, "the file is empty"));
    }
    files::tighten(options);
    lock.write_pid(&lock_path)?;
    let connection = connection::writer(options)?;
    schema::check_owner(&connection, path)?;
    set_mark(&connection, path)?;
    connection
        .close()
        .map_err(|(_, error)| explain(path, &error))?;
    // Keep the note of an unclean stop: the next server must still verify the file.
    if !lock.was_unclean() {
        lock.release();
    }
    Ok(())
}

/// Sets the mark in the row of `store`; `path` is for the error if the row is missing.
fn set_mark(connection: &Connection, path: &Path) -> Result<(), Error> {
    let marked = connection.execute(MARK, []);
    match marked.map_err(|error| explain(path, &error))? {
        0 => Err(refuse(path, "the table `store` is empty: restore a backup")),
        _ => Ok(()),
    }
}

fn copy(source: &Connection, from: &Path, partial: &Path) -> Result<(), Error> {
    if partial.exists() {
        std::fs::remove_file(partial).map_err(|error| refuse(partial, error.to_string()))?;
    }
    let name = partial
        .to_str()
        .ok_or_else(|| refuse(partial, "the name is not UTF-8"))?;
    // SQLite fills the empty file and keeps its mode.
    files::create(partial)?;
    source
        .execute("VACUUM INTO ?1", [name])
        .map_err(|error| explain(from, &error))?;
    let copy = Connection::open(partial).map_err(|error| explain(partial, &error))?;
    set_mark(&copy, from)?;
    copy.close()
        .map_err(|(_, error)| explain(partial, &error))?;
    std::fs::File::open(partial)
        .and_then(|file| file.sync_all())
        .map_err(|error| refuse(partial, error.to_string()))
}

fn sync_folder(file: &Path) -> std::io::Result<()> {
    let folder = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    std::fs::File::open(folder)?.sync_all()
}
