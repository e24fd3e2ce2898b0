//! Copies the data directory of a running server.
//!
//! Uses the server's backup functions instead of `pg_basebackup`, which small installations lack.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::run::run;
use crate::scratch::Scratch;
use crate::server::{SUPERUSER, Server};

/// Copies `$1` to `$2` by way of `$3`. The backup's log repairs files that change or vanish
/// meanwhile, which tar reports with exit code 1.
const COPY: &str = r#"
tar -C "$1" --exclude='./postmaster.*' --exclude='./pg_wal/*' --exclude='./pg_replslot/*' \
  --exclude='./pg_dynshmem/*' --exclude='./pg_stat_tmp/*' -cf "$3" . || [ $? -eq 1 ] || exit 1
tar -C "$2" -xpf "$3" && rm "$3"
"#;

/// When a backup is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wal {
    /// Once the required log is archived.
    Archived,
    /// At once, because the log will be streamed.
    Streamed,
}

/// Takes a backup into a new directory, with its label but without any log.
pub(crate) async fn take(server: &Server, to: &Scratch, name: &str, wal: Wal) -> Result<PathBuf> {
    let folder = to.folder(name)?;
    let session = server.session(SUPERUSER).await?;
    session
        .text("select pg_backup_start('testkit', true)")
        .await?;
    let mut command = to.account().command("/bin/sh");
    command
        .args(["-c", COPY, "backup"])
        .args([server.data(), &folder])
        .arg(to.path().join(format!("{name}.tar")));
    run(command, "a backup by tar").await?;
    let wait = wal == Wal::Archived;
    let stop = format!("select labelfile from pg_backup_stop({wait})");
    let label = session.text(&stop).await?;
    let label = label.ok_or_else(|| Error::State("a backup without a label".to_owned()))?;
    to.write(&folder.join("backup_label"), label)?;
    Ok(folder)
}

/// Copies a backup to a directory that does not exist yet.
pub(crate) async fn copy(scratch: &Scratch, from: &Path, to: &Path) -> Result<()> {
    let mut command = scratch.account().command("cp");
    command.arg("-a").arg(from).arg(to);
    run(command, "cp -a of a backup").await.map(|_| ())
}
