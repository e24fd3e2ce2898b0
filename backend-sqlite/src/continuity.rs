//! Whether the files of a store belong together and are complete, before SQLite opens them.
//!
//! SQLite applies any well-formed write-ahead log to the database beside it, and takes a shortened
//! log for a complete one. Stamps reveal both (docs/adr/0021-sqlite-files-that-belong-together.md).

use std::fs::Metadata;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};

use crate::connection::refuse;
use crate::error::Error;
use crate::files::{JOURNAL, LOG, POSITION};
use crate::options::Options;
use crate::position::{Found, Position, State};
use crate::schema;
use crate::stamp::{Generation, Stamp};
use crate::wal::Wal;

const PAGE_BYTES: u64 = 4096;

/// Result of the examination.
#[derive(Debug)]
pub(crate) struct Examined {
    /// Reason why commits may be missing: the database needs a whole check and a new epoch.
    pub(crate) suspicion: Option<String>,
    /// Position of the last driver, if its file is readable.
    pub(crate) position: Option<Position>,
    /// Newest stamp in database and log.
    pub(crate) newest: Option<Stamp>,
    /// Whether the database alone has a stamp.
    pub(crate) stamped: bool,
    /// Whether the database alone is a backup or marked by `new-epoch`.
    pub(crate) restored: bool,
    /// Whether the content needs verification: the last stop was unclean, or the file has changed
    /// since.
    pub(crate) unverified: bool,
}

/// The database without its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Alone {
    stamp: Stamped,
    /// Whether it is a copy.
    restored: bool,
    /// Page of the row of `store`.
    root: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stamped {
    /// A copy, or a store of an older release.
    No,
    Yes(Stamp),
    Unreadable,
}

/// Examines the files of an existing database that no driver uses.
///
/// # Errors
/// If the log is not the database's own, or pages are missing: nothing was changed.
pub(crate) fn examine(options: &Options) -> Result<Examined, Error> {
    let path = &options.path;
    let found = std::fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    check_journal(options)?;
    let alone = Alone::read(path);
    let log_path = options.beside(LOG);
    let wal = Wal::read(&log_path, alone.root).map_err(|error| unreadable(&log_path, &error))?;
    let position_path = options.beside(POSITION);
    let position =
        Position::read(&position_path).map_err(|error| unreadable(&position_path, &error))?;
    let wal = wal.as_ref();
    if !belongs(&alone, wal, position) {
        let problem = format!(
            "this write-ahead log belongs to another file than {}, which was replaced or restored: \
             to serve {} as it is, remove this file; otherwise put the former database back",
            path.display(),
            path.display()
        );
        return Err(refuse(&log_path, problem));
    }
    check_pages(path, &found, wal)?;
    let suspicion = suspicion(&alone, wal, position);
    let position = match position {
        Found::Position(position) => Some(position),
        Found::Missing | Found::Damaged => None,
    };
    let untouched = position.is_some_and(|position| {
        position.state == State::Closed
            && (position.size, position.modified) == (found.len(), modified(&found))
    });
    Ok(Examined {
        suspicion,
        position,
        newest: newest(&alone, wal),
        stamped: matches!(alone.stamp, Stamped::Yes(_)),
        restored: alone.restored,
        unverified: !untouched,
    })
}

/// Returns the modification time in nanoseconds since 1970.
pub(crate) fn modified(found: &Metadata) -> u64 {
    let nanos = i128::from(found.mtime()) * 1_000_000_000 + i128::from(found.mtime_nsec());
    u64::try_from(nanos).unwrap_or_default()
}

// === impl Alone ===

impl Alone {
    /// Reads the database without applying its log.
    fn read(path: &Path) -> Self {
        Self::query(path).unwrap_or(Self {
            stamp: Stamped::Unreadable,
            restored: false,
            root: None,
        })
    }

    fn query(path: &Path) -> rusqlite::Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_URI;
        let name = path.to_string_lossy();
        let name = name.replace('%', "%25").replace('?', "%3f");
        let name = name.replace('#', "%23");
        // `immutable` takes no locks and ignores log and journal.
        let file = Connection::open_with_flags(format!("file:{name}?immutable=1"), flags)?;
        // An interrupted checkpoint may have written a header that counts pages of the log. This
        // connection is read-only, so the option only allows to read such a file.
        file.set_db_config(DbConfig::SQLITE_DBCONFIG_WRITABLE_SCHEMA, true)?;
        let version: i64 = file.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let sql = "SELECT rootpage FROM sqlite_schema WHERE name = 'store'";
        let root = file.query_row(sql, [], |row| row.get(0)).optional()?;
        let sql = match (root, version) {
            (None, _) => {
                return Ok(Self {
                    stamp: Stamped::No,
                    restored: false,
                    root,
                });
            }
            (_, ..schema::STAMPED) => "SELECT restored, NULL FROM store",
            _ => "SELECT restored, stamp FROM store",
        };
        let row = file.query_row(sql, [], |row| {
            Ok((row.get(0)?, row.get::<_, Option<Vec<u8>>>(1)?))
        });
        let Some((restored, stamp)) = row.optional()? else {
            return Ok(Self {
                stamp: Stamped::Unreadable,
                restored: false,
                root,
            });
        };
        let stamp = match stamp.as_deref().map(Stamp::decode) {
            None => Stamped::No,
            Some(Some(stamp)) => Stamped::Yes(stamp),
            Some(None) => Stamped::Unreadable,
        };
        Ok(Self {
            stamp,
            restored,
            root,
        })
    }
}

