//! Disk space.
//!
//! Creates and updates are rejected when little space is left. Deletes and compaction continue, if
//! necessary with the space that the [`Ballast`] reserves. Available space is what the disk has
//! free plus what the database files can reuse: unused pages, and the write-ahead log once it is
//! checkpointed. A page limit is treated like a disk: a part of it is reserved.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rustix::process::{Resource, getrlimit};

use crate::ballast::Ballast;
use crate::error::Error;
use crate::location;
use crate::options::Options;

const PAGE_BYTES: u64 = 4096;

/// Interval between checks of the file system.
const PROBE_EVERY: Duration = Duration::from_millis(250);

/// Part of the threshold of low space after whose bytes the next check is due. The log grows by
/// more than the bytes of the values.
const UNCHECKED_PART: u64 = 4;

/// Minimum time to reject creates and updates after one found no space. Needed for quotas that the
/// file system does not report, which every write would otherwise run into again.
const REFUSE_FOR: Duration = Duration::from_secs(1);

/// Divisors of the size of a small file system: largest ballast, and largest threshold of low
/// space.
const BALLAST_PART: u64 = 8;
const LOW_PART: u64 = 16;

/// Bytes needed to open a database and to store a first delete.
const START_BYTES: u64 = 1 << 20;

/// Whether space is available, and the reserve for a full disk.
#[derive(Debug)]
pub(crate) struct Space {
    folder: PathBuf,
    database: PathBuf,
    log: PathBuf,
    ballast: Ballast,
    ballast_bytes: u64,
    low_bytes: u64,
    max_pages: Option<u32>,
    /// File size limit of the process (`RLIMIT_FSIZE`), if set.
    file_bytes: Option<u64>,
    /// Whether deletes may use all pages of the limit.
    lifted: bool,
    full: bool,
    /// Time of the last failure for lack of space.
    last_failure: Option<Instant>,
    probed: Option<Instant>,
    /// Bytes of values written since then.
    unchecked: u64,
}

/// Sizes of the file system.
#[derive(Clone, Copy, Debug)]
struct Disk {
    available: u64,
    ballast: u64,
    low: u64,
}

