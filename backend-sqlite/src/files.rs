//! Files of a store. Only their owner may read them, because a store holds secrets.

use std::fs::{OpenOptions, Permissions};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::connection::refuse;
use crate::error::Error;
use crate::options::Options;

/// Mode of every file: owner only.
const MODE: u32 = 0o600;

/// Size of the smallest database: one page.
const PAGE_BYTES: u64 = 4096;

/// Suffixes of the files beside a database.
pub(crate) const LOG: &str = "-wal";
pub(crate) const JOURNAL: &str = "-journal";
pub(crate) const LOCK: &str = ".lock";
pub(crate) const POSITION: &str = ".position";
const LOG_INDEX: &str = "-shm";
const BESIDE: [&str; 5] = [LOG, LOG_INDEX, LOCK, POSITION, ".ballast"];

/// Detects that an open file was moved or replaced: writes to it would be lost when the process
/// ends.
#[derive(Debug)]
pub(crate) struct OpenFiles {
    database: OpenFile,
    log: OpenFile,
    /// Without these, another process could open the store, too.
    index: OpenFile,
    lock: OpenFile,
}

#[derive(Debug)]
struct OpenFile {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
    /// Minimum size in bytes. 0 for the log, because a checkpoint may truncate it.
    least: u64,
    /// Whether the content is in memory or only informational, so that a restart makes a new file.
    remade: bool,
}

/// How an open file was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// The path no longer names the open file; it may be moved back.
    Gone(String),
    /// The file was truncated.
    Emptied(String),
}

/// Sets the mode of new files: owner only.
pub(crate) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(MODE)
}

/// Creates an empty file with the mode, regardless of the umask; does nothing if it exists.
pub(crate) fn create(path: &Path) -> Result<(), Error> {
    let mut options = OpenOptions::new();
    match private(options.write(true).create_new(true)).open(path) {
        Ok(file) => file
            .set_permissions(Permissions::from_mode(MODE))
            .map_err(|error| refuse(path, format!("cannot set its mode: {error}"))),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(refuse(path, format!("cannot create: {error}"))),
    }
}

/// Restricts the files of a store to their owner.
pub(crate) fn tighten(options: &Options) {
    let beside = BESIDE.iter().map(|suffix| options.beside(suffix));
    for path in std::iter::once(options.path.clone()).chain(beside) {
        let Ok(found) = std::fs::metadata(&path) else {
            continue;
        };
        let before = found.mode() & 0o777;
        if before & !MODE == 0 {
            continue;
        }
        let (path_told, mode) = (path.display(), format!("{before:o}"));
        match std::fs::set_permissions(&path, Permissions::from_mode(MODE)) {
            Ok(()) => {
                tracing::info!(path = %path_told, mode, "other users could read the file: changed its mode to 600")
            }
            // For example on a volume that another user owns and this process accesses by group.
            Err(error) => {
                tracing::warn!(path = %path_told, mode, %error, "other users can read the file, and its mode cannot be changed")
            }
        }
    }
}

/// Rejects an empty file, and a new store where traces of an earlier one exist; returns whether the
/// store is new.
pub(crate) fn check_new(options: &Options) -> Result<bool, Error> {
    let path = &options.path;
    let empty = match std::fs::metadata(path) {
        Ok(found) if found.len() == 0 => true,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        _ => return Ok(false),
    };
    let mut beside = BESIDE.iter().map(|suffix| options.beside(suffix));
    let holds = |path: &PathBuf| std::fs::metadata(path).is_ok_and(|file| file.len() > 0);
    let problem = match (empty, beside.find(holds)) {
        (false, None) => return Ok(true),
        (false, Some(left)) => format!(
            "the database is missing, but {} shows that there was one: put it back or restore a \
             backup; to begin with an empty store, remove {} first",
            left.display(),
            left.display()
        ),
        // A driver never leaves an empty file: it makes a new store under another name.
        (true, None) => {
            "the database is empty, it has 0 bytes: put it back or restore a backup; to \
             begin with an empty store, remove the file first"
                .to_owned()
        }
        (true, Some(left)) => format!(
            "the database is empty, and {} shows that there was one: put it back or restore a \
             backup; to begin with an empty store, remove both files first",
            left.display()
        ),
    };
    Err(refuse(path, problem))
}

/// Removes the file at `path` and the files that SQLite makes beside it; for unfinished copies.
pub(crate) fn remove_unfinished(path: &Path) -> Result<(), Error> {
    for suffix in ["", JOURNAL, LOG, LOG_INDEX] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        let path = Path::new(&name);
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(refuse(path, format!("cannot remove: {error}")));
            }
            _ => {}
        }
    }
    Ok(())
}

// === impl OpenFiles ===

impl OpenFiles {
    /// Records the identity of the files of a database that was just opened.
    ///
    /// Never opens them: closing a file releases all POSIX locks of the process on it, including
    /// SQLite's.
    pub(crate) fn of(options: &Options) -> Result<Self, Error> {
        let beside = |suffix| options.beside(suffix);
        Ok(Self {
            database: OpenFile::at(options.path.clone(), PAGE_BYTES, false)?,
            log: OpenFile::at(beside(LOG), 0, false)?,
            index: OpenFile::at(beside(LOG_INDEX), 0, true)?,
            lock: OpenFile::at(beside(LOCK), 0, true)?,
        })
    }

    /// Checks that no file was lost, with four system calls.
    pub(crate) fn check(&self) -> Result<(), Lost> {
        self.database.check()?;
        self.log.check()?;
        self.index.check()?;
        self.lock.check()
    }
}

impl OpenFile {
    fn at(path: PathBuf, least: u64, remade: bool) -> Result<Self, Error> {
        let found = std::fs::metadata(&path)
            .map_err(|error| refuse(&path, format!("was there a moment ago: {error}")))?;
        Ok(Self {
            identity: (found.dev(), found.ino()),
            least,
            remade,
            path,
        })
    }

    fn check(&self) -> Result<(), Lost> {
        let path = self.path.display();
        let found = std::fs::metadata(&self.path).ok();
        let lost = |problem: String| Err(Lost::Gone(problem));
        match found {
            Some(found) if (found.dev(), found.ino()) != self.identity => {
                let remedy = if self.remade {
                    "stop, and start again"
                } else {
                    "put back the file that was there, or stop, and start on the one that is"
                };
                lost(format!("{path} was replaced while it was in use: {remedy}"))
            }
            Some(found) if found.len() < self.least => Err(Lost::Emptied(format!(
                "{path} was emptied while it was in use: stop, and restore a backup"
            ))),
            Some(_) => Ok(()),
            None if self.remade => lost(format!(
                "{path} was removed while it was in use: stop, and start again"
            )),
            None => lost(format!(
                "{path} was removed while it was in use: put it back, or copy it from \
                 /proc/{}/fd before this process ends",
                std::process::id()
            )),
        }
    }
}
