//! Options of opening a store.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Called with one line when the process must exit because the state on disk is unknown.
pub type OnFatal = Arc<dyn Fn(&str) + Send + Sync>;

/// Options of [`crate::SqliteDriver::open`].
#[derive(Clone, Debug)]
pub struct Options {
    /// Path of the database file; the files `-wal`, `-shm`, `.lock`, `.position` and
    /// `.ballast` are beside it.
    pub path: PathBuf,
    /// Number of reader threads.
    pub readers: usize,
    /// Page cache of the writer in KiB.
    pub writer_cache_kib: u32,
    /// Page cache of each reader in KiB.
    pub reader_cache_kib: u32,
    /// Bytes of disk reserved for deletes on a full disk.
    pub ballast_bytes: u64,
    /// Free bytes below which the store rejects creates and updates.
    pub low_space_bytes: u64,
    /// Maximum size of the database file in pages of 4 KiB, of which `ballast_bytes` are reserved.
    pub max_pages: Option<u32>,
    /// Clock for the numbers of epochs.
    pub clock: fn() -> SystemTime,
    /// Time before a verification after an unclean stop, so that it does not compete with
    /// reconnecting clients.
    pub verify_delay: Duration,
}

impl Options {
    /// Default options for a database at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            readers: 2,
            writer_cache_kib: 4096,
            reader_cache_kib: 1024,
            ballast_bytes: 16 << 20,
            low_space_bytes: 8 << 20,
            max_pages: None,
            clock: SystemTime::now,
            verify_delay: Duration::from_secs(5),
        }
    }

    /// Path of a file beside the database: its name with `suffix` appended.
    pub(crate) fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(suffix);
        name.into()
    }
}
