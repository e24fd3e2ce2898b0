//! The files of a store as they are on disk: what a crash leaves, and what people do to them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use backend_sqlite::{Error, Options, SqliteDriver};
use tempfile::TempDir;

use crate::driver::store::{Store, open};

/// A directory with the files of a store that no process uses.
pub(crate) struct Image(TempDir);

impl Image {
    /// Copies the files of a store in use, as `kill -9` would leave them. The index of the log is
    /// missing, as after a restart of the machine.
    pub(crate) fn of(store: &Store) -> Self {
        let image = Self(tempfile::tempdir().expect("temporary directory"));
        for suffix in ["", "-wal", ".lock", ".position"] {
            let from = store.folder.path().join(format!("ark.db{suffix}"));
            if from.exists() {
                copy(&from, &image.file(suffix));
            }
        }
        image
    }

    pub(crate) fn file(&self, suffix: &str) -> PathBuf {
        self.0.path().join(format!("ark.db{suffix}"))
    }

    pub(crate) fn remove(&self, suffix: &str) {
        std::fs::remove_file(self.file(suffix)).expect("removed");
    }

    /// Replaces the content of a file, as `cp` does.
    pub(crate) fn replace(&self, suffix: &str, from: &Path) {
        copy(from, &self.file(suffix));
    }

    pub(crate) fn truncate(&self, suffix: &str, length: u64) {
        let file = std::fs::OpenOptions::new()
            .write(true)
            .open(self.file(suffix));
        file.expect("a file").set_len(length).expect("cut");
    }

    /// Inverts the bits of `mask` in one byte.
    pub(crate) fn flip(&self, suffix: &str, at: usize, mask: u8) {
        let mut bytes = std::fs::read(self.file(suffix)).expect("read");
        bytes[at] ^= mask;
        std::fs::write(self.file(suffix), bytes).expect("written");
    }

    pub(crate) fn open(&self) -> Result<Arc<SqliteDriver>, Error> {
        let mut options = Options::new(self.file(""));
        options.ballast_bytes = 0;
        options.low_space_bytes = 0;
        options.verify_delay = Duration::ZERO;
        open(&options)
    }

    /// Opens the store, which must be refused; returns the message.
    pub(crate) fn refused(&self) -> String {
        self.open().expect_err("refused").to_string()
    }
}

/// Copies a file. Closing it releases the locks of this process on it, which no other process
/// tests.
fn copy(from: &Path, to: &Path) {
    let copied = std::fs::read(from).and_then(|bytes| std::fs::write(to, bytes));
    copied.unwrap_or_else(|error| panic!("{}: {error}", from.display()));
}
