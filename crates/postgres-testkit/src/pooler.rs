//! A pgbouncer in front of a server.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::programs::path_folders;
use crate::scratch::Scratch;
use crate::server::process::Process;
use crate::server::{SUPERUSER, Server};
use crate::session::Session;
use crate::wait::Wait;
use crate::{ports, server};

/// Directory in which distributions install daemons, and which is often missing in `PATH`.
const SYSTEM: &str = "/usr/sbin";

/// When a client's server connection returns to the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolMode {
    /// When the client disconnects.
    Session,
    /// After each transaction. Session state, such as LISTEN, does not work.
    Transaction,
}

/// A pooler; when dropped, it is killed and its files are removed.
///
/// It accepts `postgres` and the server's users without passwords, and logs in at the server with
/// the known ones.
#[derive(Debug)]
pub struct Pooler {
    port: u16,
    process: Process,
    scratch: Scratch,
}

// === impl Pooler ===

impl Pooler {
    /// Finds the program `pgbouncer`.
    ///
    /// # Errors
    /// [`Error::Missing`] if it is neither on the `PATH` nor in `/usr/sbin`.
    pub fn find() -> Result<PathBuf> {
        let mut places = path_folders();
        places.push(PathBuf::from(SYSTEM));
        let found = places.iter().map(|place| place.join("pgbouncer"));
        found
            .into_iter()
            .find(|path| path.is_file())
            .ok_or_else(|| {
                let looked: Vec<String> = places.iter().map(|p| p.display().to_string()).collect();
                Error::Missing {
                    program: "pgbouncer",
                    looked: looked.join(", "),
                    advice: "install the package pgbouncer, or run dev/bootstrap as root"
                        .to_owned(),
                }
            })
    }

    /// Starts a pooler in front of a server, over its unix socket.
    ///
    /// # Errors
    /// If the program is missing; if it does not start, with the end of its log.
    pub async fn start(server: &Server, mode: PoolMode) -> Result<Self> {
        let folder = server.socket_dir().display().to_string();
        Self::launch(&folder, server.port(), server.users(), mode).await
    }

    /// As [`Self::start`], over TCP to an address such as a [`Proxy`](crate::Proxy)'s.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_at(address: SocketAddr, server: &Server, mode: PoolMode) -> Result<Self> {
        let host = address.ip().to_string();
        Self::launch(&host, address.port(), server.users(), mode).await
    }

    async fn launch(
        host: &str,
        port: u16,
        users: &[(String, String)],
        mode: PoolMode,
    ) -> Result<Self> {
        let program = Self::find()?;
        let scratch = Scratch::new()?;
        // Its working directory, by which the keeper identifies the process.
        let folder = scratch.folder("pooler")?;
        let own = ports::free()?;
        let (file, list) = (folder.join("pgbouncer.ini"), folder.join("users"));
        scratch.write(&list, user_list(users))?;
        scratch.write(&file, configuration(host, port, own, &list, mode))?;
        let mut command = scratch.account().command(program);
        command.arg("-q").arg(&file).current_dir(&folder);
        let mut process = Process::new(folder.join("log"));
        process.start(command)?;
        let mut pooler = Self {
            port: own,
            process,
            scratch,
        };
        pooler.answers().await?;
        Ok(pooler)
    }

    async fn answers(&mut self) -> Result<()> {
        let dsn = self.dsn(SUPERUSER);
        let wait = Wait::begin("an answer through the pooler");
        loop {
            self.process.check()?;
            let Err(error) = Session::ask(&dsn, "select 1").await else {
                return Ok(());
            };
            let log = || format!("{error}; its last lines:\n{}", self.process.tail());
            wait.again(log).await?;
        }
    }

    /// Returns the DSN of a database through the pooler, as the superuser.
    #[must_use]
    pub fn dsn(&self, database: &str) -> String {
        server::tcp_dsn(self.port, database)
    }

    /// Returns the listening address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        ports::local(self.port)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        self.scratch.close();
        // The keeper kills it; only the exit status must be collected.
        let _ = self.process.reap();
    }
}

fn configuration(host: &str, port: u16, own: u16, list: &Path, mode: PoolMode) -> String {
    let mode = match mode {
        PoolMode::Session => "session",
        PoolMode::Transaction => "transaction",
    };
    format!(
        "[databases]\n\
         * = host={host} port={port}\n\
         [pgbouncer]\n\
         listen_addr = 127.0.0.1\n\
         listen_port = {own}\n\
         unix_socket_dir =\n\
         auth_type = trust\n\
         auth_file = {}\n\
         admin_users = {SUPERUSER}\n\
         pool_mode = {mode}\n\
         max_client_conn = 500\n\
         default_pool_size = 20\n\
         ignore_startup_parameters = extra_float_digits\n",
        list.display()
    )
}

/// Formats names and passwords, one user per line.
fn user_list(users: &[(String, String)]) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let mut lines = format!("{} \"\"\n", quoted(SUPERUSER));
    for (name, password) in users {
        // Writing to a String cannot fail.
        let _ = writeln!(lines, "{} {}", quoted(name), quoted(password));
    }
    lines
}
