//! Reads a write-ahead log without SQLite: what a recovery would apply, before it applies it.
//!
//! Format: <https://www.sqlite.org/fileformat2.html#the_write_ahead_log>.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use crate::stamp::Stamp;

const HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;
const PAGE_BYTES: usize = 4096;

/// First four bytes; the lowest bit selects big-endian checksums.
const MAGIC: u32 = 0x377f_0682;

/// Content of a write-ahead log.
#[derive(Debug, Default)]
pub(crate) struct Wal {
    /// Number of commits that a recovery applies.
    pub(crate) commits: u64,
    /// Stamps of the first and of the last commit that has one.
    pub(crate) first: Option<Stamp>,
    pub(crate) last: Option<Stamp>,
    /// Pages of the database after the last commit.
    pub(crate) database_pages: Option<u32>,
    /// Numbers of the pages that a recovery writes.
    pub(crate) pages: HashSet<u32>,
    /// Whether the header, or a commit before the newest one, is damaged.
    pub(crate) damaged: bool,
}

/// Sums of <https://www.sqlite.org/fileformat2.html#checksum_algorithm>.
#[derive(Clone, Copy)]
struct Sums {
    big_endian: bool,
    values: (u32, u32),
}

/// Header of a frame.
struct FrameHeader {
    page: u32,
    /// Pages of the database if the frame ends a commit, else 0.
    commit: u32,
    salts: [u8; 8],
    sums: (u32, u32),
}

impl Wal {
    /// Reads the log at `path`; `None` if there is no log or it is empty. `root` is the page of the
    /// row of `store`.
    pub(crate) fn read(path: &Path, root: Option<u32>) -> io::Result<Option<Self>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if file.metadata()?.len() == 0 {
            return Ok(None);
        }
        let mut input = BufReader::with_capacity(1 << 16, file);
        let mut wal = Self::default();
        let mut header = [0; HEADER_BYTES];
        match begin(&mut input, &mut header)? {
            Some(sums) => wal.frames(&mut input, &header[16..24], sums, root)?,
            None => wal.damaged = true,
        }
        Ok(Some(wal))
    }

    fn frames(
        &mut self,
        input: &mut impl Read,
        salts: &[u8],
        mut sums: Sums,
        root: Option<u32>,
    ) -> io::Result<()> {
        let mut head = [0; FRAME_HEADER_BYTES];
        let mut page = vec![0; PAGE_BYTES];
        // Pages and stamp since the last commit.
        let mut open = Vec::new();
        let mut stamp = None;
        let mut valid = true;
        // Whether a commit ended after the first invalid frame.
        let mut ended = false;
        while read_whole(input, &mut head)? && read_whole(input, &mut page)? {
            let frame = FrameHeader::parse(&head);
            if frame.salts != *salts {
                // Rest of a former use of the file.
                break;
            }
            sums.add(&head[..8]);
            sums.add(&page);
            valid = valid && sums.values == frame.sums && frame.page != 0;
            if !valid {
                // Only the newest commit may be incomplete, because each is flushed before the
                // next begins.
                if ended {
                    self.damaged = true;
                    break;
                }
                ended = frame.commit != 0;
                continue;
            }
            open.push(frame.page);
            if root == Some(frame.page) {
                stamp = Stamp::of_page(&page);
            }
            if frame.commit == 0 {
                continue;
            }
            self.commits += 1;
            self.database_pages = Some(frame.commit);
            self.pages.extend(open.drain(..));
            if let Some(stamp) = stamp.take() {
                self.first.get_or_insert(stamp);
                self.last = Some(stamp);
            }
        }
        Ok(())
    }
}

/// Reads the header; `None` if it is damaged.
fn begin(input: &mut impl Read, header: &mut [u8; HEADER_BYTES]) -> io::Result<Option<Sums>> {
    if !read_whole(input, header)? {
        return Ok(None);
    }
    let magic = word(header, 0);
    let mut sums = Sums {
        big_endian: magic & 1 == 1,
        values: (0, 0),
    };
    sums.add(&header[..24]);
    let sound = magic & !1 == MAGIC
        && word(header, 8) as usize == PAGE_BYTES
        && sums.values == (word(header, 24), word(header, 28));
    Ok(sound.then_some(sums))
}

/// Fills `buffer`; returns `false` at the end of the file.
fn read_whole(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match input.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_be_bytes(word)
}

