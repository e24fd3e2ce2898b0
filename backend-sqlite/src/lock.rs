//! One process per database.
//!
//! SQLite itself lets several processes write; two drivers that each number revisions must not.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use crate::error::Error;

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
            OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)
        };
        let mut file = open(path).map_err(|error| refuse(path, format!("cannot open: {error}")))?;
        let locked = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive);
        let mut holder = String::new();
        // The content is for people; a lock without it is still a lock.
        let _ = file.read_to_string(&mut holder);
        if locked.is_err() {
            let problem = format!(
                "the database is in use by process {}: stop that process first",
                holder.trim()
            );
            return Err(refuse(path, problem));
        }
        write_holder(&mut file, &format!("{}\n", std::process::id()))
            .map_err(|error| refuse(path, format!("cannot write: {error}")))?;
        let unclean = !holder.trim().is_empty();
        Ok(Self { file, unclean })
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

fn write_holder(file: &mut File, content: &str) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(content.as_bytes())
}

fn refuse(path: &Path, problem: String) -> Error {
    let path = PathBuf::from(path);
    Error::Open { path, problem }
}
