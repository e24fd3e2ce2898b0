//! One process per database.
//!
//! SQLite itself lets several processes write; two drivers that each number revisions must not.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use crate::error::Error;
use crate::files;

/// Holds the lock file until dropped. The file's content is the pid of the holder; it is emptied
/// by an orderly close, so that a left-over pid tells of an unclean stop.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    unclean: bool,
}

impl Lock {
    /// Takes the lock at once or says who has it.
    pub(crate) fn take(path: &Path) -> Result<Self, Error> {
        let open = |path: &Path| {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false);
            files::private(&mut options).open(path)
        };
        let mut file = open(path).map_err(|error| refuse(path, format!("cannot open: {error}")))?;
        let locked = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive);
        let mut holder = String::new();
        // The content is for people; a lock without it is still a lock.
        let _ = file.read_to_string(&mut holder);
        if locked.is_err() {
            let holder = match holder.trim() {
                "" => "that is just starting".to_owned(),
                pid => pid.to_owned(),
            };
            let problem =
                format!("the database is in use by process {holder}: stop that process first");
            return Err(refuse(path, problem));
        }
        let unclean = !holder.trim().is_empty();
        Ok(Self { file, unclean })
    }

    /// Notes who has the lock, once there is a database: a note beside none tells that one was lost.
    pub(crate) fn note_holder(&mut self, path: &Path) -> Result<(), Error> {
        match write_holder(&mut self.file, &format!("{}\n", std::process::id())) {
            // The lock holds all the same; an unclean stop is not noticed at the next start.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge
                ) =>
            {
                tracing::warn!(%error, "cannot note the process in the lock file");
                Ok(())
            }
            written => written.map_err(|error| refuse(path, format!("cannot write: {error}"))),
        }
    }

    /// Whether the last holder ended without closing the store.
    pub(crate) fn was_unclean(&self) -> bool {
        self.unclean
    }

    /// Notes an orderly close and gives the lock up.
    pub(crate) fn release(mut self) {
        if let Err(error) = write_holder(&mut self.file, "") {
            tracing::warn!(%error, "cannot empty the lock file");
        }
    }
}

/// In place, because a full disk has no other.
fn write_holder(file: &mut File, content: &str) -> std::io::Result<()> {
    file.rewind()?;
    file.write_all(content.as_bytes())?;
    file.set_len(content.len() as u64)
}

fn refuse(path: &Path, problem: String) -> Error {
    let path = PathBuf::from(path);
    Error::Open { path, problem }
}
