//! Opening of a store: checks of its files, then the first commit of this run.

use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::Connection;

use crate::checkpoint;
use crate::connection::{self, refuse};
use crate::continuity::{self, Examined};
use crate::error::Error;
use crate::files::{self, OpenFiles, POSITION};
use crate::integrity;
use crate::location;
use crate::lock::Lock;
use crate::options::Options;
use crate::position::{Position, PositionFile, State};
use crate::schema::{self, Begin, Identity};
use crate::shared::Shared;
use crate::space::Space;
use crate::staged;
use crate::stamp::{Generation, Stamp};

/// A store that this process may write.
pub(crate) struct Opened {
    /// With the real path.
    pub(crate) options: Options,
    pub(crate) lock: Lock,
    pub(crate) connection: Connection,
    pub(crate) shared: Arc<Shared>,
    pub(crate) files: Arc<OpenFiles>,
    pub(crate) space: Space,
    pub(crate) commits: Commits,
    /// Whether the content needs verification in the background.
    pub(crate) unverified: bool,
}

/// Stamp of the newest commit, and the file that records it.
#[derive(Clone, Debug)]
pub(crate) struct Commits {
    pub(crate) stamp: Stamp,
    /// `None` if the disk has no room for the file: the next start begins a new epoch.
    pub(crate) position: Option<Arc<Mutex<PositionFile>>>,
}

/// Opens the database, or creates it if there is no file.
pub(crate) fn open(options: &Options) -> Result<Opened, Error> {
    connection::check_version(&options.path)?;
    let options = location::resolve(options)?;
    let path = &options.path;
    schema::check_file(path)?;
    let mut lock = Lock::take(&options)?;
    location::check_device(path, lock.path())?;
    let new = files::check_new(&options)?;
    files::tighten(&options);
    let space = Space::new(&options);
    space.make_room();
    if new {
        schema::create(&options)?;
    }
    let examined = continuity::examine(&options)?;
    let connection = connection::writer(&options)?;
    schema::check_owner(&connection, path)?;
    lock.write_pid()?;
    if examined.suspicion.is_some() {
        note_suspicion(&options, &examined)?;
    }
    connection::configure_writer(&connection, &options)?;
    // The database alone has the newest stamp before another generation is announced.
    let recovered = checkpoint::into_database(&connection)?;
    check_recovered(recovered, &examined, path)?;
    check_content(&connection, &options, &examined)?;
    let generation = Generation::random();
    let newest = schema::stamp(&connection).map_err(|error| refuse(path, error.to_string()))?;
    let position = begin_position(&options, &examined, newest, generation)?;
    let begin = Begin {
        now: (options.clock)(),
        generation,
        suspect: examined.suspicion.is_some(),
        issued: examined.position.map_or(0, |position| position.revision),
    };
    let (identity, stamp) = schema::prepare(&connection, path, begin)?;
    if let Some(reason) = &examined.suspicion {
        tracing::warn!(
            reason,
            epoch = identity.head.epoch,
            "{} may lack acknowledged writes, so a new epoch begins and clients list again; \
             restore a backup if objects are missing",
            path.display()
        );
    }
    let revision = identity.head.revision;
    let shared = Arc::new(share(&connection, &options, identity)?);
    let files = Arc::new(OpenFiles::of(&options)?);
    let stamped = checkpoint::into_database(&connection)?;
    check_recovered(stamped, &examined, path)?;
    let position = position.map(|mut position| {
        let set = position.set(|position| {
            position.state = State::Open;
            position.stamp = stamp;
            position.revision = revision;
            if stamped {
                position.previous = stamp.generation;
            }
        });
        if let Err(error) = set {
            tracing::warn!(%error, "cannot write the position of the store");
        }
        Arc::new(Mutex::new(position))
    });
    let unverified =
        (examined.unverified || lock.was_unclean()) && !new && examined.suspicion.is_none();
    Ok(Opened {
        lock,
        connection,
        shared,
        files,
        space,
        commits: Commits { stamp, position },
        unverified,
        options,
    })
}

// === impl Commits ===

impl Commits {
    /// Records a commit. Call before its response is sent.
    pub(crate) fn record(&self, revision: i64) {
        if let Some(position) = &self.position {
            position.lock().advance(self.stamp, revision);
        }
    }

