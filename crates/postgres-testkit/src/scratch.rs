//! A temporary directory with a keeper.
//!
//! `Drop` is not enough: a test binary can be killed, and then its servers would live on. So each
//! directory has a keeper, a shell in a process group of its own that reads from a pipe of ours. When
//! the other end closes, for whatever reason, it kills every process that works in the directory and
//! removes it. Dropping a [`Scratch`] closes the pipe and waits for the keeper: there is one way out,
//! and every test goes it.

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

/// A socket's path has at most 107 bytes; the directory leaves that much for the rest.
const LONGEST: usize = 60;

/// How long a keeper may take.
const KEEPER: Duration = Duration::from_secs(20);

/// Kills all that works in `$1`, until nothing does. A process is known by its working directory,
/// which a server and its children do not leave, and not by a number that may be another's by now.
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

/// A killed server leaves its segment of shared memory, which outlives its directory.
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

/// A directory of the servers' account that is gone, with all that runs in it, when this is.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    account: Account,
    keeper: Child,
    pipe: Option<ChildStdin>,
}

// === impl Scratch ===

impl Scratch {
    /// Makes a directory under `TMPDIR`, or `/tmp` where that is too long for sockets, mode 0700.
    ///
    /// # Errors
    /// If it cannot be made or given to the account, or if there is no shell.
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

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn account(&self) -> Account {
        self.account
    }

    /// Makes a directory in it, for the account alone.
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

    /// Writes a file of the account, which alone can read it.
    pub(crate) fn write(&self, path: &Path, text: impl AsRef<[u8]>) -> Result<()> {
        std::fs::write(path, text).map_err(Error::at(path))?;
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(path, private).map_err(Error::at(path))?;
        self.account.own(path)
    }

    /// Sends SIGKILL to all that works in a directory, and waits until it is gone.
    pub(crate) async fn kill(&self, folder: &Path) -> Result<()> {
        let mut command = shell(self.account, "kill_all \"$1\"");
        command.arg(folder);
        run(command, "killing a server").await.map(|_| ())
    }

    /// Removes a directory of a server, with what still works in it.
    pub(crate) async fn remove(&self, folder: &Path) -> Result<()> {
        let mut command = shell(self.account, "remove \"$1\"");
        command.arg(folder);
        run(command, "removing a server").await.map(|_| ())
    }

    /// Kills and removes everything; also done by drop.
    pub(crate) fn close(&mut self) {
        if self.pipe.take().is_none() {
            return;
        }
        let begin = Instant::now();
        while matches!(self.keeper.try_wait(), Ok(None)) {
            if begin.elapsed() > KEEPER {
                // It will not end by itself; the directory is all that is left to us.
                let _ = self.keeper.kill();
                let _ = self.keeper.wait();
                break;
            }
            std::thread::sleep(INTERVAL / 2);
        }
        // Normally gone; nobody can be told if it cannot be removed.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.close();
    }
}

/// A shell of the account with the functions above; its arguments follow.
fn shell(account: Account, script: &str) -> Command {
    let mut command = account.command("/bin/sh");
    command
        .arg("-c")
        .arg(format!("{KILL}{REMOVE}{script}"))
        .arg("keeper");
    command
}
