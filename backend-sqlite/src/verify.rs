//! Verification of the database after an unclean stop: in the background and in slices, so that it
//! delays neither the start nor writers.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::Connection;
use sidecar::driver::DriverHealth;

use crate::connection;
use crate::error::Error;
use crate::options::Options;
use crate::read;
use crate::record::checksum;
use crate::shared::Shared;

/// Delay after the start, so that reconnecting clients do not compete with the verification.
const DELAY: Duration = Duration::from_secs(5);

/// Rows per slice, and the pause after each.
const SLICE: i64 = 256;
const PAUSE: Duration = Duration::from_millis(10);

/// The verification thread, if one is needed.
#[derive(Debug, Default)]
pub(crate) struct Verifier {
    running: Mutex<Option<(SyncSender<()>, JoinHandle<()>)>>,
}

impl Verifier {
    /// Starts the thread.
    pub(crate) fn start(options: &Options, shared: Arc<Shared>) -> Result<Self, Error> {
        let connection = connection::reader(&options.path, 64)?;
        let (stop, stopped) = sync_channel(0);
        let thread = std::thread::Builder::new()
            .name("sqlite-verify".to_owned())
            .spawn(move || run(&connection, &stopped, &shared))
            .map_err(|error| connection::refuse(&options.path, error.to_string()))?;
        Ok(Self {
            running: Mutex::new(Some((stop, thread))),
        })
    }

    /// Stops the verification.
    pub(crate) fn close(&self) {
        let Some((stop, thread)) = self.running.lock().take() else {
            return;
        };
        drop(stop);
        if thread.join().is_err() {
            tracing::error!("the verifying thread panicked");
        }
    }
}

fn run(connection: &Connection, stopped: &Receiver<()>, shared: &Shared) {
    match verify(connection, stopped) {
        Ok(Some(damaged)) if damaged.is_empty() => {
            tracing::info!("verified the database after the unclean stop: no damage found");
        }
        Ok(Some(damaged)) => {
            tracing::error!(?damaged, "stored values fail their checksum");
        }
        Ok(None) => {}
        Err(error) => {
            tracing::error!(%error, "the database is damaged: restore a backup");
            let sentence = format!("the database is damaged: {error}");
            shared.set_health(DriverHealth::Dead(sentence));
        }
    }
}

/// Returns the keys of damaged values; `None` if stopped early.
pub(crate) fn verify(
    connection: &Connection,
    stopped: &Receiver<()>,
) -> Result<Option<Vec<String>>, Error> {
    let mut wait = DELAY;
    let mut damaged = Vec::new();
    let mut after = 0;
    let mut structure = false;
    loop {
        match stopped.recv_timeout(wait) {
            Err(RecvTimeoutError::Timeout) => wait = PAUSE,
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return Ok(None),
        }
        if !structure {
            check_structure(connection)?;
            structure = true;
        }
        match read::transaction(connection, |connection| {
            slice(connection, after, &mut damaged)
        })? {
            Some(last) => after = last,
            None => return Ok(Some(damaged)),
        }
    }
}

/// Checks the small tables with SQLite's integrity check.
fn check_structure(connection: &Connection) -> Result<(), Error> {
    for table in ["store", "resource", "current"] {
        let verdict: String =
            connection.query_row(&format!("PRAGMA quick_check({table})"), [], |row| {
                row.get(0)
            })?;
        if verdict != "ok" {
            return Err(Error::Invalid(format!("table {table}: {verdict}")));
        }
    }
    Ok(())
}

/// Verifies the values of one slice of the log; returns the last revision checked.
fn slice(
    connection: &Connection,
    after: i64,
    damaged: &mut Vec<String>,
) -> Result<Option<i64>, Error> {
    let sql = "SELECT revision, path, crc, value FROM log WHERE revision > ?1 \
               ORDER BY revision LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query((after, SLICE))?;
    let mut last = None;
    while let Some(row) = rows.next()? {
        last = Some(row.get(0)?);
        let value = row.get_ref(3)?.as_blob_or_null();
        if let Some(value) = value.map_err(rusqlite::Error::from)?
            && row.get::<_, Option<u32>>(2)? != Some(checksum(value))
        {
            damaged.push(row.get(1)?);
        }
    }
    Ok(last)
}
