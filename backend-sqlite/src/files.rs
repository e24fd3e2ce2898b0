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
const LOG: &str = "-wal";
const BESIDE: [&str; 4] = [LOG, "-shm", ".lock", ".ballast"];

/// Detects that an open file was moved or replaced: writes to it would be lost when the process
/// ends.
#[derive(Debug)]
pub(crate) struct OpenFiles {
    database: OpenFile,
    log: OpenFile,
}

#[derive(Debug)]
struct OpenFile {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
    /// Minimum size in bytes. 0 for the log, because a checkpoint may truncate it.
    least: u64,
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

/// Rejects a new empty store where traces of an earlier one exist; returns whether the store is
/// new.
pub(crate) fn check_new(options: &Options) -> Result<bool, Error> {
    let path = &options.path;
    let what = match std::fs::metadata(path) {
        Ok(found) if found.len() == 0 => "empty",
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => "missing",
        _ => return Ok(false),
    };
    let mut beside = BESIDE.iter().map(|suffix| options.beside(suffix));
    let holds = |path: &PathBuf| std::fs::metadata(path).is_ok_and(|file| file.len() > 0);
    let Some(left) = beside.find(holds) else {
        return Ok(true);
    };
    let problem = format!(
        "the database is {what}, but {} shows that there was one: put it back or restore a \
         backup; to begin with an empty store, remove that file first",
        left.display()
    );
    Err(refuse(path, problem))
}

// === impl OpenFiles ===

impl OpenFiles {
    /// Records the identity of the files of a database that was just opened.
    ///
    /// Never opens them: closing a file releases all POSIX locks of the process on it, including
    /// SQLite's.
    pub(crate) fn of(options: &Options) -> Result<Self, Error> {
        Ok(Self {
            database: OpenFile::at(options.path.clone(), PAGE_BYTES)?,
            log: OpenFile::at(options.beside(LOG), 0)?,
        })
    }

    /// Checks that no file was lost, with two system calls.
    pub(crate) fn check(&self) -> Result<(), Lost> {
        self.database.check()?;
        self.log.check()
    }
}

impl OpenFile {
    fn at(path: PathBuf, least: u64) -> Result<Self, Error> {
        let found = std::fs::metadata(&path)
            .map_err(|error| refuse(&path, format!("was there a moment ago: {error}")))?;
        Ok(Self {
            identity: (found.dev(), found.ino()),
            least,
            path,
        })
    }

    fn check(&self) -> Result<(), Lost> {
        let path = self.path.display();
        let found = std::fs::metadata(&self.path).ok();
        match found {
            Some(found) if (found.dev(), found.ino()) != self.identity => Err(Lost::Gone(format!(
                "{path} was replaced while it was in use: put back the file that was there, or \
                 stop, and start on the one that is"
            ))),
            Some(found) if found.len() < self.least => Err(Lost::Emptied(format!(
                "{path} was emptied while it was in use: stop, and restore a backup"
            ))),
            Some(_) => Ok(()),
            None => Err(Lost::Gone(format!(
                "{path} was removed while it was in use: put it back, or copy it from \
                 /proc/{}/fd before this process ends",
                std::process::id()
            ))),
        }
    }
}
