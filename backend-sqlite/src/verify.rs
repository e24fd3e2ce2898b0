//! Verification of a database that was not closed, or has changed since: in the background and in
//! slices, so that it delays neither the start nor writers.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::Connection;
use sidecar::driver::DriverHealth;
use sidecar::key::{display, key_of};

use crate::connection;
use crate::error::Error;
use crate::options::Options;
use crate::read::{self, Names};
use crate::record::{Entry, columns};
use crate::schema::read_head;
use crate::shared::Shared;

/// Rows per slice, and the pause after each.
const SLICE: i64 = 256;
const PAUSE: Duration = Duration::from_millis(10);

/// Maximum number of damaged values that are named.
const NAMED: usize = 100;

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
        let delay = options.verify_delay;
        let thread = std::thread::Builder::new()
            .name("sqlite-verify".to_owned())
            .spawn(move || run(&connection, delay, &stopped, &shared))
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

fn run(connection: &Connection, delay: Duration, stopped: &Receiver<()>, shared: &Shared) {
    match verify(connection, delay, stopped) {
        Ok(Some(damaged)) if damaged.is_empty() => {
            tracing::info!("verified the database: no damage found");
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
    shared.set_verified();
}

/// Returns the names of damaged values; `None` if stopped early. `delay` is the time before the
/// first slice.
fn verify(
    connection: &Connection,
    delay: Duration,
    stopped: &Receiver<()>,
) -> Result<Option<Vec<String>>, Error> {
    let mut damaged = Vec::new();
    let mut slices = Slices::default();
    let mut wait = delay;
    loop {
        match stopped.recv_timeout(wait) {
            Err(RecvTimeoutError::Timeout) => wait = PAUSE,
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return Ok(None),
        }
        let read = read::transaction(connection, |connection| {
            slices.next(connection, &mut damaged)
        });
        match read {
            Ok(true) => {}
            Ok(false) => return Ok(Some(damaged)),
            // An import reports its own errors.
            Err(Error::Importing) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
}

/// Progress of a verification.
#[derive(Debug, Default)]
enum Slices {
    /// The small tables with SQLite's integrity check.
    #[default]
    Structure,
    /// Changes after a revision.
    Log(i64),
    /// Objects after a key.
    Current(i64, String),
}

impl Slices {
    /// Verifies the next slice; returns `false` after the last one.
    fn next(&mut self, connection: &Connection, damaged: &mut Vec<String>) -> Result<bool, Error> {
        match self {
            Self::Structure => {
                check_structure(connection)?;
                *self = Self::Log(0);
            }
            Self::Log(after) => match slice(connection, *after, damaged)? {
                Some(last) => *after = last,
                None => *self = Self::Current(i64::MIN, String::new()),
            },
            Self::Current(resource, path) => {
                read_head(connection)?;
                match objects(connection, *resource, path)? {
                    Some(last) => (*resource, *path) = last,
                    None => return Ok(false),
                }
            }
        }
        Ok(true)
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

/// Verifies one slice of the log; returns the last revision checked.
pub(crate) fn slice(
    connection: &Connection,
    after: i64,
    damaged: &mut Vec<String>,
) -> Result<Option<i64>, Error> {
    let sql = concat!(
        "SELECT ",
        columns!(),
        ", l.resource, l.path FROM log l WHERE l.revision > ?1 ORDER BY l.revision LIMIT ?2"
    );
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query((after, SLICE))?;
    let mut names = Names::default();
    let mut last = None;
    while let Some(row) = rows.next()? {
        last = Some(row.get(0)?);
        let (group, resource) = names.get(connection, row.get(10)?)?;
        let path = row.get_ref(11)?.as_str().map_err(rusqlite::Error::from)?;
        let key = key_of(group, resource, path);
        let name = display(&key);
        let entry = Entry::read(row, key)?;
        if !entry.record.unreadable.is_empty() && damaged.len() < NAMED {
            damaged.push(name);
        }
    }
    Ok(last)
}

/// Verifies that the changes of one slice of objects exist; returns the last key checked.
fn objects(
    connection: &Connection,
    resource: i64,
    path: &str,
) -> Result<Option<(i64, String)>, Error> {
    let sql = "SELECT c.resource, c.path, c.revision, \
               l.resource = c.resource AND l.path = c.path AND l.change != 3 \
               FROM current c LEFT JOIN log l ON l.revision = c.revision \
               WHERE (c.resource, c.path) > (?1, ?2) ORDER BY c.resource, c.path LIMIT ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query((resource, path, SLICE))?;
    let mut last = None;
    while let Some(row) = rows.next()? {
        let path: String = row.get(1)?;
        if row.get::<_, Option<bool>>(3)? != Some(true) {
            return Err(Error::Dangling {
                key: path,
                revision: row.get(2)?,
            });
        }
        last = Some((row.get(0)?, path));
    }
    Ok(last)
}