/// Whether the log continues the database.
fn belongs(alone: &Alone, wal: Option<&Wal>, position: Found) -> bool {
    let Some(wal) = wal.filter(|wal| wal.commits > 0) else {
        return true;
    };
    let (previous, current) = match position {
        Found::Position(position) => (Some(position.previous), Some(position.stamp.generation)),
        Found::Missing | Found::Damaged => (None, None),
    };
    let Some(first) = wal.first else {
        // The log of an older release, or of the upgrade of its store.
        // A database that is unreadable without its log is checked as a whole.
        return alone.stamp == Stamped::Unreadable
            || (alone.stamp == Stamped::No && !alone.restored);
    };
    let last = wal.last.unwrap_or(first);
    // The first commit of a generation, before the database file has one.
    let begins = |from: Generation| previous == Some(from) && current == Some(first.generation);
    match alone.stamp {
        Stamped::Yes(stamp) => {
            let known = [first.generation, last.generation].contains(&stamp.generation);
            first.sequence <= stamp.sequence.saturating_add(1)
                && stamp.sequence <= last.sequence
                && (known || begins(stamp.generation))
        }
        Stamped::No => begins(Generation::NONE),
        // A page that the log replaces may be damaged.
        Stamped::Unreadable => {
            [previous, current].contains(&Some(last.generation)) || position == Found::Missing
        }
    }
}

fn newest(alone: &Alone, wal: Option<&Wal>) -> Option<Stamp> {
    let alone = match alone.stamp {
        Stamped::Yes(stamp) => Some(stamp),
        Stamped::No | Stamped::Unreadable => None,
    };
    wal.and_then(|wal| wal.last).or(alone)
}

/// Returns the reason why commits may be missing.
fn suspicion(alone: &Alone, wal: Option<&Wal>, position: Found) -> Option<String> {
    if wal.is_some_and(|wal| wal.damaged) {
        return Some("the write-ahead log is damaged".to_owned());
    }
    if alone.stamp == Stamped::Unreadable {
        return Some("the database cannot be read without its write-ahead log".to_owned());
    }
    let newest = newest(alone, wal);
    let position = match (position, newest) {
        (Found::Missing, None) => return None,
        (Found::Missing, Some(_)) => {
            return Some("the file .position, which shows the last commit, is missing".to_owned());
        }
        (Found::Damaged, _) => {
            return Some("the file .position, which shows the last commit, is damaged".to_owned());
        }
        (Found::Position(position), _) => position,
    };
    if position.state == State::Suspect {
        return Some("an earlier start found that commits may be missing".to_owned());
    }
    let Some(newest) = newest else {
        // The first start of a new store or of a copy ended early, or a backup was restored.
        let expected = position.previous == Generation::NONE || alone.restored;
        return (!expected).then(|| "the database is of an older release or a copy".to_owned());
    };
    if ![position.previous, position.stamp.generation].contains(&newest.generation) {
        return Some("the database is another one than the last that was served".to_owned());
    }
    let missing = position.stamp.sequence.saturating_sub(newest.sequence);
    (missing > 0).then(|| format!("the last {missing} commits are missing"))
}

/// Rejects a rollback journal: this driver's databases have a write-ahead log.
fn check_journal(options: &Options) -> Result<(), Error> {
    let journal = options.beside(JOURNAL);
    if !std::fs::metadata(&journal).is_ok_and(|found| found.len() > 0) {
        return Ok(());
    }
    // Bytes 18 and 19 of a database are 2 if it has a write-ahead log.
    let mut modes = [0; 2];
    let read =
        std::fs::File::open(&options.path).and_then(|file| file.read_exact_at(&mut modes, 18));
    if read.is_ok() && modes == [2, 2] {
        let problem = format!(
            "this journal is not of this driver, and would undo changes of {}: remove it",
            options.path.display()
        );
        return Err(refuse(&journal, problem));
    }
    Ok(())
}

/// Rejects a database that was cut. Pages beyond its end may be in the log.
fn check_pages(path: &Path, found: &Metadata, wal: Option<&Wal>) -> Result<(), Error> {
    let mut header = [0; 100];
    std::fs::File::open(path)
        .and_then(|file| file.read_exact_at(&mut header, 0))
        .map_err(|_| refuse(path, cut(found.len(), 100)))?;
    // https://www.sqlite.org/fileformat2.html#in_header_database_size
    let counted = header[24..28] == header[92..96];
    let mut pages = [0; 4];
    pages.copy_from_slice(&header[28..32]);
    let in_header = counted.then(|| u32::from_be_bytes(pages));
    let Some(pages) = wal.and_then(|wal| wal.database_pages).or(in_header) else {
        return Ok(());
    };
    let whole = found.len() / PAGE_BYTES;
    let missing = (whole + 1..=u64::from(pages)).find(|page| {
        let logged = |page| wal.is_some_and(|wal| wal.pages.contains(&page));
        !u32::try_from(*page).is_ok_and(logged)
    });
    match missing {
        Some(_) => Err(refuse(
            path,
            cut(found.len(), u64::from(pages) * PAGE_BYTES),
        )),
        None => Ok(()),
    }
}

fn cut(bytes: u64, expected: u64) -> String {
    format!("the file was cut to {bytes} bytes of {expected}: restore a backup")
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    refuse(path, format!("cannot read: {error}"))
}
