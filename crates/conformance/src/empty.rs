//! Empty stores of the driver under test, for cases about imports.

use std::any::Any;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;

use crate::check::{Check, Stop};
use crate::process::Process;
use crate::restart::{Restarts, Supervised};
use backend_client::Endpoint;

/// A source of served empty stores.
#[async_trait]
pub trait EmptyStores: Send + Sync {
    /// Serves a new store without any writes; earlier ones stay served.
    async fn serve(&self) -> Result<EmptyStore, String>;

    /// As [`EmptyStores::serve`], in a special situation.
    ///
    /// # Errors
    /// `Skipped` if the situation cannot be made here.
    async fn serve_in(&self, _situation: Situation) -> Check<EmptyStore> {
        let reason = "these stores are not served by a command";
        Err(Stop::Skipped(reason.to_owned()))
    }
}

/// Special situation of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Situation {
    /// The data are in a file system of this many MiB.
    SmallDisk(u64),
    /// History is kept for a second, and at least this many changes.
    ShortRetention(u64),
}

/// A store that is served until dropped.
pub struct EmptyStore {
    pub(crate) endpoint: Endpoint,
    // Dropped before the server, which holds the directory of its data.
    pub(crate) restarts: Option<Arc<dyn Restarts>>,
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
            restarts: None,
            _server: Box::new(server),
        }
    }

    /// As [`EmptyStore::new`], for a server that can be restarted on its data.
    #[must_use]
    pub fn restartable(self, restarts: Arc<dyn Restarts>) -> Self {
        Self {
            restarts: Some(restarts),
            ..self
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

/// Starts a program by which a shell gets mounts of its own; root needs no user namespace for it.
fn namespace() -> &'static [&'static str] {
    if rustix::process::geteuid().is_root() {
        &["unshare", "--mount"]
    } else {
        &["unshare", "--map-root-user", "--mount"]
    }
}

/// Whether this user may mount a file system at `folder` in a namespace of its own.
fn may_mount(folder: &Path) -> bool {
    let [program, options @ ..] = namespace() else {
        return false;
    };
    let mut command = std::process::Command::new(program);
    command.args(options);
    command.args(["mount", "-t", "tmpfs", "none"]).arg(folder);
    command.output().is_ok_and(|output| output.status.success())
}

impl Command {
    async fn start(&self, folder: Folder, configure: Configure) -> Result<EmptyStore, String> {
        let socket = folder.0.join("s");
        let endpoint = Endpoint::unix(&socket);
        let process = Process::new(&self.command, &endpoint);
        let process = process
            .map_err(|error| error.to_string())?
            .with("ENDPOINT", format!("unix://{}", socket.display()))
            .with("FOLDER", folder.0.display().to_string())
            .logging_in(&folder.0);
        let started = Supervised::start(configure(process, &folder.0), &endpoint).await?;
        let supervised = Arc::new(started);
        // Drop order: the process is killed first, then its directory is removed.
        let store = EmptyStore::new(endpoint, (Arc::clone(&supervised), folder));
        Ok(store.restartable(supervised))
    }
}

/// Adapts the process of a store to its situation and its directory.
type Configure = Box<dyn FnOnce(Process, &Path) -> Process + Send>;

#[async_trait]
impl EmptyStores for Command {
    async fn serve(&self) -> Result<EmptyStore, String> {
        let folder = Folder::new().map_err(|error| error.to_string())?;
        self.start(folder, Box::new(|process, _| process)).await
    }

    async fn serve_in(&self, situation: Situation) -> Check<EmptyStore> {
        let failed = |why: String| Stop::Failed(format!("the start of an empty store: {why}"));
        let folder = Folder::new().map_err(|error| failed(error.to_string()))?;
        let mib = match situation {
            Situation::ShortRetention(events) => {
                let keep = move |process: Process, _: &Path| {
                    process
                        .with("ARK_BACKEND_KEEP_SECONDS", "1".to_owned())
                        .with("ARK_BACKEND_KEEP_EVENTS", events.to_string())
                };
                return self.start(folder, Box::new(keep)).await.map_err(failed);
            }
            Situation::SmallDisk(mib) => mib,
        };
        let data = folder.0.join("data");
        std::fs::create_dir(&data).map_err(|error| failed(error.to_string()))?;
        if !may_mount(&data) {
            let reason = "this user may not mount a small file system (unshare --mount)";
            return Err(Stop::Skipped(reason.to_owned()));
        }
        let mount = format!("mount -t tmpfs -o size={mib}m none \"$FOLDER\" || exit 1\n");
        let command = Self::new(&format!("{mount}{}", self.command));
        let small = |process: Process, folder: &Path| {
            process
                .with("FOLDER", folder.join("data").display().to_string())
                .inside(namespace())
        };
        let started = command.start(folder, Box::new(small)).await;
        started.map_err(|why| {
            Stop::Skipped(format!(
                "the driver does not start with {mib} MiB at $FOLDER: {why}"
            ))
        })
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
