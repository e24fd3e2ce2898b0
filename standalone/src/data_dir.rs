//! The data directory of a standalone server.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use pki::private_file;

use crate::Error;

/// A data directory that only this process uses, for the lifetime of the value.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// An advisory lock, which the kernel releases however the process ends.
    _lock: File,
}

impl DataDir {
    /// Creates the directory if absent, readable by its owner only, and locks it.
    ///
    /// # Errors
    /// If it cannot be created or another process uses it.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let rejection = |problem: String| Error::DataDir {
            path: path.to_owned(),
            problem,
        };
        let unusable = |error: std::io::Error| {
            rejection(format!("{error}: give a directory that can be written"))
        };
        private_file::create_directory(path).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists | ErrorKind::NotADirectory => rejection(
                "it, or a part of the path, is a file or a dangling link: give a directory"
                    .to_owned(),
            ),
            _ => unusable(error),
        })?;
        let absolute = path.canonicalize().map_err(unusable)?;
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(absolute.join("lock"))
            .map_err(unusable)?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut holder = String::new();
            // The holder is for the message only.
            let _ = lock.read_to_string(&mut holder);
            let holder = holder.trim();
            return Err(rejection(format!(
                "in use by process {holder}: stop it first or give another directory"
            )));
        }
        let pid = format!("{}\n", std::process::id());
        // Written in place, because a full disk has no room for a new file.
        let written = lock
            .rewind()
            .and_then(|()| lock.write_all(pid.as_bytes()))
            .and_then(|()| lock.set_len(pid.len() as u64));
        match written {
            // The PID is for messages only. The server must start on a full disk, so that objects
            // can be deleted.
            Err(error) if error.kind() == ErrorKind::StorageFull => {
                tracing::warn!(%error, "cannot write the process ID to the lock file");
            }
            written => written.map_err(unusable)?,
        }
        Ok(Self {
            path: absolute,
            _lock: lock,
        })
    }

    /// The directory, as an absolute path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The database of the SQLite driver.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.path.join("ark.db")
    }

    /// Directory of keys and certificates.
    #[must_use]
    pub fn pki(&self) -> PathBuf {
        self.path.join("pki")
    }

    /// Default path of the kubeconfig.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.path.join("kubeconfig")
    }

    /// Directory of sockets.
    pub(super) fn run(&self) -> PathBuf {
        self.path.join("run")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn second_process_is_rejected() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("new/data");
        let held = DataDir::open(&path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let error = DataDir::open(&path).unwrap_err().to_string();
        let us = format!("in use by process {}: stop it first", std::process::id());
        assert!(error.contains(&us), "{error}");
        drop(held);
        DataDir::open(&path).unwrap();
    }

    #[test]
    fn file_as_data_directory_is_rejected() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = DataDir::open(file.path()).unwrap_err().to_string();
        assert!(error.starts_with("--data-dir /"), "{error}");
        assert!(error.ends_with("give a directory"), "{error}");
    }
}