impl Space {
    /// Counts as full until [`Space::begin`].
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            folder: location::folder(&options.path).to_owned(),
            database: options.path.clone(),
            log: options.beside("-wal"),
            ballast: Ballast::new(options.beside(".ballast")),
            ballast_bytes: options.ballast_bytes,
            low_bytes: options.low_space_bytes,
            max_pages: options.max_pages,
            file_bytes: getrlimit(Resource::Fsize).current,
            lifted: true,
            full: true,
            last_failure: None,
            probed: None,
            unchecked: 0,
        }
    }

    /// Releases ballast on a full disk until the database can be opened.
    pub(crate) fn make_room(&self) {
        loop {
            let disk = self.disk();
            if disk.available >= START_BYTES || !self.ballast.release(disk.ballast, true) {
                return;
            }
            tracing::warn!("disk is full: using reserved space for the start");
        }
    }

    /// Makes the first check; returns whether creates and updates are rejected.
    pub(crate) fn begin(&mut self, connection: &Connection) -> Result<bool, Error> {
        self.probe(connection)?;
        Ok(self.full)
    }

    /// Whether creates and updates are rejected.
    pub(crate) fn is_full(&self) -> bool {
        self.full
    }

    /// Returns a message for operators.
    pub(crate) fn explain(&self) -> String {
        format!(
            "{} has too little free space: creates and updates are refused until there is more",
            self.folder.display()
        )
    }

    /// Checks the space, every [`PROBE_EVERY`] or when much is written. Returns `true` if fullness changed.
    pub(crate) fn probe(&mut self, connection: &Connection) -> Result<bool, Error> {
        let disk = self.disk();
        let recent = self.probed.is_some_and(|at| at.elapsed() < PROBE_EVERY);
        // A fast disk fills within the interval, and a full log cannot be copied anymore.
        let due = (disk.low / UNCHECKED_PART).max(64 * PAGE_BYTES);
        if recent && self.unchecked < due {
            return Ok(false);
        }
        self.probed = Some(Instant::now());
        self.unchecked = 0;
        let whole = self.keep_ballast();
        let disk = self.disk();
        let room = self.room(connection, disk.available)?;
        let before = self.full;
        self.full = if before {
            // The same condition at the start and for leaving the full state; the factor 2 is the
            // hysteresis.
            let refusing = self
                .last_failure
                .is_some_and(|at| at.elapsed() < REFUSE_FOR);
            refusing || !whole || room < 2 * disk.low
        } else {
            room < disk.low
        };
        if !self.full {
            self.keep_pages(connection)?;
        }
        Ok(self.full != before)
    }

    /// Records a failure for lack of space.
    pub(crate) fn enter(&mut self) {
        self.full = true;
        self.last_failure = Some(Instant::now());
    }

    /// Releases a part of the reserve for an operation that must succeed; returns `false` if
    /// nothing is left.
    pub(crate) fn release(&mut self, connection: &Connection) -> Result<bool, Error> {
        if let (Some(pages), false) = (self.max_pages, self.lifted) {
            limit_pages(connection, pages)?;
            self.lifted = true;
            return Ok(true);
        }
        let disk = self.disk();
        Ok(self.ballast.release(disk.ballast, false))
    }

    /// Whether the log approaches the file size limit. SQLite reports a write beyond that limit as
    /// a failed write with an unknown outcome, not as a full disk.
    pub(crate) fn log_is_long(&self) -> bool {
        self.file_bytes
            .is_some_and(|limit| self.log_bytes() > limit / 2)
    }

    /// Whether unused pages should be returned to the disk because the ballast or the log needs
    /// them.
    pub(crate) fn wants_pages(&self) -> bool {
        let disk = self.disk();
        let missing = disk.ballast.saturating_sub(self.ballast.size());
        // More than what ends the full state needs: the ballast and two times the threshold.
        self.full && disk.available < missing + 3 * disk.low
    }

    /// Size of the write-ahead log.
    pub(crate) fn log_bytes(&self) -> u64 {
        std::fs::metadata(&self.log).map_or(0, |log| log.len())
    }

    /// Reserves space for the next start, after the database is closed.
    pub(crate) fn reserve_for_start(options: &Options) {
        let space = Self::new(options);
        let bytes = space.disk().ballast;
        if bytes > 0 {
            // Without it the next start may need an operator to free space first.
            let _ = space.ballast.keep(Ballast::step(bytes));
        }
    }

    /// Bytes of the database with its write-ahead log, and free bytes of the file system.
    pub(crate) fn measure(options: &Options) -> sidecar::driver::Space {
        let bytes = |file: &Path| std::fs::metadata(file).map(|file| file.len()).ok();
        let log = bytes(&options.beside("-wal")).unwrap_or_default();
        let (free, _) = disk(location::folder(&options.path));
        sidecar::driver::Space {
            used: bytes(&options.path).map(|database| database + log),
            free: Some(free).filter(|free| *free < u64::MAX),
        }
    }

    fn disk(&self) -> Disk {
        let (available, total) = disk(&self.folder);
        Disk {
            available,
            ballast: self.ballast_bytes.min(total / BALLAST_PART),
            low: self.low_bytes.min(total / LOW_PART),
        }
    }

    /// Returns the number of bytes that can be written.
    fn room(&self, connection: &Connection, available: u64) -> Result<u64, Error> {
        let pages = |name: &str| -> Result<u64, Error> {
            let pages: u32 = connection.pragma_query_value(None, name, |row| row.get(0))?;
            Ok(u64::from(pages))
        };
        let (used, unused) = (pages("page_count")?, pages("freelist_count")?);
        let log = self.log_bytes();
        let available = available.saturating_sub(self.owed(used * PAGE_BYTES));
        let mut database = available.saturating_add(unused * PAGE_BYTES);
        let mut journal = available.saturating_add(log);
        if let Some(limit) = self.max_pages {
            let limit = u64::from(limit).saturating_sub(self.ballast_pages());
            let free = (limit + unused).saturating_sub(used);
            database = database.min(free * PAGE_BYTES);
        }
        if let Some(limit) = self.file_bytes {
            let free = (limit + unused * PAGE_BYTES).saturating_sub(used * PAGE_BYTES);
            database = database.min(free);
            journal = journal.min(limit);
        }
        Ok(database.min(journal))
    }

    /// Bytes by which the next checkpoint extends the database, for pages that are in the log only.
    fn owed(&self, used_bytes: u64) -> u64 {
        let file = std::fs::metadata(&self.database).map_or(0, |file| file.len());
        used_bytes.saturating_sub(file)
    }

    /// Whether the disk, together with the reserve, has room for a checkpoint of the whole log.
    pub(crate) fn covers_log(&self, connection: &Connection) -> Result<bool, Error> {
        let used: u32 = connection.pragma_query_value(None, "page_count", |row| row.get(0))?;
        let disk = self.disk();
        let reserve = self
            .ballast
            .size()
            .saturating_sub(Ballast::step(disk.ballast));
        Ok(self.owed(u64::from(used) * PAGE_BYTES) <= disk.available.saturating_add(reserve))
    }

    /// Counts bytes that are about to be written: they make the next check due.
    pub(crate) fn expect_bytes(&mut self, bytes: u64) {
        self.unchecked = self.unchecked.saturating_add(bytes);
    }

    fn ballast_pages(&self) -> u64 {
        self.ballast_bytes / PAGE_BYTES
    }

    /// Reserves the pages of the limit again.
    fn keep_pages(&mut self, connection: &Connection) -> Result<(), Error> {
        if let (Some(pages), true) = (self.max_pages, self.lifted) {
            let reserved = u32::try_from(self.ballast_pages()).unwrap_or(u32::MAX);
            limit_pages(connection, pages.saturating_sub(reserved))?;
            self.lifted = false;
        }
        Ok(())
    }

    /// Restores the ballast if there is room; returns whether it is complete.
    fn keep_ballast(&self) -> bool {
        let disk = self.disk();
        let missing = disk.ballast.saturating_sub(self.ballast.size());
        if missing == 0 {
            return true;
        }
        // Leave the space that the log needs.
        disk.available >= missing.saturating_add(disk.low) && self.ballast.keep(disk.ballast)
    }
}

/// Returns free and total bytes of a file system. If it does not report them, space counts as
/// unlimited; a full disk then shows at the first failed write.
fn disk(folder: &Path) -> (u64, u64) {
    rustix::fs::statvfs(folder).map_or((u64::MAX, u64::MAX), |stat| {
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        (bytes(stat.f_bavail), bytes(stat.f_blocks))
    })
}

fn limit_pages(connection: &Connection, pages: u32) -> Result<(), Error> {
    connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
    Ok(())
}
