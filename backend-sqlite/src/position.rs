//! The file `.position` beside a database: how far the store had come, independently of the
//! database and its write-ahead log.
//!
//! The writer overwrites it after each commit and before the response. It is flushed once a second,
//! which suffices: after a crash of the process it is exact, and after a loss of power it may be
//! older, which only makes the comparison less strict.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::files;
use crate::record::checksum;
use crate::stamp::{Generation, Stamp};

/// First word of the file.
const FORMAT: &str = "ark-position-1";

/// Maximum size of the file; a longer one is damaged.
const MAX_BYTES: usize = 512;

/// Words of the line, and one more to detect a longer line.
const WORDS: usize = 9;

/// Whether a driver uses the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// A driver serves it, or ended without closing it.
    Open,
    /// An orderly stop.
    Closed,
    /// The files did not belong together, and no new epoch has begun yet.
    Suspect,
}

/// Content of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) state: State,
    /// Generation in the database file when the generation of `stamp` began. Equal to it as soon as
    /// the database file contains a stamp of that generation.
    pub(crate) previous: Generation,
    /// Stamp of the newest commit whose response may have been sent.
    pub(crate) stamp: Stamp,
    /// Newest revision.
    pub(crate) revision: i64,
    /// Size and modification time of the closed database, else 0.
    pub(crate) size: u64,
    pub(crate) modified: u64,
}

/// Result of reading the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Missing,
    Damaged,
    Position(Position),
}

/// The open file.
#[derive(Debug)]
pub(crate) struct PositionFile {
    file: File,
    pub(crate) position: Position,
    /// Whether the file is written but not flushed.
    dirty: bool,
    /// Whether a failed write is logged already.
    logged: bool,
}

// === impl Position ===

impl Position {
    /// Reads the file at `path`.
    pub(crate) fn read(path: &Path) -> io::Result<Found> {
        match std::fs::read(path) {
            Ok(bytes) => Ok(Self::parse(&bytes).map_or(Found::Damaged, Found::Position)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Found::Missing),
            Err(error) => Err(error),
        }
    }

    /// Formats one line of fixed length, so that it can be overwritten in place on a full disk.
    fn format(&self) -> String {
        let state = match self.state {
            State::Open => "open   ",
            State::Closed => "closed ",
            State::Suspect => "suspect",
        };
        let line = format!(
            "{FORMAT} {state} {} {} {:016x} {:016x} {:016x} {:016x}",
            self.previous.to_hex(),
            self.stamp.generation.to_hex(),
            self.stamp.sequence,
            self.revision,
            self.size,
            self.modified,
        );
        format!("{line} {:08x}\n", checksum(line.as_bytes()))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let text = bytes.get(..bytes.len().min(MAX_BYTES))?;
        let text = std::str::from_utf8(text).ok()?.strip_suffix('\n')?;
        let (line, sum) = text.rsplit_once(' ')?;
        if u32::from_str_radix(sum, 16).ok()? != checksum(line.as_bytes()) {
            return None;
        }
        let words: Vec<&str> = line.split_ascii_whitespace().take(WORDS).collect();
        let [format, state, previous, generation, numbers @ ..] = words.as_slice() else {
            return None;
        };
        let state = match *state {
            "open" => State::Open,
            "closed" => State::Closed,
            "suspect" => State::Suspect,
            _ => return None,
        };
        let numbers: Result<Vec<u64>, _> = numbers
            .iter()
            .map(|number| u64::from_str_radix(number, 16))
            .collect();
        let [sequence, revision, size, modified] = numbers.ok()?.try_into().ok()?;
        if *format != FORMAT {
            return None;
        }
        Some(Self {
            state,
            previous: Generation::from_hex(previous)?,
            stamp: Stamp {
                generation: Generation::from_hex(generation)?,
                sequence,
            },
            revision: i64::try_from(revision).ok()?,
            size,
            modified,
        })
    }
}

// === impl PositionFile ===

impl PositionFile {
    /// Opens the file, or creates it, and writes and flushes `position`.
    pub(crate) fn begin(path: &Path, position: Position) -> io::Result<Self> {
        let open = |path: &Path, new: bool| {
            let mut options = OpenOptions::new();
            let options = options.write(true).create(new).truncate(new);
            files::private(options).open(path)
        };
        let begin = |file| -> io::Result<Self> {
            let mut begun = Self {
                file,
                position,
                dirty: false,
                logged: false,
            };
            begun.write()?;
            begun.flush()?;
            Ok(begun)
        };
        match open(path, false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Under another name first: an empty file would count as damaged.
                let mut partial = path.as_os_str().to_owned();
                partial.push(".partial");
                let begun = open(Path::new(&partial), true)
                    .and_then(begin)
                    .and_then(|begun| std::fs::rename(&partial, path).map(|()| begun));
                if begun.is_err() {
                    // The first error says what to do.
                    let _ = std::fs::remove_file(&partial);
                }
                begun
            }
            file => begin(file?),
        }
    }

    /// Records a commit. Call before its response is sent.
    pub(crate) fn advance(&mut self, stamp: Stamp, revision: i64) {
        if (self.position.stamp, self.position.revision) == (stamp, revision) {
            return;
        }
        self.position.stamp = stamp;
        self.position.revision = revision;
        // Without it, the next start may only begin an unnecessary epoch.
        if let Err(error) = self.write()
            && !std::mem::replace(&mut self.logged, true)
        {
            tracing::warn!(%error, "cannot write the position of the store");
        }
    }

    /// Writes and flushes a change of the position.
    pub(crate) fn set(&mut self, change: impl FnOnce(&mut Position)) -> io::Result<()> {
        change(&mut self.position);
        self.write()?;
        self.flush()
    }

    /// Flushes what was written since the last flush.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.dirty) {
            self.file.sync_data()?;
        }
        Ok(())
    }

    fn write(&mut self) -> io::Result<()> {
        self.dirty = true;
        let line = self.position.format();
        self.file.write_all_at(line.as_bytes(), 0)
    }
}

#[cfg(test)]
mod tests {
    use super::{Found, Position, PositionFile, State};
    use crate::stamp::{Generation, Stamp};

    #[test]
    fn position_is_read_back_and_damage_is_found() {
        let folder = tempfile::tempdir().expect("temporary directory");
        let path = folder.path().join("x.position");
        assert_eq!(Position::read(&path).expect("read"), Found::Missing);
        let mut stamp = Stamp {
            generation: Generation::random(),
            sequence: 41,
        };
        let position = Position {
            state: State::Open,
            previous: Generation::NONE,
            stamp,
            revision: 7,
            size: 0,
            modified: 0,
        };
        let mut file = PositionFile::begin(&path, position).expect("begun");
        stamp = stamp.next();
        file.advance(stamp, 8);
        file.set(|position| position.state = State::Closed)
            .expect("written");
        let expected = Position {
            state: State::Closed,
            stamp,
            revision: 8,
            ..position
        };
        let read = || Position::read(&path).expect("read");
        assert_eq!(read(), Found::Position(expected));
        let whole = std::fs::read(&path).expect("read");
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            std::fs::write(&path, &damaged).expect("written");
            assert_eq!(read(), Found::Damaged, "byte {at}");
            std::fs::write(&path, &whole[..at]).expect("written");
            assert_eq!(read(), Found::Damaged, "{at} bytes");
        }
    }
}
