//! A temporary directory with a keeper process.
//!
//! `Drop` does not suffice: a test binary can be killed, and its servers would stay. Therefore each
//! directory has a keeper, a shell in its own process group that reads from a pipe. When the other
//! end closes, for any reason, the keeper kills every process that works in the directory and
//! removes it. Dropping a [`Scratch`] closes the pipe and waits for the keeper, so that every test
//! uses this one cleanup path.

use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use crate::account::Account;
use crate::error::{Error, Result};
use crate::run::run;
use crate::wait::INTERVAL;

/// Maximum length of the path. A socket's path has at most 107 bytes; the limit leaves room for the
/// rest.
const LONGEST: usize = 60;

/// Timeout of the keeper.
const KEEPER: Duration = Duration::from_secs(20);

/// Kills all processes in `$1`, until there are none. A process is identified by its working
/// directory, which a server and its children never leave, because its pid may have been reused.
const KILL: &str = r#"
kill_all() {
  tries=0
  while found=$(find /proc -maxdepth 2 -name cwd \( -lname "$1" -o -lname "$1/*" \) 2>/dev/null | cut -d/ -f3)
    [ -n "$found" ]
  do
    kill -KILL $found 2>/dev/null
    tries=$((tries + 1))
    [ $tries -lt 500 ] || exit 1
    sleep 0.01
  done
}
"#;

/// Removes the shared memory segment of a killed server, which outlives the directory.
const REMOVE: &str = r#"
remove() {
  kill_all "$1"
  for file in "$1/postmaster.pid" "$1"/*/postmaster.pid; do
    [ -f "$file" ] || continue
    segment=$(sed -n '7s/^ *[0-9]* *//p' "$file")
    [ -z "$segment" ] || ipcrm -m "$segment" 2>/dev/null
  done
  rm -rf "$1"
}
"#;

/// A directory of the servers' account; when dropped, it is removed with all its processes.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    account: Account,
    keeper: Child,
    pipe: Option<ChildStdin>,
}

// === impl Scratch ===

impl Scratch {
    /// Creates a directory with mode 0700 under `TMPDIR`, or under `/tmp` if that is too long for
    /// sockets.
    ///
    /// # Errors
    /// If it cannot be created or given to the account, or if there is no shell.
    pub(crate) fn new() -> Result<Self> {
        let account = Account::current()?;
        let wanted = std::env::temp_dir();
        let base = match wanted.as_os_str().len() {
            length if length > LONGEST => PathBuf::from("/tmp"),
            _ => wanted,
        };
        let folder = tempfile::Builder::new()
            .prefix("ark-pg-")
            .permissions(std::fs::Permissions::from_mode(0o700))
            .tempdir_in(&base)
            .map_err(Error::at(&base))?;
        account.own(folder.path())?;
        let mut command = shell(account, "while read -r _; do :; done\nremove \"$1\"");
        let mut keeper = command
            .arg(folder.path())
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(Error::io("sh"))?;
        let pipe = keeper.stdin.take();
        Ok(Self {
            path: folder.keep(),
            account,
            keeper,
            pipe,
        })
    }

    /// Returns the path of the directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn account(&self) -> Account {
        self.account
    }

    /// Creates a subdirectory that only the account can access.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        let mut builder = DirBuilder::new();
        builder
            .mode(0o700)
            .create(&path)
            .map_err(Error::at(&path))?;
        self.account.own(&path)?;
        Ok(path)
    }

    /// Writes a file that only the account can read.
    pub(crate) fn write(&self, path: &Path, text: impl AsRef<[u8]>) -> Result<()> {
        std::fs::write(path, text).map_err(Error::at(path))?;
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(path, private).map_err(Error::at(path))?;
        self.account.own(path)
    }

    /// Sends SIGKILL to all processes in a directory, and waits until they are gone.
    pub(crate) async fn kill(&self, folder: &Path) -> Result<()> {
        let mut command = shell(self.account, "kill_all \"$1\"");
        command.arg(folder);
        run(command, "killing a server").await.map(|_| ())
    }

    /// Removes a server's directory and its remaining processes.
    pub(crate) async fn remove(&self, folder: &Path) -> Result<()> {
        let mut command = shell(self.account, "remove \"$1\"");
        command.arg(folder);
        run(command, "removing a server").await.map(|_| ())
    }

    /// Kills and removes everything; dropping does it too.
    pub(crate) fn close(&mut self) {
        if self.pipe.take().is_none() {
            return;
        }
        let begin = Instant::now();
        while matches!(self.keeper.try_wait(), Ok(None)) {
            if begin.elapsed() > KEEPER {
                // The keeper does not end by itself; continue with the directory.
                let _ = self.keeper.kill();
                let _ = self.keeper.wait();
                break;
            }
            std::thread::sleep(INTERVAL / 2);
        }
        // Usually removed already; a failure cannot be reported here.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.close();
    }
}

/// Builds a shell of the account with the functions above; its arguments follow.
fn shell(account: Account, script: &str) -> Command {
    let mut command = account.command("/bin/sh");
    command
        .arg("-c")
        .arg(format!("{KILL}{REMOVE}{script}"))
        .arg("keeper");
    command
}
