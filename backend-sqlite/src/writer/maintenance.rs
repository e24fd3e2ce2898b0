//! Maintenance of the writer thread: old rows, unused pages, and whether there is space.

use std::time::{Duration, Instant};

use sidecar::driver::DriverHealth;

use super::Worker;
use crate::checkpoint;
use crate::error::Error;
use crate::transaction::Stamping;

/// Maximum of unused pages kept in the file for reuse.
const SPARE_PAGES: u32 = 2048;

/// Pages returned to the disk per second: a part of the unused ones within these limits. The upper
/// one, 8 MiB, keeps the transaction short.
const VACUUM_PART: u32 = 64;
const VACUUM_PAGES: u32 = 512;
const MAX_VACUUM_PAGES: u32 = 2048;

/// Pages returned at once when the disk is full. Each is copied first, which takes space in the
/// log.
const RECLAIM_PAGES: u32 = 256;

/// Interval of checkpoints that shrink the file while pages are returned.
const SHRINK_INTERVAL: Duration = Duration::from_secs(5);

/// Size above which the log is emptied while idle.
const IDLE_LOG_BYTES: u64 = 4 << 20;

impl Worker {
    /// Drops compacted rows and gives back space. Runs once a second, also under load; `idle` if
    /// there was no command in the meantime.
    pub(super) fn run_maintenance(&mut self, idle: bool) -> Result<(), Error> {
        self.shared.check_files(&self.files)?;
        self.probe();
        while self.sweep()? {}
        let pages = |name| -> rusqlite::Result<u32> {
            self.connection
                .pragma_query_value(None, name, |row| row.get(0))
        };
        let (all, unused) = (pages("page_count")?, pages("freelist_count")?);
        if self.space.is_full() {
            // The log itself holds space that the reserve needs.
            self.copy_log(checkpoint::truncate_log)?;
            if unused > 0 && self.space.wants_pages() {
                self.with_room(|worker| worker.vacuum(RECLAIM_PAGES))?;
                // The file shrinks when the log is copied into it.
                self.copy_log(checkpoint::truncate_log)?;
            }
            return Ok(());
        }
        let surplus = unused.saturating_sub(spare_pages(all - unused));
        if surplus > 0 {
            let step = surplus.min((unused / VACUUM_PART).clamp(VACUUM_PAGES, MAX_VACUUM_PAGES));
            self.vacuum(step)?;
            self.vacuumed = true;
        }
        if self.vacuumed && (surplus == 0 || self.shrunk_at.elapsed() >= SHRINK_INTERVAL) {
            // The file shrinks when a checkpoint reaches the end of the log, which those beside a
            // busy writer do not.
            checkpoint::restart_log(&self.connection, checkpoint::SHRINK_WAIT)?;
            (self.shrunk_at, self.vacuumed) = (Instant::now(), false);
        }
        if idle && self.space.log_bytes() > IDLE_LOG_BYTES {
            checkpoint::truncate_log(&self.connection)?;
        }
        Ok(())
    }

    /// Returns unused pages to the disk.
    fn vacuum(&mut self, pages: u32) -> Result<(), Error> {
        self.stamped(Stamping::Always, |connection| {
            let sql = format!("PRAGMA incremental_vacuum({pages})");
            let mut statement = connection.prepare(&sql)?;
            let mut rows = statement.query([])?;
            while rows.next()?.is_some() {}
            Ok(())
        })?;
        self.record();
        Ok(())
    }

    pub(super) fn probe(&mut self) {
        match self.space.probe(&self.connection) {
            Ok(true) => self.report_space(),
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "cannot determine the free space"),
        }
    }

    pub(super) fn report_space(&self) {
        if self.space.is_full() {
            let message = self.space.explain();
            tracing::error!("{message}");
            self.shared.set_health(DriverHealth::NoSpace(message));
        } else {
            tracing::info!("space is available again: accepting creates and updates");
            self.shared.set_health(DriverHealth::Ready);
        }
    }
}

/// Returns how many unused pages to keep for `used` pages, so that the file stays below twice its
/// content.
const fn spare_pages(used: u32) -> u32 {
    let part = used / 2;
    if part < SPARE_PAGES {
        part
    } else {
        SPARE_PAGES
    }
}
