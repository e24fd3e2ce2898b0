//! Whom servers run as: PostgreSQL and pgbouncer refuse to be root.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use crate::error::{Error, Result};

/// The account for root's servers; every system has it.
const UNPRIVILEGED: &str = "nobody";

/// Whom servers run as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Account {
    /// Whoever runs the test.
    Ourselves,
    /// Somebody else, because we are root.
    Other {
        /// User id.
        uid: u32,
        /// Group id.
        gid: u32,
    },
}

// === impl Account ===

impl Account {
    /// The account of this process's servers.
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

    /// The user id of the servers.
    pub(crate) fn uid(self) -> u32 {
        match self {
            Self::Ourselves => rustix::process::geteuid().as_raw(),
            Self::Other { uid, .. } => uid,
        }
    }

    /// A command that runs under the account, in `/` and without the settings of our own clients.
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

    /// Gives a file or directory of ours to the account.
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
    fn the_account_is_read_by_its_whole_name() {
        let users = "nobody2:x:1:2::/:/bin/sh\nnobody:x:65534:65533::/:/bin/false\n";
        let expected = Account::Other {
            uid: 65534,
            gid: 65533,
        };
        assert_eq!(find(users, "nobody"), Some(expected));
        assert_eq!(find(users, "somebody"), None);
    }
}
