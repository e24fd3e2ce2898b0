//! Space that is kept back for what must go on when the disk is full.
//!
//! A file beside the database holds it. It is given up in steps, and only when a delete or a
//! compaction found no room: whatever else fills the disk cannot take it before. The last step is
//! for a start: opening a database takes some room, too.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use crate::files;

/// Steps in which the ballast is given up.
const STEPS: u64 = 8;

/// The file.
#[derive(Debug)]
pub(crate) struct Ballast {
    path: PathBuf,
    /// Whether it was told that the file system cannot keep space back.
    told: AtomicBool,
}

impl Ballast {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            told: AtomicBool::new(false),
        }
    }

    /// Bytes that are kept back now.
    pub(crate) fn size(&self) -> u64 {
        std::fs::metadata(&self.path).map_or(0, |file| file.len())
    }

    /// One step of a ballast of so many bytes.
    pub(crate) const fn step(bytes: u64) -> u64 {
        bytes.div_ceil(STEPS)
    }

    /// Gives up one step of a ballast of so many bytes; `false` if none is left but the last, which
    /// only a start may take.
    pub(crate) fn release(&self, bytes: u64, starting: bool) -> bool {
        let (size, step) = (self.size(), Self::step(bytes));
        if size == 0 || (size <= step && !starting) {
            return false;
        }
        let rest = size.saturating_sub(step.max(1));
        let released = if rest == 0 {
            std::fs::remove_file(&self.path)
        } else {
            let file = OpenOptions::new().write(true).open(&self.path);
            file.and_then(|file| file.set_len(rest))
        };
        match released {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(%error, "cannot give up what the ballast file keeps back");
                false
            }
        }
    }

    /// Keeps so many bytes back if there is room; whether they are.
    pub(crate) fn keep(&self, bytes: u64) -> bool {
        let size = self.size();
        if size >= bytes {
            return true;
        }
        match self.allocate(size, bytes) {
            Ok(()) => true,
            Err(error) => {
                let space = [Errno::NOSPC, Errno::DQUOT].map(|errno| errno.raw_os_error());
                let full = error
                    .raw_os_error()
                    .is_some_and(|code| space.contains(&code));
                if !full && !self.told.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%error, "this file system keeps no space back for a full disk");
                }
                // What was given before the end came.
                if size == 0 {
                    let _ = std::fs::remove_file(&self.path);
                }
                !full
            }
        }
    }

    fn allocate(&self, size: u64, bytes: u64) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let file: File =
            files::private(options.write(true).create(true).truncate(false)).open(&self.path)?;
        let allocated = rustix::fs::fallocate(&file, FallocateFlags::empty(), size, bytes - size);
        if allocated.is_err() {
            // Some file systems keep the part that they had.
            let _ = file.set_len(size);
        }
        Ok(allocated?)
    }
}

#[cfg(test)]
mod tests {
    use super::Ballast;

    #[test]
    fn it_is_given_up_in_steps_and_the_last_is_for_a_start() {
        let folder = tempfile::tempdir().expect("temporary directory");
        let ballast = Ballast::new(folder.path().join("ark.db.ballast"));
        let bytes = 8 << 12;
        assert!(!ballast.release(bytes, true), "there is none");
        assert!(ballast.keep(bytes));
        assert_eq!(ballast.size(), bytes);
        for left in (1..8).rev() {
            assert!(ballast.release(bytes, false));
            assert_eq!(ballast.size(), left << 12);
        }
        assert!(!ballast.release(bytes, false));
        assert!(ballast.release(bytes, true));
        assert_eq!(ballast.size(), 0);
        assert!(ballast.keep(bytes));
    }
}
