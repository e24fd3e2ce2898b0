//! Room on the disk.
//!
//! A ballast file is kept beside the database. When the disk is full it is removed, so that
//! deletes and compaction can still be stored, and creates and updates are refused until there is
//! room for it again. A page limit is treated the same way: a part of it is kept back.

use std::fs::{File, OpenOptions};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rustix::fs::FallocateFlags;

use crate::error::Error;
use crate::options::Options;

const PAGE_BYTES: u64 = 4096;

/// How often the file system is asked.
const PROBE_EVERY: Duration = Duration::from_millis(250);

/// Whether there is room, and what is kept back for the time when there is none.
#[derive(Debug)]
pub(crate) struct Space {
    folder: PathBuf,
    ballast: PathBuf,
    ballast_bytes: u64,
    low_bytes: u64,
    max_pages: Option<u32>,
    full: bool,
    probed: Option<Instant>,
}

impl Space {
    pub(crate) fn new(options: &Options) -> Self {
        let folder = match options.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
            _ => PathBuf::from("."),
        };
        Self {
            folder,
            ballast: options.beside(".ballast"),
            ballast_bytes: options.ballast_bytes,
            low_bytes: options.low_space_bytes,
            max_pages: options.max_pages,
            full: false,
            probed: None,
        }
    }

    /// Whether creates and updates are refused.
    pub(crate) fn is_full(&self) -> bool {
        self.full
    }

    /// One sentence for an operator.
    pub(crate) fn explain(&self) -> String {
        format!(
            "{} has too little free space: creates and updates are refused until there is more",
            self.folder.display()
        )
    }

    /// Looks, at most every [`PROBE_EVERY`]. `true` if fullness changed.
    pub(crate) fn probe(&mut self, connection: &Connection) -> Result<bool, Error> {
        if self.probed.is_some_and(|at| at.elapsed() < PROBE_EVERY) {
            return Ok(false);
        }
        self.probed = Some(Instant::now());
        let free = self.free(connection)?;
        if self.full {
            let wanted = self.ballast_bytes + 2 * self.low_bytes;
            if free >= wanted && self.keep_ballast(connection)? {
                self.full = false;
                return Ok(true);
            }
            return Ok(false);
        }
        if free < self.low_bytes {
            self.enter(connection)?;
            return Ok(true);
        }
        Ok(!self.keep_ballast(connection)? && self.full)
    }

    /// Notes that the disk is full and frees what was kept back.
    pub(crate) fn enter(&mut self, connection: &Connection) -> Result<(), Error> {
        self.full = true;
        self.probed = Some(Instant::now());
        match std::fs::remove_file(&self.ballast) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(%error, "cannot remove the ballast file");
            }
            _ => {}
        }
        if let Some(pages) = self.max_pages {
            limit_pages(connection, pages)?;
        }
        Ok(())
    }

    /// Bytes that the database may still grow by.
    fn free(&self, connection: &Connection) -> Result<u64, Error> {
        // A file system that does not tell is taken to have room; a full one shows on write.
        let disk = rustix::fs::statvfs(&self.folder)
            .map_or(u64::MAX, |stat| stat.f_bavail.saturating_mul(stat.f_frsize));
        let Some(limit) = self.max_pages else {
            return Ok(disk);
        };
        let used: u32 = connection.pragma_query_value(None, "page_count", |row| row.get(0))?;
        let unused: u32 =
            connection.pragma_query_value(None, "freelist_count", |row| row.get(0))?;
        let kept = if self.full { 0 } else { self.ballast_pages() };
        let free = (u64::from(limit) + u64::from(unused)).saturating_sub(u64::from(used) + kept);
        Ok(disk.min(free * PAGE_BYTES))
    }

    fn ballast_pages(&self) -> u64 {
        self.ballast_bytes / PAGE_BYTES
    }

    /// Makes the ballast if it is absent; `false` if there is no room for it.
    fn keep_ballast(&self, connection: &Connection) -> Result<bool, Error> {
        if let Some(pages) = self.max_pages {
            let kept = u32::try_from(self.ballast_pages()).unwrap_or(u32::MAX);
            limit_pages(connection, pages.saturating_sub(kept))?;
        }
        if self.ballast_bytes == 0 || self.ballast.exists() {
            return Ok(true);
        }
        match self.allocate() {
            Ok(()) => Ok(true),
            Err(error) => {
                tracing::debug!(%error, "no room for the ballast file");
                let _ = std::fs::remove_file(&self.ballast);
                Ok(false)
            }
        }
    }

    fn allocate(&self) -> std::io::Result<()> {
        let file: File = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&self.ballast)?;
        rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, self.ballast_bytes)?;
        Ok(())
    }
}

fn limit_pages(connection: &Connection, pages: u32) -> Result<(), Error> {
    connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
    Ok(())
}