impl FrameHeader {
    fn parse(head: &[u8; FRAME_HEADER_BYTES]) -> Self {
        let mut salts = [0; 8];
        salts.copy_from_slice(&head[8..16]);
        Self {
            page: word(head, 0),
            commit: word(head, 4),
            salts,
            sums: (word(head, 16), word(head, 20)),
        }
    }
}

impl Sums {
    /// Adds bytes whose number is a multiple of 8.
    fn add(&mut self, bytes: &[u8]) {
        let (mut first, mut second) = self.values;
        for pair in bytes.chunks_exact(8) {
            let (one, other) = (word(pair, 0), word(pair, 4));
            let (one, other) = if self.big_endian {
                (one, other)
            } else {
                (one.swap_bytes(), other.swap_bytes())
            };
            first = first.wrapping_add(one).wrapping_add(second);
            second = second.wrapping_add(other).wrapping_add(first);
        }
        self.values = (first, second);
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use rusqlite::Connection;

    use super::{FRAME_HEADER_BYTES, HEADER_BYTES, PAGE_BYTES, Wal};
    use crate::stamp::{Generation, Stamp};

    const FRAME: usize = FRAME_HEADER_BYTES + PAGE_BYTES;

    /// Makes a log of `commits` stamped commits, each of two pages; returns its path and the page
    /// of the stamps.
    fn logged(folder: &tempfile::TempDir, commits: u64) -> (PathBuf, u32, Generation, Connection) {
        let generation = Generation::random();
        let path = folder.path().join("x.db");
        let file = Connection::open(&path).expect("opened");
        let sql = "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;
            CREATE TABLE store (stamp BLOB); CREATE TABLE log (value BLOB);
            INSERT INTO store VALUES (NULL); PRAGMA wal_checkpoint(TRUNCATE);";
        file.execute_batch(sql).expect("made");
        let sql = "SELECT rootpage FROM sqlite_schema WHERE name = 'store'";
        let root = file.query_row(sql, [], |row| row.get(0)).expect("root");
        for sequence in 1..=commits {
            let stamp = Stamp {
                generation,
                sequence,
            };
            file.execute_batch("BEGIN").expect("begun");
            file.execute("INSERT INTO log VALUES (x'00')", [])
                .expect("inserted");
            file.execute("UPDATE store SET stamp = ?1", [stamp.encode()])
                .expect("stamped");
            file.execute_batch("COMMIT").expect("committed");
        }
        (folder.path().join("x.db-wal"), root, generation, file)
    }

    #[test]
    fn log_is_read_up_to_the_first_invalid_frame() {
        let folder = tempfile::tempdir().expect("temporary directory");
        let (path, root, generation, file) = logged(&folder, 4);
        let whole = std::fs::read(&path).expect("read");
        assert_eq!(whole.len(), HEADER_BYTES + 8 * FRAME);
        let sequences = |wal: &Wal| {
            let of = |stamp: Option<Stamp>| stamp.map(|stamp| stamp.sequence);
            (of(wal.first), of(wal.last))
        };
        let read = || Wal::read(&path, Some(root)).expect("read").expect("a log");
        let wal = read();
        assert_eq!((wal.commits, wal.damaged), (4, false));
        assert_eq!(sequences(&wal), (Some(1), Some(4)));
        assert_eq!(wal.first.expect("a stamp").generation, generation);
        assert!(wal.pages.contains(&root) && wal.database_pages.is_some());
        // A byte in each frame: only damage of the newest commit may be an interrupted write.
        for frame in 0..8 {
            let mut damaged = whole.clone();
            damaged[HEADER_BYTES + frame * FRAME + 100] ^= 1;
            std::fs::write(&path, damaged).expect("written");
            let wal = read();
            let commits = frame as u64 / 2;
            assert_eq!(
                (wal.commits, wal.damaged),
                (commits, commits < 3),
                "{frame}"
            );
        }
        std::fs::write(&path, &whole[..HEADER_BYTES + 5 * FRAME]).expect("written");
        assert_eq!((read().commits, read().damaged), (2, false));
        let mut damaged = whole.clone();
        damaged[17] ^= 1;
        std::fs::write(&path, damaged).expect("written");
        assert_eq!((read().commits, read().damaged), (0, true));
        std::fs::write(&path, "").expect("written");
        assert!(Wal::read(&path, Some(root)).expect("read").is_none());
        drop(file);
    }
}
