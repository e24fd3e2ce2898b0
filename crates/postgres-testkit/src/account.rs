//! User account of the servers: PostgreSQL and pgbouncer refuse to run as root.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use crate::error::{Error, Result};

/// Account of the servers if the test runs as root; exists on every system.
const UNPRIVILEGED: &str = "nobody";

/// User account of the servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Account {
    /// The user who runs the test.
    Ourselves,
    /// An unprivileged user, because the test runs as root.
    Other {
        /// User id.
        uid: u32,
        /// Group id.
        gid: u32,
    },
}

// === impl Account ===

impl Account {
    /// Returns the account for this process's servers.
    pub(crate) fn current() -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Ourselves);
        }
        let path = Path::new("/etc/passwd");
        let users = std::fs::read_to_string(path).map_err(Error::at(path))?;
        find(&users, UNPRIVILEGED).ok_or_else(|| {
            Error::State(format!(
                "PostgreSQL does not run as root, and there is no user {UNPRIVILEGED} in \
                 /etc/passwd: run the tests as another user"
            ))
        })
    }

    /// Returns the user id of the servers.
    pub(crate) fn uid(self) -> u32 {
        match self {
            Self::Ourselves => rustix::process::geteuid().as_raw(),
            Self::Other { uid, .. } => uid,
        }
    }

    /// Builds a command that runs as the account, in `/`, without environment variables of
    /// PostgreSQL clients.
    pub(crate) fn command(self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        if let Self::Other { uid, gid } = self {
            command.uid(uid).gid(gid);
        }
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PG") {
                command.env_remove(name);
            }
        }
        command.current_dir("/").env("LC_ALL", "C");
        command
    }

    /// Changes the owner of a file or directory to the account.
    pub(crate) fn own(self, path: &Path) -> Result<()> {
        match self {
            Self::Ourselves => Ok(()),
            Self::Other { uid, gid } => chown(path, Some(uid), Some(gid)).map_err(Error::at(path)),
        }
    }
}

fn find(users: &str, name: &str) -> Option<Account> {
    let line = users
        .lines()
        .find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    let uid = fields.next()?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    Some(Account::Other { uid, gid })
}

#[cfg(test)]
mod tests {
    use super::{Account, find};

    #[test]
    fn account_is_matched_by_full_name() {
        let users = "nobody2:x:1:2::/:/bin/sh\nnobody:x:65534:65533::/:/bin/false\n";
        let expected = Account::Other {
            uid: 65534,
            gid: 65533,
        };
        assert_eq!(find(users, "nobody"), Some(expected));
        assert_eq!(find(users, "somebody"), None);
    }
}
