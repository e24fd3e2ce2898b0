//! Lock file that allows one process per database.
//!
//! SQLite itself allows several writing processes, but two drivers would both assign revisions.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Seek as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;

use crate::connection::refuse;
use crate::error::Error;
use crate::files::{self, LOCK};
use crate::options::Options;

/// How long a start waits for a holder that is ending: the lock outlives it until the last process
/// that it started has executed its program.
const HANDOVER: Duration = Duration::from_millis(250);
const RETRY_PAUSE: Duration = Duration::from_millis(10);

/// Holds the lock file until dropped. The file contains the pid of the holder. An orderly close
/// empties it, so a remaining pid indicates an unclean stop.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    path: PathBuf,
    unclean: bool,
    /// Whether this process created the file.
    created: bool,
}

impl Lock {
    /// Takes the lock of the database, or fails and names the holder.
    pub(crate) fn take(options: &Options) -> Result<Self, Error> {
        let path = options.beside(LOCK);
        let deadline = Instant::now() + HANDOVER;
        loop {
            let created = !path.exists();
            let mut file = open(&path)?;
            let locked = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive);
            let mut holder = String::new();
            // The content is informational; the lock is valid without it.
            let _ = file.read_to_string(&mut holder);
            if locked.is_err() && Instant::now() < deadline {
                std::thread::sleep(RETRY_PAUSE);
                continue;
            }
            if locked.is_err() {
                let holder = match holder.trim() {
                    "" => "that is starting".to_owned(),
                    pid => pid.to_owned(),
                };
                let problem =
                    format!("the database is in use by process {holder}: stop that process first");
                return Err(refuse(&options.path, problem));
            }
            // A failed start removes the file that it created, possibly after it was opened here.
            let there = std::fs::metadata(&path);
            let same = file.metadata().is_ok_and(|file| {
                there.is_ok_and(|there| (there.dev(), there.ino()) == (file.dev(), file.ino()))
            });
            if same {
                let unclean = !holder.trim().is_empty();
                return Ok(Self {
                    file,
                    path,
                    unclean,
                    created,
                });
            }
        }
    }

    /// Writes the pid. Call when the start changes the store, so that a failed start leaves the
    /// file as it was.
    pub(crate) fn write_pid(&mut self) -> Result<(), Error> {
        self.created = false;
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
            written => {
                written.map_err(|error| refuse(&self.path, format!("cannot write: {error}")))
            }
        }
    }

    /// Whether the last holder ended without closing the store.
    pub(crate) const fn was_unclean(&self) -> bool {
        self.unclean
    }

    /// Path of the file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Records an orderly close and releases the lock.
    pub(crate) fn release(mut self) {
        if let Err(error) = write_holder(&mut self.file, "") {
            tracing::warn!(%error, "cannot empty the lock file");
        }
    }
}

impl Drop for Lock {
    /// Removes the file of a start that failed before it changed the store.
    fn drop(&mut self) {
        if self.created {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn open(path: &Path) -> Result<File, Error> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    files::private(&mut options)
        .open(path)
        .map_err(|error| refuse(path, format!("cannot open: {error}")))
}

/// Overwrites in place, because a full disk has no room for a new file.
fn write_holder(file: &mut File, content: &str) -> std::io::Result<()> {
    file.rewind()?;
    file.write_all(content.as_bytes())?;
    file.set_len(content.len() as u64)
}
