//! Reading, locking and replacing a kubeconfig file.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{Gid, Uid, fchown};

use super::Error;

/// How long another program may hold the lock. kubectl holds it for milliseconds.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
/// Interval of attempts to get the lock.
const LOCK_POLL: Duration = Duration::from_millis(50);
/// A kubeconfig is smaller, bytes.
const LARGEST: u64 = 16 << 20;

/// The lock of a kubeconfig, released on drop: the file `FILE.lock`, as client-go's `lockFile` has
/// it.
#[derive(Debug)]
pub(super) struct Lock(PathBuf);

impl Lock {
    /// Creates the lock file, once no other program has it.
    pub(super) fn acquire(path: &Path) -> Result<Self, Error> {
        Self::acquire_within(path, LOCK_TIMEOUT)
    }

    fn acquire_within(path: &Path, limit: Duration) -> Result<Self, Error> {
        let lock = beside(path, "lock");
        let deadline = Instant::now() + limit;
        loop {
            let mut options = OpenOptions::new();
            match options.write(true).create_new(true).mode(0o000).open(&lock) {
                Ok(_) => return Ok(Self(lock)),
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(Error::File {
                        path: lock,
                        source: error,
                    });
                }
                Err(_) if Instant::now() >= deadline => return Err(Error::Locked(lock)),
                Err(_) => std::thread::sleep(LOCK_POLL),
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A lock file that stays is reported by the next program that needs it.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The content of a regular file, also behind a symbolic link; `None` if there is none.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    let failed = |source| Error::File {
        path: path.to_owned(),
        source,
    };
    match std::fs::metadata(path) {
        Ok(found) if !found.is_file() => return Err(Error::Special(path.to_owned())),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // A link to a file that does not exist.
            return match std::fs::symlink_metadata(path) {
                Ok(_) => Err(Error::Special(path.to_owned())),
                Err(_) => Ok(None),
            };
        }
        Err(error) => return Err(failed(error)),
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(LARGEST).read_to_end(&mut bytes).map_err(failed)?;
    Ok(Some(bytes))
}

/// Replaces the content of a file atomically. The file is then readable by its owner only, who stays
/// the same; a symbolic link stays, too.
pub(super) fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let path = &path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let draft = beside(path, &std::process::id().to_string());
    let written = write(&draft, path, text).and_then(|()| std::fs::rename(&draft, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&draft);
    }
    written
}

fn write(draft: &Path, path: &Path, text: &[u8]) -> io::Result<()> {
    // Left by a killed process with the same id.
    match std::fs::remove_file(draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(draft)?;
    if let Ok(old) = std::fs::metadata(path) {
        let new = file.metadata()?;
        if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
            let (user, group) = (Uid::from_raw(old.uid()), Gid::from_raw(old.gid()));
            fchown(&file, Some(user), Some(group))?;
        }
    }
    file.write_all(text)?;
    file.sync_all()
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(suffix);
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lock_is_that_of_kubectl_and_released() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        let lock = Lock::acquire(&path).unwrap();
        assert!(folder.path().join("config.lock").exists());
        let refused = Lock::acquire_within(&path, Duration::ZERO).unwrap_err();
        let text = refused.to_string();
        assert!(
            text.contains("config.lock exists: another program"),
            "{text}"
        );
        drop(lock);
        assert!(!folder.path().join("config.lock").exists());
        Lock::acquire(&path).unwrap();
    }

    #[test]
    fn only_regular_files_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        assert!(read(&path("none")).unwrap().is_none());
        std::os::unix::fs::symlink(path("none"), path("dangling")).unwrap();
        for special in [
            folder.path().to_owned(),
            path("dangling"),
            "/dev/null".into(),
        ] {
            let error = read(&special).unwrap_err().to_string();
            assert!(error.ends_with("it is no regular file"), "{error}");
        }
    }

    #[test]
    fn links_and_other_files_stay() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        std::fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        replace(&link, b"new").unwrap();
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(std::fs::read(&file).unwrap(), b"new");
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
