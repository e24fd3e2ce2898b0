//! A primary with an asynchronous standby, and what a fail-over does to both.

use crate::backup::{self, Wal};
use crate::error::{Error, Result};
use crate::proxy::{Mode, Proxy};
use crate::scratch::Scratch;
use crate::server::{SUPERUSER, Server};
use crate::session::Session;
use crate::settings::Builder;
use crate::wait::Wait;

/// Enough of the log for a standby that was cut off for a test's time.
const KEPT: &str = "512MB";

/// A primary and a standby that streams from it through a [`Proxy`].
///
/// The standby is asynchronous: a commit does not wait for it. To lose commits for certain, call
/// [`Pair::cut_replication`] before them and [`Pair::promote`] after them.
#[derive(Debug)]
pub struct Pair {
    primary: Server,
    standby: Server,
    link: Proxy,
}

// === impl Pair ===

impl Pair {
    /// Starts both, with the same settings, and waits until the standby streams.
    ///
    /// # Errors
    /// As for a [`Server`]; if the builder excludes TCP, over which they stream.
    pub async fn start(builder: Builder) -> Result<Self> {
        if builder.without_tcp {
            return Err(Error::State("a pair streams over TCP".to_owned()));
        }
        let builder = builder.setting("wal_keep_size", KEPT);
        let primary = builder.clone().start().await?;
        let link = Proxy::start(primary.address()).await?;
        let standby = standby(builder, &primary, &link).await?;
        let pair = Self {
            primary,
            standby,
            link,
        };
        pair.streams(true).await?;
        pair.caught_up().await?;
        Ok(pair)
    }

    /// The server that began as the primary.
    #[must_use]
    pub fn primary(&self) -> &Server {
        &self.primary
    }

    /// As [`Self::primary`], to stop it or to start it again.
    pub fn primary_mut(&mut self) -> &mut Server {
        &mut self.primary
    }

    /// The server that began as the standby.
    #[must_use]
    pub fn standby(&self) -> &Server {
        &self.standby
    }

    /// As [`Self::standby`], to stop it or to start it again.
    pub fn standby_mut(&mut self) -> &mut Server {
        &mut self.standby
    }

    /// What lies between them, for delays.
    pub fn link(&mut self) -> &mut Proxy {
        &mut self.link
    }

    /// A DSN with both servers, for clients which look for the one that can be written.
    #[must_use]
    pub fn dsn(&self, database: &str) -> String {
        let first = self.primary.dsn(database);
        let (one, other) = (self.primary.address(), self.standby.address());
        let both = first.replacen(&one.to_string(), &format!("{one},{other}"), 1);
        format!("{both}?target_session_attrs=read-write")
    }

    /// SIGKILL to all processes of the primary; done when they are gone and the standby noticed.
    ///
    /// # Errors
    /// If a process survives, or the standby goes on streaming.
    pub async fn kill_primary(&mut self) -> Result<()> {
        self.primary.kill9().await?;
        self.receives(false).await
    }

    /// Makes the standby a primary; done when it accepts writes. What it had received is replayed
    /// first, also when replay was paused; what it had not received is lost. The old primary is
    /// not stopped.
    ///
    /// # Errors
    /// If it does not become one in time.
    pub async fn promote(&mut self) -> Result<()> {
        let session = self.standby.session(SUPERUSER).await?;
        let promoted = session.text("select pg_promote(true, 60)").await?;
        if promoted.as_deref() != Some("t") {
            return Err(Error::State("the standby does not promote".to_owned()));
        }
        drop(session);
        self.standby
            .answers("a writable server", |recovers| !recovers)
            .await
    }

    /// Stops streaming; done when both ends know. Commits of the primary are lost from now on if
    /// the standby is promoted.
    ///
    /// # Errors
    /// If a server does not answer.
    pub async fn cut_replication(&mut self) -> Result<()> {
        self.link.set(Mode::Refuse).await?;
        self.streams(false).await
    }

