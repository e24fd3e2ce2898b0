//! A server that can be put back to an earlier time.

use std::path::PathBuf;

use crate::backup::{self, Wal};
use crate::error::{Error, Result};
use crate::run::run;
use crate::scratch::Scratch;
use crate::server::{SUPERUSER, Server, Stop};
use crate::settings::{Builder, line, literal};

/// Copies to `$2` what of the log in `$1` a killed server had not archived.
const SALVAGE: &str = r#"
for file in "$1"/pg_wal/0*; do
  [ ! -f "$file" ] || [ -e "$2/${file##*/}" ] || cp "$file" "$2/" || exit 1
done
"#;

/// A moment to which a server is put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// What [`Archive::restore_point`] marked.
    Point(String),
    /// A time of the server's clock, as [`Archive::clock`] writes it: the last state before it. A
    /// later commit must have been made, or the server refuses to start.
    Time(String),
    /// The last that was committed.
    Latest,
}

/// A server whose log is archived, and its backups.
#[derive(Debug)]
pub struct Archive {
    server: Server,
    /// The log under `wal`, and the backups.
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
        // Renamed last, so that a file which is there is whole.
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

    /// The server; the same address before and after a restore.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// As [`Self::server`], to stop or kill it.
    pub fn server_mut(&mut self) -> &mut Server {
        &mut self.server
    }

    /// Takes the backup from which the next restores start; done when its log is archived.
    ///
    /// # Errors
    /// If the server refuses.
    pub async fn base_backup(&mut self) -> Result<()> {
        self.backups += 1;
        let name = format!("base{}", self.backups);
        let taken = backup::take(&self.server, &self.scratch, &name, Wal::Archived).await?;
        self.base = Some(taken);
        Ok(())
    }

    /// Marks this moment with a name.
    ///
    /// # Errors
    /// If the server refuses.
    pub async fn restore_point(&self, name: &str) -> Result<Target> {
        let session = self.server.session(SUPERUSER).await?;
        let statement = format!("select pg_create_restore_point({})", literal(name));
        session.text(&statement).await?;
        Ok(Target::Point(name.to_owned()))
    }

    /// The server's clock, for [`Target::Time`].
    ///
    /// # Errors
    /// If the server does not answer.
    pub async fn clock(&self) -> Result<Target> {
        let session = self.server.session(SUPERUSER).await?;
        let now = session.text("select clock_timestamp()").await?;
        Ok(Target::Time(now.unwrap_or_default()))
    }

    /// Stops the server, if it runs, and starts it on the same port with the data of an earlier
    /// moment; done when it accepts writes. Its history goes on from there, on a new timeline, and
    /// later restores follow that one.
    ///
    /// # Errors
    /// Without a backup before the moment; with the server's log if it does not get there.
    pub async fn restore_to(&mut self, target: &Target) -> Result<()> {
        let base = self.base.clone().ok_or_else(|| {
            Error::State("there is no backup to restore: call base_backup".to_owned())
        })?;
        if self.server.is_running() {
            // An ordinary stop archives the last piece of the log.
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
        // The next start recovers nothing.
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
