//! A server with point-in-time recovery.

use std::path::PathBuf;

use crate::backup::{self, Wal};
use crate::error::{Error, Result};
use crate::run::run;
use crate::scratch::Scratch;
use crate::server::{SUPERUSER, Server, Stop};
use crate::settings::{Builder, line, literal};

/// Copies to `$2` the segments of the log in `$1` that a killed server had not archived.
const SALVAGE: &str = r#"
for file in "$1"/pg_wal/0*; do
  [ ! -f "$file" ] || [ -e "$2/${file##*/}" ] || cp "$file" "$2/" || exit 1
done
"#;

/// Target of a recovery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A restore point made by [`Archive::restore_point`].
    Point(String),
    /// A time of the server's clock, as returned by [`Archive::clock`]: the last state before it. A
    /// later commit must exist, or the server refuses to start.
    Time(String),
    /// The last commit.
    Latest,
}

/// A server with an archived log, and its base backups.
#[derive(Debug)]
pub struct Archive {
    server: Server,
    /// Holds the log under `wal`, and the backups.
    scratch: Scratch,
    wal: PathBuf,
    base: Option<PathBuf>,
    backups: u32,
    restores: u32,
}

// === impl Archive ===

impl Archive {
    /// Starts a server that archives.
    ///
    /// # Errors
    /// As for a [`Server`].
    pub async fn start(builder: Builder) -> Result<Self> {
        let scratch = Scratch::new()?;
        let wal = scratch.folder("wal")?;
        let folder = wal.display();
        // Rename last, so that an existing file is always complete.
        let command = format!(
            "test ! -f '{folder}/%f' && cp '%p' '{folder}/%f.part' \
             && mv '{folder}/%f.part' '{folder}/%f'"
        );
        let builder = builder
            .setting("archive_mode", "on")
            .setting("archive_command", &command);
        Ok(Self {
            server: builder.start().await?,
            scratch,
            wal,
            base: None,
            backups: 0,
            restores: 0,
        })
    }

    /// Returns the server; its address survives restores.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// As [`Self::server`], for stopping or killing it.
    pub fn server_mut(&mut self) -> &mut Server {
        &mut self.server
    }

    /// Takes the base backup for the next restores; returns when its log is archived.
    ///
    /// # Errors
    /// If the server returns an error.
    pub async fn base_backup(&mut self) -> Result<()> {
        self.backups += 1;
        let name = format!("base{}", self.backups);
        let taken = backup::take(&self.server, &self.scratch, &name, Wal::Archived).await?;
        self.base = Some(taken);
        Ok(())
    }

    /// Creates a named restore point.
    ///
    /// # Errors
    /// If the server returns an error.
    pub async fn restore_point(&self, name: &str) -> Result<Target> {
        let session = self.server.session(SUPERUSER).await?;
        let statement = format!("select pg_create_restore_point({})", literal(name));
        session.text(&statement).await?;
        Ok(Target::Point(name.to_owned()))
    }

    /// Reads the server's clock, for [`Target::Time`].
    ///
    /// # Errors
    /// If the server does not respond.
    pub async fn clock(&self) -> Result<Target> {
        let session = self.server.session(SUPERUSER).await?;
        let now = session.text("select clock_timestamp()").await?;
        Ok(Target::Time(now.unwrap_or_default()))
    }

    /// Restores the server to a target on the same port, after stopping it if it runs; returns when
    /// it accepts writes. Its history continues on a new timeline, which later restores follow.
    ///
    /// # Errors
    /// If there is no backup before the target; if recovery fails, with the server's log.
    pub async fn restore_to(&mut self, target: &Target) -> Result<()> {
        let base = self.base.clone().ok_or_else(|| {
            Error::State("there is no backup to restore: call base_backup".to_owned())
        })?;
        if self.server.is_running() {
            // A regular stop archives the last segment of the log.
            self.server.stop(Stop::Fast).await?;
        }
        self.salvage().await?;
        self.restores += 1;
        let place = self.server.scratch();
        let data = place.path().join(format!("data{}", self.restores));
        backup::copy(place, &base, &data).await?;
        place.write(&data.join("recovery.signal"), "")?;
        let old = self.server.data().to_path_buf();
        self.server.move_to(data);
        self.server.configure(&self.recovery(target))?;
        self.server.launch()?;
        self.server
            .answers("the end of recovery", |recovers| !recovers)
            .await?;
        // The next start is not a recovery.
        self.server.configure("")?;
        self.server.scratch().remove(&old).await
    }

    async fn salvage(&self) -> Result<()> {
        let mut command = self.scratch.account().command("/bin/sh");
        command
            .args(["-c", SALVAGE, "salvage"])
            .args([self.server.data(), &self.wal]);
        run(command, "archiving the rest of the log")
            .await
            .map(|_| ())
    }

    fn recovery(&self, target: &Target) -> String {
        let fetch = format!("cp '{}/%f' '%p'", self.wal.display());
        let goal = match target {
            Target::Point(name) => line("recovery_target_name", name),
            Target::Time(time) => line("recovery_target_time", time),
            Target::Latest => String::new(),
        };
        let restore = line("restore_command", &fetch);
        let promote = line("recovery_target_action", "promote");
        format!("{restore}{promote}{goal}")
    }
}
