//! Checkpoints of the write-ahead log, outside the write path.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rusqlite::{Connection, ErrorCode};
use sidecar::driver::DriverHealth;

use crate::connection;
use crate::error::{Error, describe};
use crate::files::OpenFiles;
use crate::options::OnFatal;
use crate::options::Options;
use crate::shared::Shared;

/// New pages in the log that trigger a checkpoint: 6 MiB.
const WORTH_PAGES: i32 = 1536;

/// Pages in the log at which new writers wait for a restart of the log: 64 MiB.
const RESTART_PAGES: i64 = 16_384;

/// How long a restart of the log may block writers.
const RESTART_WAIT: Duration = Duration::from_millis(50);

/// How long an import waits for a restart of the log, and the pause between attempts.
pub(crate) const IMPORT_WAIT: Duration = Duration::from_secs(5);
const RETRY_PAUSE: Duration = Duration::from_millis(2);

/// How long a writer waits for a checkpoint that shrinks the file; the next attempt is due soon.
pub(crate) const SHRINK_WAIT: Duration = Duration::from_millis(50);

/// How long a start waits until the log is empty.
const START_WAIT: Duration = Duration::from_secs(2);

/// How long a writer on a full disk waits for a restart of the log.
pub(crate) const FULL_WAIT: Duration = Duration::from_millis(500);

/// The checkpoint thread.
#[derive(Debug)]
pub(crate) struct Checkpointer {
    /// The thread and its wake-up channel. The thread must outlive the writer's connection: if both
    /// closed at once, neither would be the last, and SQLite would not checkpoint and delete the
    /// log.
    thread: Mutex<Option<(SyncSender<()>, JoinHandle<()>)>>,
}

impl Checkpointer {
    /// Starts the thread; [`Self::join`] ends it.
    pub(crate) fn start(
        writer: &mut Connection,
        options: &Options,
        shared: Arc<Shared>,
        files: Arc<OpenFiles>,
        on_fatal: OnFatal,
    ) -> Result<Self, Error> {
        let connection = connection::checkpointer(&options.path)?;
        // Capacity 1 coalesces wake-ups.
        let (wake, woken) = sync_channel(1);
        watch(writer, wake.clone())?;
        let thread = std::thread::Builder::new()
            .name("sqlite-checkpoint".to_owned())
            .spawn(move || run(&connection, &woken, &shared, &files, &on_fatal))
            .map_err(|error| connection::refuse(&options.path, error.to_string()))?;
        Ok(Self {
            thread: Mutex::new(Some((wake, thread))),
        })
    }

    /// Ends the thread. Call after the writer is closed: the thread's connection is then the last
    /// one, and its close checkpoints the whole log.
    pub(crate) fn join(&self) {
        let Some((wake, thread)) = self.thread.lock().take() else {
            return;
        };
        drop(wake);
        if thread.join().is_err() {
            tracing::error!("the checkpoint thread panicked");
        }
    }
}

/// Wakes the thread whenever the log has grown by [`WORTH_PAGES`].
fn watch(writer: &mut Connection, wake: SyncSender<()>) -> Result<(), Error> {
    let mut mark = 0;
    writer.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages: i32| {
        if pages < mark {
            mark = 0;
        }
        if pages - mark >= WORTH_PAGES {
            mark = pages;
            let _ = wake.try_send(());
        }
        Ok(())
    }))?;
    Ok(())
}

fn run(
    connection: &Connection,
    woken: &Receiver<()>,
    shared: &Shared,
    files: &OpenFiles,
    on_fatal: &OnFatal,
) {
    while woken.recv().is_ok() {
        if shared.check_files(files).is_err() {
            // Creating the emptied file again would hide its loss.
            continue;
        }
        let result = checkpoint(connection, "PASSIVE").and_then(|pages| {
            if pages < RESTART_PAGES {
                return Ok(pages);
            }
            connection.busy_timeout(RESTART_WAIT)?;
            checkpoint(connection, "RESTART")
        });
        match result {
            Ok(pages) => tracing::debug!(pages, "checkpoint"),
            Err(error) => match error.sqlite_error_code() {
                // Retried when the log has grown further.
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::DiskFull) => {
                    tracing::warn!(error = describe(&error), "checkpoint postponed");
                }
                _ => {
                    let sentence = format!("checkpoint failed: {}", describe(&error));
                    shared.set_health(DriverHealth::Dead(sentence.clone()));
                    on_fatal(&sentence);
                    return;
                }
            },
        }
    }
}

/// Checkpoints the whole log and restarts it, on the writer's connection, once no reader uses it.
/// Needed for a writer that never pauses, because the thread's checkpoints then never reach the end
/// of the log, and on a full disk, where the log has the only reusable space. If readers prevent
/// it, the log grows until the next attempt.
pub(crate) fn restart_log(connection: &Connection, wait: Duration) -> Result<Copied, Error> {
    copy_whole(connection, "RESTART", wait)
}

/// As [`restart_log`], and truncates the log file.
pub(crate) fn truncate_log(connection: &Connection) -> Result<Copied, Error> {
    copy_whole(connection, "TRUNCATE", FULL_WAIT)
}

/// Copies the whole log into the database and empties it; returns `false` if a reader or a full
/// disk prevents it.
pub(crate) fn into_database(connection: &Connection) -> Result<bool, Error> {
    Ok(copy_whole(connection, "TRUNCATE", START_WAIT)? == Copied::Whole)
}

/// Result of copying the log into the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Copied {
    Whole,
    /// A reader or another checkpoint prevents it.
    Busy,
    /// The database must grow, and the disk is full.
    Full,
}

fn copy_whole(connection: &Connection, mode: &str, wait: Duration) -> Result<Copied, Error> {
    let sql = format!("PRAGMA wal_checkpoint({mode})");
    let deadline = Instant::now() + wait;
    loop {
        let busy = connection
            .prepare_cached(&sql)
            .and_then(|mut checkpoint| checkpoint.query_row([], |row| row.get::<_, bool>(0)));
        let put_off = match busy {
            Ok(false) => return Ok(Copied::Whole),
            Ok(true) => "a reader uses the write-ahead log",
            Err(error) => match error.sqlite_error_code() {
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => "another checkpoint",
                Some(ErrorCode::DiskFull) => return Ok(Copied::Full),
                _ => return Err(Error::OutcomeUnknown(error)),
            },
        };
        if Instant::now() > deadline {
            tracing::warn!(put_off, "the write-ahead log cannot be restarted");
            return Ok(Copied::Busy);
        }
        // The thread is checkpointing: SQLite fails at once instead of waiting for it.
        std::thread::sleep(RETRY_PAUSE);
    }
}

/// Runs one checkpoint; returns the number of pages in the log.
fn checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<i64> {
    let sql = format!("PRAGMA wal_checkpoint({mode})");
    connection
        .prepare_cached(&sql)?
        .query_row([], |row| row.get(1))
}