    /// Flushes what was recorded.
    pub(crate) fn flush(&self) {
        if let Some(position) = &self.position
            && let Err(error) = position.lock().flush()
        {
            tracing::warn!(%error, "cannot flush the position of the store");
        }
    }

    /// Records an orderly close of the database, which must be complete.
    pub(crate) fn close(&self, options: &Options) {
        let Some(position) = &self.position else {
            return;
        };
        let found = std::fs::metadata(&options.path);
        let closed = found.and_then(|found| {
            position.lock().set(|position| {
                position.state = State::Closed;
                position.size = found.len();
                position.modified = continuity::modified(&found);
            })
        });
        if let Err(error) = closed {
            tracing::warn!(%error, "cannot write the position of the store");
        }
    }
}

/// A database without a stamp must get one before its log can be recognized.
fn check_recovered(recovered: bool, examined: &Examined, path: &Path) -> Result<(), Error> {
    if recovered || examined.stamped {
        return Ok(());
    }
    let problem = "another program reads the database, or its disk is full, which must not be at \
                   its first start: stop that program, or free some MiB";
    Err(refuse(path, problem))
}

/// Records that commits may be missing, before the recovery of the log removes the evidence.
fn note_suspicion(options: &Options, examined: &Examined) -> Result<(), Error> {
    let stamp = examined.newest.unwrap_or(Stamp::NONE);
    let known = examined.position.unwrap_or(Position {
        state: State::Suspect,
        previous: stamp.generation,
        stamp,
        revision: 0,
        size: 0,
        modified: 0,
    });
    let suspect = Position {
        state: State::Suspect,
        ..known
    };
    write_position(options, suspect).map(drop)
}

/// Announces the generation that is about to begin, so that its first commits are recognized after
/// a crash. Keeps the newest commit of the former driver.
fn begin_position(
    options: &Options,
    examined: &Examined,
    newest: Option<Stamp>,
    generation: Generation,
) -> Result<Option<PositionFile>, Error> {
    let known = examined.position;
    let position = Position {
        state: match examined.suspicion {
            Some(_) => State::Suspect,
            None => State::Open,
        },
        previous: newest.map_or(Generation::NONE, |it| it.generation),
        stamp: Stamp {
            generation,
            sequence: known.map_or(0, |known| known.stamp.sequence),
        },
        revision: known.map_or(0, |known| known.revision),
        size: 0,
        modified: 0,
    };
    write_position(options, position)
}

/// Writes the file; `None` if the disk has no room for it.
fn write_position(options: &Options, position: Position) -> Result<Option<PositionFile>, Error> {
    let path = options.beside(POSITION);
    match PositionFile::begin(&path, position) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == std::io::ErrorKind::StorageFull => {
            tracing::warn!(%error, "cannot write the position of the store");
            Ok(None)
        }
        Err(error) => Err(refuse(&path, format!("cannot write: {error}"))),
    }
}

/// Checks the whole content of a database that was restored or may lack commits.
fn check_content(
    connection: &Connection,
    options: &Options,
    examined: &Examined,
) -> Result<(), Error> {
    if examined.suspicion.is_none() && !examined.restored {
        return Ok(());
    }
    tracing::info!("verifying the whole database before it is served");
    let path = &options.path;
    let damaged = integrity::check(connection, path).map_err(|error| match error {
        Error::Storage(error) => connection::explain(path, &error),
        error @ Error::Unsound { .. } => error,
        error => refuse(path, format!("{error}: restore a backup")),
    })?;
    if !damaged.is_empty() {
        tracing::error!(?damaged, "stored values fail their checksum");
    }
    Ok(())
}

/// Publishes the state of the store.
fn share(connection: &Connection, options: &Options, identity: Identity) -> Result<Shared, Error> {
    let path = &options.path;
    let Identity {
        store_id,
        head,
        fenced,
    } = identity;
    let shared = Shared::new(store_id, head);
    if let Some(reason) = &fenced {
        tracing::info!(reason, "the store is fenced: writes are refused");
    }
    shared.set_fenced(fenced);
    let progress = staged::read(connection).map_err(|error| refuse(path, error.to_string()))?;
    if let Some(progress) = &progress {
        let records = progress.records;
        tracing::info!(records, "an import is unfinished: nothing else is served");
    }
    shared.set_importing(progress);
    Ok(shared)
}
