//! The kubeconfig of the administrator: one cluster, user and context, merged into a file that may
//! have others.

mod file;
mod merge;

use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use pki::Pki;

pub use self::merge::CONTEXT;
use self::merge::{Entry, Merged};

/// Why a kubeconfig cannot be written; it is unchanged. Each is a sentence for the user.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read or written.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The IO error.
        source: io::Error,
    },
    /// A directory, device, pipe or dangling link.
    #[error("{path}: it is no regular file", path = .0.display())]
    Special(PathBuf),
    /// Another program holds the lock of the file.
    #[error(
        "{path} exists: another program is changing the kubeconfig, or was killed; remove that \
         file if no program is",
        path = .0.display()
    )]
    Locked(PathBuf),
    /// The file has content that is not a kubeconfig.
    #[error("{path}: it is no kubeconfig: {problem}", path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The first problem.
        problem: String,
    },
    /// An entry of that name belongs to another server.
    #[error(
        "{path}: it has a {kind} {name:?} of another server: remove it with kubectl config \
         delete-{kind} {name}",
        path = path.display()
    )]
    Taken {
        /// The file.
        path: PathBuf,
        /// `cluster`, `user` or `context`.
        kind: &'static str,
        /// Name of the entry.
        name: &'static str,
    },
}

/// A kubeconfig file that is to name this server.
#[derive(Debug, Clone)]
pub struct Kubeconfig {
    path: PathBuf,
    /// Whether the file is in the data directory. Then all entries with our names are ours.
    own: bool,
    data_dir: PathBuf,
}

impl Kubeconfig {
    /// The file in the data directory, or `path`, which may have other entries.
    #[must_use]
    pub fn new(path: Option<&Path>, own: &Path, data_dir: &Path) -> Self {
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Self {
            path: path.map_or_else(|| own.to_owned(), absolute),
            own: path.is_none_or(|path| absolute(path) == own),
            data_dir: data_dir.to_owned(),
        }
    }

    /// The path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Checks that a file can be changed, before anything is written.
    ///
    /// # Errors
    /// If it is no regular file, or no kubeconfig.
    pub fn check(path: &Path) -> Result<(), Error> {
        read(path).map(|_| ())
    }

    /// Checks that the entries of the server can be merged.
    ///
    /// # Errors
    /// As [`Kubeconfig::write`].
    pub fn check_merge(&self, pki: &Pki) -> Result<(), Error> {
        self.merged(read(&self.path)?, "", pki).map(|_| ())
    }

    /// Merges the entries of the server at `url` into the file; whether its current context is that
    /// of the server. Blocks until other programs have released the lock, for some seconds at most.
    ///
    /// # Errors
    /// If the file cannot be changed, or has entries of the same names for another server.
    pub fn write(&self, url: &str, pki: &Pki) -> Result<bool, Error> {
        let failed = |source| Error::File {
            path: self.path.clone(),
            source,
        };
        if let Some(directory) = self.path.parent() {
            pki::private_file::create_directory(directory).map_err(failed)?;
        }
        let _lock = file::Lock::acquire(&self.path)?;
        let merged = self.merged(read(&self.path)?, url, pki)?;
        let text = kube_json::yaml::to_string(&merged.config);
        file::replace(&self.path, text.as_bytes()).map_err(failed)?;
        Ok(merged.is_current)
    }

    fn merged(&self, existing: Value, url: &str, pki: &Pki) -> Result<Merged, Error> {
        let entry = Entry {
            server: url,
            authority: &STANDARD.encode(&pki.authority_pem),
            certificate: &STANDARD.encode(&pki.admin_pem),
            key: &STANDARD.encode(&pki.admin_key_pem),
            data_dir: &self.data_dir.to_string_lossy(),
        };
        let merged = merge::merge(existing, &entry, self.own);
        merged.map_err(|problem| problem.in_file(&self.path))
    }
}

/// The content of a kubeconfig; null if it does not exist or is empty.
fn read(path: &Path) -> Result<Value, Error> {
    let Some(bytes) = file::read(path)? else {
        return Ok(Value::Null);
    };
    match kube_json::yaml::parse(&bytes) {
        Ok(parsed) => Ok(parsed.value),
        Err(error) => Err(Error::Malformed {
            path: path.to_owned(),
            problem: error.to_string(),
        }),
    }
}

#[cfg(test)]
mod tests;
