//! Lock file that allows one process per database.
//!
//! SQLite itself allows several writing processes, but two drivers would both assign revisions.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use crate::error::Error;
use crate::files;

/// Holds the lock file until dropped. The file contains the pid of the holder. An orderly close
/// empties it, so a remaining pid indicates an unclean stop.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    unclean: bool,
}

impl Lock {
    /// Takes the lock, or fails at once and names the holder.
    pub(crate) fn take(path: &Path) -> Result<Self, Error> {
        let open = |path: &Path| {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false);
            files::private(&mut options).open(path)
        };
        let mut file = open(path).map_err(|error| refuse(path, format!("cannot open: {error}")))?;
        let locked = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive);
        let mut holder = String::new();
        // The content is informational; the lock is valid without it.
        let _ = file.read_to_string(&mut holder);
        if locked.is_err() {
            let holder = match holder.trim() {
                "" => "that is starting".to_owned(),
                pid => pid.to_owned(),
            };
            let problem =
                format!("the database is in use by process {holder}: stop that process first");
            return Err(refuse(path, problem));
        }
        let unclean = !holder.trim().is_empty();
        Ok(Self { file, unclean })
    }

    /// Writes the pid, once the database exists: a pid without a database means that the database
    /// was lost.
    pub(crate) fn write_pid(&mut self, path: &Path) -> Result<(), Error> {
        match write_holder(&mut self.file, &format!("{}\n", std::process::id())) {
            // The lock is valid without the pid; only detection of an unclean stop is lost.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge
                ) =>
            {
                tracing::warn!(%error, "cannot write the process id to the lock file");
                Ok(())
            }
            written => written.map_err(|error| refuse(path, format!("cannot write: {error}"))),
        }
    }

    /// Whether the last holder ended without closing the store.
    pub(crate) fn was_unclean(&self) -> bool {
        self.unclean
    }

    /// Records an orderly close and releases the lock.
    pub(crate) fn release(mut self) {
        if let Err(error) = write_holder(&mut self.file, "") {
            tracing::warn!(%error, "cannot empty the lock file");
        }
    }
}

/// Overwrites in place, because a full disk has no room for a new file.
fn write_holder(file: &mut File, content: &str) -> std::io::Result<()> {
    file.rewind()?;
    file.write_all(content.as_bytes())?;
    file.set_len(content.len() as u64)
}

fn refuse(path: &Path, problem: String) -> Error {
    let path = PathBuf::from(path);
    Error::Open { path, problem }
}
