//! Empty stores of the driver under test, for cases about imports.

use std::any::Any;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

use async_trait::async_trait;

use crate::process::{Process, ProcessUnderTest as _, ready};
use backend_client::Endpoint;

/// A source of served empty stores.
#[async_trait]
pub trait EmptyStores: Send + Sync {
    /// Serves a new store without any writes; earlier ones stay served.
    async fn serve(&self) -> Result<EmptyStore, String>;
}

/// A store that is served until dropped.
pub struct EmptyStore {
    pub(crate) endpoint: Endpoint,
    _server: Box<dyn Any + Send + Sync>,
}

/// Starts empty stores with a shell command, run once per store.
#[derive(Debug)]
pub struct Command {
    command: String,
}

/// A directory that is removed when dropped.
struct Folder(PathBuf);

// === impl EmptyStore ===

impl EmptyStore {
    /// Wraps a store at `endpoint` whose server ends when `server` is dropped.
    pub fn new(endpoint: Endpoint, server: impl Any + Send + Sync) -> Self {
        Self {
            endpoint,
            _server: Box::new(server),
        }
    }
}

// === impl Command ===

impl Command {
    /// Builds stores with a command that serves at `$ENDPOINT` and stores its data in the directory
    /// `$FOLDER`. Besides the data, that directory holds only the socket and the command's output.
    #[must_use]
    pub fn new(command: &str) -> Self {
        Self {
            command: command.to_owned(),
        }
    }
}

#[async_trait]
impl EmptyStores for Command {
    async fn serve(&self) -> Result<EmptyStore, String> {
        let folder = Folder::new().map_err(|error| error.to_string())?;
        let socket = folder.0.join("s");
        let endpoint = Endpoint::unix(&socket);
        let process = Process::new(&self.command, &endpoint);
        let mut process = process
            .map_err(|error| error.to_string())?
            .with("ENDPOINT", format!("unix://{}", socket.display()))
            .with("FOLDER", folder.0.display().to_string())
            .logging_in(&folder.0);
        process.start().await?;
        ready(&mut process, &endpoint).await?;
        // Drop order: the process is killed first, then its directory is removed.
        Ok(EmptyStore::new(endpoint, (process, folder)))
    }
}

// === impl Folder ===

impl Folder {
    fn new() -> std::io::Result<Self> {
        let name = format!("backend-conformance-{}", uuid::Uuid::new_v4().simple());
        let path = std::env::temp_dir().join(name);
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A killed process may still hold a file; the rest stays in the temporary directory.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
