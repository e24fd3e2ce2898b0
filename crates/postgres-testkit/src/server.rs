//! One server.

pub(crate) mod process;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::error::{Error, Result};
use crate::programs::Programs;
use crate::scratch::Scratch;
use crate::session::Session;
use crate::settings::{Builder, Layout, TlsFiles, identifier, literal};
use crate::wait::Wait;
use crate::{ports, template};
use process::Process;

/// Name of the superuser, who needs no password.
pub const SUPERUSER: &str = "postgres";

/// Number of attempts if another process takes the port between the search and the start.
const PORT_TRIES: usize = 5;

/// Characters that must be escaped in a part of a DSN.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

/// How to stop a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Regular shutdown: clients are disconnected and everything is written.
    Fast,
    /// Immediate shutdown: the next start recovers; but unlike in a crash, clients are notified.
    Immediate,
}

/// A server in its own directory; when dropped, it is killed and its files are removed.
#[derive(Debug)]
pub struct Server {
    builder: Builder,
    programs: Programs,
    scratch: Scratch,
    data: PathBuf,
    sockets: PathBuf,
    port: u16,
    process: Process,
}

// === impl Builder ===

impl Builder {
    /// Starts the server and waits until it responds.
    ///
    /// # Errors
    /// If the programs are missing; if it does not start, with the end of its log.
    pub async fn start(self) -> Result<Server> {
        Server::start(self).await
    }
}

// === impl Server ===

