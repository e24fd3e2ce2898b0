//! The unix socket between gateway and driver.

use std::fs::DirBuilder;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};

use pki::private_file;

use crate::{DataDir, Error};

/// Longest path of a unix socket in Linux (`sun_path`), bytes, without the final NUL.
const LONGEST: usize = 107;

/// The path of a unix socket in a directory that only our user can enter.
#[derive(Debug)]
pub struct Socket {
    path: PathBuf,
    /// The directory to remove on drop.
    temporary: Option<PathBuf>,
}

impl Socket {
    /// A socket of this process below the data directory, or in a temporary directory if the path
    /// would be too long. Removes the sockets of ended processes.
    ///
    /// # Errors
    /// If the directory cannot be created.
    pub fn prepare(data: &DataDir) -> Result<Self, Error> {
        let name = format!("{}.sock", std::process::id());
        let run = data.run();
        let path = run.join(&name);
        if path.as_os_str().len() <= LONGEST {
            private_file::create_directory(&run).map_err(Error::Socket)?;
            clear(&run);
            return Ok(Self {
                path,
                temporary: None,
            });
        }
        let random = rand::random::<u64>();
        let directory = std::env::temp_dir().join(format!("ark-{random:016x}"));
        // Not recursive, so that an existing directory of another user is an error.
        let made = DirBuilder::new().mode(0o700).create(&directory);
        made.map_err(Error::Socket)?;
        Ok(Self {
            path: directory.join(name),
            temporary: Some(directory),
        })
    }

    /// The path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The address, as passed to gateway and driver.
    #[must_use]
    pub fn address(&self) -> String {
        format!("unix://{}", self.path.display())
    }
}

/// The link `run/backend.sock` in the data directory to the socket of the driver, whose own name
/// changes with each process. Removed on drop. `arkctl --data-dir` follows it.
#[derive(Debug)]
pub(super) struct Link(PathBuf);

impl Link {
    /// Name of the link.
    const NAME: &str = "backend.sock";

    /// Creates or replaces the link to a socket.
    ///
    /// # Errors
    /// If the directory cannot be written.
    pub(super) fn create(data: &DataDir, socket: &Path) -> Result<Self, Error> {
        let run = data.run();
        private_file::create_directory(&run).map_err(Error::Socket)?;
        let link = run.join(Self::NAME);
        // Replaced in one step, so that no client finds it absent.
        let draft = run.join(format!("{}.new", Self::NAME));
        let _ = std::fs::remove_file(&draft);
        symlink(socket, &draft)
            .and_then(|()| std::fs::rename(&draft, &link))
            .map_err(Error::Socket)?;
        Ok(Self(link))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // The next server replaces a link that stays.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Usually the driver has removed the socket already, unless it was killed.
        let _ = std::fs::remove_file(&self.path);
        if let Some(directory) = &self.temporary {
            let _ = std::fs::remove_dir(directory);
        }
    }
}

/// Removes the sockets of killed processes. We hold the lock of the data directory, so they have
/// ended.
fn clear(run: &Path) {
    let entries = std::fs::read_dir(run).into_iter().flatten().flatten();
    for entry in entries {
        if entry.file_name().as_bytes().ends_with(b".sock") {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_socket_path_is_below_data_directory() {
        let directory = tempfile::tempdir().unwrap();
        let data = DataDir::open(directory.path()).unwrap();
        let left = directory.path().join("run/1.sock");
        std::fs::create_dir(directory.path().join("run")).unwrap();
        std::fs::write(&left, "").unwrap();
        let socket = Socket::prepare(&data).unwrap();
        assert!(socket.path().starts_with(data.run()));
        assert!(!left.exists(), "sockets of the dead are removed");
    }

    #[test]
    fn link_with_a_fixed_name_leads_to_the_socket() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["short".to_owned(), "x".repeat(90)] {
            let data = DataDir::open(&directory.path().join(name)).unwrap();
            let socket = Socket::prepare(&data).unwrap();
            let _listener = std::os::unix::net::UnixListener::bind(socket.path()).unwrap();
            let path = data.path().join("run/backend.sock");
            std::fs::create_dir_all(data.run()).unwrap();
            symlink("/no/such/socket", &path).unwrap();
            let link = Link::create(&data, socket.path()).unwrap();
            let found = path.canonicalize().unwrap();
            assert_eq!(found, socket.path().canonicalize().unwrap());
            std::os::unix::net::UnixStream::connect(found).unwrap();
            drop(link);
            assert!(path.symlink_metadata().is_err(), "removed with the server");
        }
    }

    #[test]
    fn long_socket_path_uses_temporary_directory() {
        let directory = tempfile::tempdir().unwrap();
        let long = directory.path().join("x".repeat(90));
        let data = DataDir::open(&long).unwrap();
        let socket = Socket::prepare(&data).unwrap();
        let path = socket.path().to_owned();
        std::os::unix::net::UnixListener::bind(&path).unwrap();
        drop(socket);
        assert!(!path.parent().unwrap().exists(), "nothing is left");
    }
}
