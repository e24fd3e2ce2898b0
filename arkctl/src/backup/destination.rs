//! Destination of a backup: a new regular file, or standard output.

use std::fs::{self, File, FileType, OpenOptions, TryLockError};
use std::io::{self, IsTerminal as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

/// Path that stands for standard output.
const STDOUT: &str = "-";

/// Where a backup goes. A partial file is removed on drop, unless the backup is complete.
pub(super) enum Destination {
    Stdout,
    File(Partial),
}

/// The file `PATH.partial`, which becomes `PATH` once it is complete.
pub(super) struct Partial {
    path: PathBuf,
    partial: PathBuf,
    force: bool,
    complete: bool,
}

// === impl Destination ===

impl Destination {
    /// Opens a destination, before anything is read. `force`: a regular file may be replaced.
    pub(super) fn open(path: &Path, force: bool) -> Result<(Self, File)> {
        if path == Path::new(STDOUT) {
            let stdout = io::stdout();
            ensure!(
                !stdout.is_terminal(),
                "--to -: standard output is a terminal: redirect it, or name a file"
            );
            let file = File::from(stdout.as_fd().try_clone_to_owned()?);
            return Ok((Self::Stdout, file));
        }
        check(path, force)?;
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let file = create(&partial)?;
        let destination = Partial {
            path: path.to_owned(),
            partial,
            force,
            complete: false,
        };
        Ok((Self::File(destination), file))
    }

    pub(super) const fn is_stdout(&self) -> bool {
        matches!(self, Self::Stdout)
    }

    /// Gives a file that is complete and on disk its name.
    pub(super) fn finish(self) -> Result<()> {
        match self {
            Self::Stdout => Ok(()),
            Self::File(mut partial) => partial.rename(),
        }
    }
}

// === impl Partial ===

impl Partial {
    fn rename(&mut self) -> Result<()> {
        let Self { path, partial, .. } = self;
        let named = || path.display().to_string();
        // What was there at the start may have been replaced meanwhile.
        check(path, self.force)?;
        if self.force {
            fs::rename(&partial, &path).with_context(named)?;
        } else {
            match renameat_with(CWD, &*partial, CWD, &*path, RenameFlags::NOREPLACE) {
                Ok(()) => {}
                // The file system does not know the flag.
                Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                    fs::rename(&partial, &path).with_context(named)?;
                }
                Err(error) => return Err(error).with_context(named),
            }
        }
        self.complete = true;
        let parent = self.path.parent().filter(|it| !it.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        let folder = File::open(parent).and_then(|folder| folder.sync_all());
        folder.with_context(|| parent.display().to_string())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.complete {
            // Errors are ignored: the next backup replaces the file.
            let _ = fs::remove_file(&self.partial);
        }
    }
}

/// Checks that a path is free, or with `force` that of a regular file: a rename would put a file in
/// the place of a link or a device.
fn check(path: &Path, force: bool) -> Result<()> {
    let named = || path.display().to_string();
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            ensure!(path.file_name().is_some(), "--to: give the name of a file");
            return Ok(());
        }
        found => found.with_context(named)?.file_type(),
    };
    if let Some(what) = special(found) {
        bail!(
            "{}: it is {what}, and no regular file: give another path, or - for standard output",
            path.display()
        );
    }
    ensure!(
        force,
        "{}: it exists: give another path, or --force to replace it",
        path.display()
    );
    Ok(())
}

/// What a file is, unless it is regular.
fn special(found: FileType) -> Option<&'static str> {
    if found.is_file() {
        None
    } else if found.is_symlink() {
        Some("a symbolic link")
    } else if found.is_dir() {
        Some("a directory")
    } else if found.is_fifo() {
        Some("a named pipe")
    } else if found.is_socket() {
        Some("a socket")
    } else {
        Some("a device")
    }
}

/// Creates a partial file that only its owner may read, because a store holds secrets. Replaces
/// that of an ended backup.
fn create(partial: &Path) -> Result<File> {
    let named = || partial.display().to_string();
    match fs::symlink_metadata(partial) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        found => {
            if let Some(what) = special(found.with_context(named)?.file_type()) {
                bail!("{}: it is {what}: remove it", partial.display());
            }
            let old = File::open(partial).with_context(named)?;
            lock(&old, partial)?;
            fs::remove_file(partial).with_context(named)?;
        }
    }
    let mut options = OpenOptions::new();
    let created = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(partial);
    let file = created.with_context(named)?;
    lock(&file, partial)?;
    Ok(file)
}

/// Locks a partial file while it is written, so that another backup does not remove it.
fn lock(file: &File, partial: &Path) -> Result<()> {
    match file.try_lock() {
        // Some network file systems have no locks.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(()),
        Err(TryLockError::WouldBlock) => bail!(
            "{}: another backup is being written there",
            partial.display()
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn refusal(path: &Path, force: bool) -> String {
        match Destination::open(path, force) {
            Ok(_) => panic!("{}: accepted", path.display()),
            Err(error) => format!("{error:#}"),
        }
    }

    #[test]
    fn only_new_and_regular_files_are_written() {
        let folder = tempfile::tempdir().expect("temporary directory");
        let path = |name: &str| folder.path().join(name);
        fs::write(path("file"), "old").expect("written");
        symlink(path("file"), path("link")).expect("linked");
        symlink(path("none"), path("dangling")).expect("linked");
        let made = std::process::Command::new("mkfifo")
            .arg(path("fifo"))
            .status();
        assert!(made.expect("mkfifo").success());
        for force in [false, true] {
            for (path, part) in [
                (path("link"), "a symbolic link"),
                (path("dangling"), "a symbolic link"),
                (path("fifo"), "a named pipe"),
                (folder.path().to_owned(), "a directory"),
                ("/dev/null".into(), "a device"),
                (path("no/folder"), "No such file"),
            ] {
                let refusal = refusal(&path, force);
                assert!(refusal.contains(part), "{refusal}");
            }
        }
        let refusal = refusal(&path("file"), false);
        assert!(refusal.contains("--force to replace it"), "{refusal}");
        let left = fs::read_dir(folder.path()).expect("read").count();
        assert_eq!(left, 4, "nothing was made");
        assert_eq!(fs::read(path("file")).expect("read"), b"old");
    }

    #[test]
    fn incomplete_file_is_removed() {
        let folder = tempfile::tempdir().expect("temporary directory");
        let path = folder.path().join("file");
        let opened = Destination::open(&path, false).expect("opened");
        let refusal = refusal(&path, false);
        assert!(refusal.contains("another backup"), "{refusal}");
        drop(opened);
        assert_eq!(fs::read_dir(folder.path()).expect("read").count(), 0);
    }

    #[test]
    fn file_that_appears_meanwhile_stays() {
        let folder = tempfile::tempdir().expect("temporary directory");
        let path = folder.path().join("file");
        for force in [false, true] {
            let (destination, _file) = Destination::open(&path, force).expect("opened");
            fs::write(&path, "other").expect("written");
            assert_eq!(destination.finish().is_ok(), force);
            assert_eq!(fs::read(&path).expect("read").is_empty(), force);
            fs::remove_file(&path).expect("removed");
            assert_eq!(fs::read_dir(folder.path()).expect("read").count(), 0);
        }
    }
}