impl Server {
    /// Returns a builder with default settings.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    async fn start(builder: Builder) -> Result<Self> {
        let programs = Programs::find().await?;
        let scratch = Scratch::new()?;
        let data = template::cluster(&programs, &scratch, builder.unique).await?;
        let mut server = Self::prepare(builder, programs, scratch, data)?;
        server.run_on_a_free_port().await?;
        let session = server.session(SUPERUSER).await?;
        for (name, password) in &server.builder.users {
            let (name, password) = (identifier(name), literal(password));
            let statement = format!("create role {name} login password {password}");
            let made = session.batch_execute(&statement).await;
            made.map_err(Error::sql(format!("create role {name}")))?;
        }
        Ok(server)
    }

    /// Prepares a server on an existing data directory in its scratch directory, without starting
    /// it.
    pub(crate) fn prepare(
        builder: Builder,
        programs: Programs,
        scratch: Scratch,
        data: PathBuf,
    ) -> Result<Self> {
        let port = builder.port.map_or_else(ports::free, Ok)?;
        let sockets = scratch.folder("s")?;
        let process = Process::new(scratch.path().join("log"));
        Ok(Self {
            builder,
            programs,
            scratch,
            data,
            sockets,
            port,
            process,
        })
    }

    pub(crate) async fn run_on_a_free_port(&mut self) -> Result<()> {
        for _ in 1..PORT_TRIES {
            self.configure("")?;
            match self.start_again().await {
                Err(error) if error.is_port_taken() && self.builder.port.is_none() => {
                    self.port = ports::free()?;
                }
                result => return result,
            }
        }
        self.configure("")?;
        self.start_again().await
    }

    /// Rewrites the configuration files, with additional temporary lines.
    pub(crate) fn configure(&self, more: &str) -> Result<()> {
        let tls = self.builder.tls.as_ref();
        let tls = tls.map(|tls| {
            let copy = |from: &Path, name: &str| {
                let to = self.scratch.path().join(name);
                let text = std::fs::read(from).map_err(Error::at(from))?;
                self.scratch.write(&to, text).map(|()| to)
            };
            let clients = tls.clients.as_ref();
            Ok(TlsFiles {
                certificate: copy(&tls.certificate, "server.crt")?,
                key: copy(&tls.key, "server.key")?,
                clients: clients.map(|from| copy(from, "clients.crt")).transpose()?,
            })
        });
        let layout = Layout {
            sockets: &self.sockets,
            port: self.port,
            tls: tls.transpose()?,
        };
        let text = self.builder.configuration(&layout) + more;
        self.scratch
            .write(&self.data.join("postgresql.conf"), text)?;
        let access = self.builder.access();
        self.scratch.write(&self.data.join("pg_hba.conf"), access)
    }

    /// Starts a stopped or killed server on the same port and data, and waits until it responds.
    ///
    /// # Errors
    /// If it runs; [`Error::Ended`] or [`Error::DeadlineExceeded`] with the end of its log.
    pub async fn start_again(&mut self) -> Result<()> {
        self.launch()?;
        self.answers("an answer", |_| true).await
    }

    /// Starts the process without waiting for a response.
    pub(crate) fn launch(&mut self) -> Result<()> {
        let postgres = self.programs.path("postgres")?;
        let mut command = self.scratch.account().command(postgres);
        command.arg("-D").arg(&self.data);
        self.process.start(command)
    }

    /// Waits until the server responds, in recovery or not as wanted.
    pub(crate) async fn answers(&mut self, what: &str, wanted: fn(bool) -> bool) -> Result<()> {
        let dsn = self.socket_dsn(SUPERUSER);
        let wait = Wait::begin(what);
        loop {
            self.process.check()?;
            let observed = match Session::ask(&dsn, "select pg_is_in_recovery()").await {
                Ok(response) if wanted(response.as_deref() == Some("t")) => return Ok(()),
                Ok(response) => format!("in recovery: {response:?}"),
                Err(error) => error.to_string(),
            };
            let log = || format!("{observed}; its last lines:\n{}", self.process.tail());
            wait.again(log).await?;
        }
    }

    /// Stops the server and waits until it is gone.
    ///
    /// # Errors
    /// If it does not run, or does not stop in time, in which case it is killed.
    pub async fn stop(&mut self, how: Stop) -> Result<()> {
        let ended = self.process.stop(how).await;
        if matches!(ended, Err(Error::DeadlineExceeded { .. })) {
            self.kill9().await?;
        }
        ended
    }

    /// Kills the server and all its processes with SIGKILL, and waits until they are gone. Nothing
    /// is flushed, and clients are not notified.
    ///
    /// # Errors
    /// If a process survives.
    pub async fn kill9(&mut self) -> Result<()> {
        self.scratch.kill(&self.data).await?;
        self.process.reap()
    }

    /// Whether the process is running.
    pub fn is_running(&mut self) -> bool {
        self.process.is_running()
    }

    /// Returns the DSN of a database, as the superuser: over TCP, or over the socket without TCP.
    #[must_use]
    pub fn dsn(&self, database: &str) -> String {
        if self.builder.without_tcp {
            return self.socket_dsn(database);
        }
        tcp_dsn(self.port, database)
    }

    /// As [`Self::dsn`], always over the unix socket.
    #[must_use]
    pub fn socket_dsn(&self, database: &str) -> String {
        let folder = escape(&self.sockets.display().to_string());
        let (port, database) = (self.port, escape(database));
        format!("postgres://{SUPERUSER}@/{database}?host={folder}&port={port}")
    }

    /// As [`Self::dsn`], as a user of [`Builder::user`], with the password.
    ///
    /// # Errors
    /// If there is no such user.
    pub fn user_dsn(&self, user: &str, database: &str) -> Result<String> {
        let known = self.builder.users.iter().find(|(name, _)| name == user);
        let (name, password) =
            known.ok_or_else(|| Error::State(format!("no user {user}: see Builder::user")))?;
        let login = format!("//{}:{}@", escape(name), escape(password));
        Ok(self.dsn(database).replacen("//postgres@", &login, 1))
    }

    /// Returns the host of TCP connections.
    #[must_use]
    pub fn host(&self) -> &'static str {
        "127.0.0.1"
    }

    /// Returns the port, which never changes.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the address of TCP connections, for a [`Proxy`](crate::Proxy).
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        ports::local(self.port)
    }

    /// Returns the directory of the unix socket.
    #[must_use]
    pub fn socket_dir(&self) -> &Path {
        &self.sockets
    }

    /// Returns the data directory.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Returns the path of the server's log.
    #[must_use]
    pub fn log(&self) -> &Path {
        self.process.log()
    }

    /// Returns the programs that run the server.
    #[must_use]
    pub fn programs(&self) -> &Programs {
        &self.programs
    }

    /// Connects as the superuser.
    ///
    /// # Errors
    /// If the server does not respond.
    pub async fn session(&self, database: &str) -> Result<Session> {
        Session::connect(&self.socket_dsn(database)).await
    }

    /// Runs several statements as the superuser.
    ///
    /// # Errors
    /// If the server rejects one.
    pub async fn execute(&self, database: &str, statements: &str) -> Result<()> {
        let session = self.session(database).await?;
        let done = session.batch_execute(statements).await;
        done.map_err(Error::sql(statements))
    }

    /// Creates an empty database, and returns its DSN.
    ///
    /// # Errors
    /// If the server returns an error.
    pub async fn create_database(&self, name: &str) -> Result<String> {
        let statement = format!("create database {}", identifier(name));
        self.execute(SUPERUSER, &statement).await?;
        Ok(self.dsn(name))
    }

    /// Changes a setting at runtime; a setting that needs a restart takes effect at the next start.
    ///
    /// # Errors
    /// If the server rejects it.
    pub async fn set(&self, name: &str, value: &str) -> Result<()> {
        let session = self.session(SUPERUSER).await?;
        let change = format!("alter system set {} = {}", identifier(name), literal(value));
        session
            .batch_execute(&change)
            .await
            .map_err(Error::sql(change))?;
        session.text("select pg_reload_conf()").await.map(|_| ())
    }

    pub(crate) fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    pub(crate) fn users(&self) -> &[(String, String)] {
        &self.builder.users
    }

    /// Sets another data directory for the next start.
    pub(crate) fn move_to(&mut self, data: PathBuf) {
        self.data = data;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.scratch.close();
        // The keeper kills it; only the exit status must be collected.
        let _ = self.process.reap();
    }
}

/// Returns the DSN of a local port, as the superuser.
pub(crate) fn tcp_dsn(port: u16, database: &str) -> String {
    format!(
        "postgres://{SUPERUSER}@127.0.0.1:{port}/{}",
        escape(database)
    )
}

fn escape(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}
