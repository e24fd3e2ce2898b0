//! A primary with an asynchronous standby, and fail-overs between them.

use crate::backup::{self, Wal};
use crate::error::{Error, Result};
use crate::proxy::{Mode, Proxy};
use crate::scratch::Scratch;
use crate::server::{SUPERUSER, Server};
use crate::session::Session;
use crate::settings::Builder;
use crate::wait::Wait;

/// Size of the log kept for a standby that is disconnected during a test.
const KEPT: &str = "512MB";

/// A primary and a standby that streams from it through a [`Proxy`].
///
/// The standby is asynchronous: a commit does not wait for it. To lose commits reliably, call
/// [`Pair::cut_replication`] before them and [`Pair::promote`] after them.
#[derive(Debug)]
pub struct Pair {
    primary: Server,
    standby: Server,
    link: Proxy,
}

// === impl Pair ===

impl Pair {
    /// Starts both servers with the same settings, and waits until the standby streams.
    ///
    /// # Errors
    /// As for a [`Server`]; if the builder disables TCP, which replication needs.
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

    /// Returns the original primary.
    #[must_use]
    pub fn primary(&self) -> &Server {
        &self.primary
    }

    /// As [`Self::primary`], for stopping or restarting it.
    pub fn primary_mut(&mut self) -> &mut Server {
        &mut self.primary
    }

    /// Returns the original standby.
    #[must_use]
    pub fn standby(&self) -> &Server {
        &self.standby
    }

    /// As [`Self::standby`], for stopping or restarting it.
    pub fn standby_mut(&mut self) -> &mut Server {
        &mut self.standby
    }

    /// Returns the proxy between them, for delays.
    pub fn link(&mut self) -> &mut Proxy {
        &mut self.link
    }

    /// Returns a DSN with both servers, for clients that select the writable one.
    #[must_use]
    pub fn dsn(&self, database: &str) -> String {
        let first = self.primary.dsn(database);
        let (one, other) = (self.primary.address(), self.standby.address());
        let both = first.replacen(&one.to_string(), &format!("{one},{other}"), 1);
        format!("{both}?target_session_attrs=read-write")
    }

    /// Kills all processes of the primary with SIGKILL; returns when they are gone and the standby
    /// has noticed.
    ///
    /// # Errors
    /// If a process survives, or the standby still streams.
    pub async fn kill_primary(&mut self) -> Result<()> {
        self.primary.kill9().await?;
        self.receives(false).await
    }

    /// Promotes the standby; returns when it accepts writes. The received log is replayed first,
    /// even if replay was paused; everything not received is lost. The old primary is not stopped.
    ///
    /// # Errors
    /// If the promotion does not finish in time.
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

    /// Stops replication; returns when both sides have noticed. Later commits of the primary are
    /// lost if the standby is promoted.
    ///
    /// # Errors
    /// If a server does not respond.
    pub async fn cut_replication(&mut self) -> Result<()> {
        self.link.set(Mode::Refuse).await?;
        self.streams(false).await
    }

    /// Resumes replication; returns when the standby has everything that the primary had at the
    /// call.
    ///
    /// # Errors
    /// If it does not catch up, for instance because the timelines diverged.
    pub async fn restore_replication(&mut self) -> Result<()> {
        self.link.set(Mode::Forward).await?;
        self.streams(true).await?;
        self.caught_up().await
    }

    /// Pauses replay on the standby, which still receives; returns when it is paused.
    ///
    /// # Errors
    /// If the standby returns an error.
    pub async fn pause_replay(&self) -> Result<()> {
        let session = self.standby.session(SUPERUSER).await?;
        session.text("select pg_wal_replay_pause()").await?;
        let requested = "select pg_get_wal_replay_pause_state() = 'paused'";
        holds(&session, "paused replay", requested).await
    }

    /// Reverts [`Self::pause_replay`].
    ///
    /// # Errors
    /// If the standby returns an error.
    pub async fn resume_replay(&self) -> Result<()> {
        let session = self.standby.session(SUPERUSER).await?;
        session.text("select pg_wal_replay_resume()").await?;
        let requested = "select pg_get_wal_replay_pause_state() = 'not paused'";
        holds(&session, "replay", requested).await
    }

    /// Waits until the standby has replayed all current commits of the primary.
    ///
    /// # Errors
    /// If it does not in time.
    pub async fn caught_up(&self) -> Result<()> {
        self.reaches("pg_last_wal_replay_lsn()").await
    }

    /// Waits until the standby has received all current commits of the primary, replayed or not.
    ///
    /// # Errors
    /// If it does not in time.
    pub async fn received(&self) -> Result<()> {
        self.reaches("pg_last_wal_receive_lsn()").await
    }

    async fn reaches(&self, position: &str) -> Result<()> {
        let session = self.primary.session(SUPERUSER).await?;
        let wanted = session.text("select pg_current_wal_flush_lsn()").await?;
        let wanted = wanted.unwrap_or_default();
        let requested = format!("select {position} >= '{wanted}'::pg_lsn");
        let session = self.standby.session(SUPERUSER).await?;
        holds(&session, "the standby", &requested).await
    }

    /// Waits until both servers report that replication runs, or that it does not.
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
        let requested = format!("select {wanted} = {receivers}");
        holds(&session, "the standby's receiver", &requested).await
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
        // A disconnected standby reconnects quickly, and reports its progress soon.
        .setting("wal_retrieve_retry_interval", "100ms")
        .setting("wal_receiver_status_interval", "1s");
    let mut server = Server::prepare(builder, primary.programs().clone(), scratch, data)?;
    server.run_on_a_free_port().await?;
    Ok(server)
}

/// Waits until a query returns true.
async fn holds(session: &Session, what: &str, requested: &str) -> Result<()> {
    let wait = Wait::begin(what);
    loop {
        let response = session.text(requested).await?;
        if response.as_deref() == Some("t") {
            return Ok(());
        }
        wait.again(|| format!("{requested}: {response:?}")).await?;
    }
}
