//! How a store is opened.

use std::path::PathBuf;
use std::time::SystemTime;

/// What a [`crate::SqliteDriver`] is opened with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The database file; the files `-wal`, `-shm`, `.lock` and `.ballast` live beside it.
    pub path: PathBuf,
    /// Threads that read.
    pub readers: usize,
    /// Page cache of the writer, KiB.
    pub writer_cache_kib: u32,
    /// Page cache of each reader, KiB.
    pub reader_cache_kib: u32,
    /// Space kept back so that deletes can still be stored on a full disk, bytes.
    pub ballast_bytes: u64,
    /// Free space below which the store refuses creates and updates, bytes.
    pub low_space_bytes: u64,
    /// Largest size of the database file in pages of 4 KiB, `ballast_bytes` of it kept back.
    pub max_pages: Option<u32>,
    /// The clock that epochs are numbered by.
    pub clock: fn() -> SystemTime,
}

impl Options {
    /// The defaults for a database at `path`.
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
        }
    }

    /// A file beside the database: its name with `suffix` appended.
    pub(crate) fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(suffix);
        name.into()
    }
}