    /// Lets the standby stream again; done when it has all that the primary had by then.
    ///
    /// # Errors
    /// If it does not, for instance because its timeline has parted.
    pub async fn restore_replication(&mut self) -> Result<()> {
        self.link.set(Mode::Forward).await?;
        self.streams(true).await?;
        self.caught_up().await
    }

    /// Freezes what the standby shows, while it still receives; done when it is frozen.
    ///
    /// # Errors
    /// If the standby refuses.
    pub async fn pause_replay(&self) -> Result<()> {
        let session = self.standby.session(SUPERUSER).await?;
        session.text("select pg_wal_replay_pause()").await?;
        let asked = "select pg_get_wal_replay_pause_state() = 'paused'";
        holds(&session, "paused replay", asked).await
    }

    /// Undoes [`Self::pause_replay`].
    ///
    /// # Errors
    /// If the standby refuses.
    pub async fn resume_replay(&self) -> Result<()> {
        let session = self.standby.session(SUPERUSER).await?;
        session.text("select pg_wal_replay_resume()").await?;
        let asked = "select pg_get_wal_replay_pause_state() = 'not paused'";
        holds(&session, "replay", asked).await
    }

    /// Waits until the standby shows all that is committed on the primary now.
    ///
    /// # Errors
    /// If it does not get there in time.
    pub async fn caught_up(&self) -> Result<()> {
        self.reaches("pg_last_wal_replay_lsn()").await
    }

    /// Waits until the standby has all that is committed on the primary now, shown or not.
    ///
    /// # Errors
    /// If it does not get there in time.
    pub async fn received(&self) -> Result<()> {
        self.reaches("pg_last_wal_receive_lsn()").await
    }

    async fn reaches(&self, position: &str) -> Result<()> {
        let session = self.primary.session(SUPERUSER).await?;
        let wanted = session.text("select pg_current_wal_flush_lsn()").await?;
        let wanted = wanted.unwrap_or_default();
        let asked = format!("select {position} >= '{wanted}'::pg_lsn");
        let session = self.standby.session(SUPERUSER).await?;
        holds(&session, "the standby", &asked).await
    }

    /// Waits until both servers agree whether they stream.
    async fn streams(&self, wanted: bool) -> Result<()> {
        let session = self.primary.session(SUPERUSER).await?;
        let senders = "exists (select from pg_stat_replication where state = 'streaming')";
        holds(
            &session,
            "the primary's sender",
            &format!("select {wanted} = {senders}"),
        )
        .await?;
        self.receives(wanted).await
    }

    async fn receives(&self, wanted: bool) -> Result<()> {
        let session = self.standby.session(SUPERUSER).await?;
        let receivers = "exists (select from pg_stat_wal_receiver where status = 'streaming')";
        let asked = format!("select {wanted} = {receivers}");
        holds(&session, "the standby's receiver", &asked).await
    }
}

async fn standby(mut builder: Builder, primary: &Server, link: &Proxy) -> Result<Server> {
    let scratch = Scratch::new()?;
    let data = backup::take(primary, &scratch, "data", Wal::Streamed).await?;
    scratch.write(&data.join("standby.signal"), "")?;
    builder.port = None;
    let port = link.address().port();
    let source = format!("host=127.0.0.1 port={port} user={SUPERUSER} application_name=standby");
    let builder = builder
        .setting("primary_conninfo", &source)
        // A standby that was cut off is back quickly, and tells soon what it has.
        .setting("wal_retrieve_retry_interval", "100ms")
        .setting("wal_receiver_status_interval", "1s");
    let mut server = Server::prepare(builder, primary.programs().clone(), scratch, data)?;
    server.run_on_a_free_port().await?;
    Ok(server)
}

/// Waits until a question is answered with yes.
async fn holds(session: &Session, what: &str, asked: &str) -> Result<()> {
    let wait = Wait::begin(what);
    loop {
        let answer = session.text(asked).await?;
        if answer.as_deref() == Some("t") {
            return Ok(());
        }
        wait.again(|| format!("{asked}: {answer:?}")).await?;
    }
}
