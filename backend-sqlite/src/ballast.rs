//! Reserved disk space for operations that must succeed on a full disk.
//!
//! A file beside the database reserves the space, so that other programs on the disk cannot use it.
//! It shrinks in steps, only when a delete or a compaction runs out of space. The last step is
//! reserved for a start, because opening a database takes some space too.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use crate::files;

/// Number of steps in which the ballast is released.
const STEPS: u64 = 8;

/// The ballast file.
#[derive(Debug)]
pub(crate) struct Ballast {
    path: PathBuf,
    /// Whether the log says already that the file system cannot reserve space.
    logged: AtomicBool,
}

impl Ballast {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            logged: AtomicBool::new(false),
        }
    }

    /// Bytes reserved now.
    pub(crate) fn size(&self) -> u64 {
        std::fs::metadata(&self.path).map_or(0, |file| file.len())
    }

    /// Size of one step of a ballast of `bytes`.
    pub(crate) const fn step(bytes: u64) -> u64 {
        bytes.div_ceil(STEPS)
    }

    /// Releases one step of a ballast of `bytes`. Returns `false` if only the last step is left,
    /// which is released only when `starting`.
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
                tracing::warn!(%error, "cannot release space from the ballast file");
                false
            }
        }
    }

    /// Reserves `bytes` if the disk has room; returns whether they are reserved.
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
                if !full && !self.logged.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%error, "this file system cannot reserve space for a full disk");
                }
                // Remove the part that was allocated before the disk was full.
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
            // Some file systems keep a partial allocation: shrink the file to its former size.
            let _ = file.set_len(size);
        }
        Ok(allocated?)
    }
}

#[cfg(test)]
mod tests {
    use super::Ballast;

    #[test]
    fn ballast_is_released_in_steps_and_keeps_one_for_start() {
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
