//! A PostgreSQL server for one engine.

use anyhow::{Context as _, Result};
use postgres_testkit::{Server, Stop};

/// A server with an empty database; killed and removed when dropped.
#[derive(Debug)]
pub struct Postgres {
    server: Server,
    dsn: String,
}

impl Postgres {
    /// Starts one with the settings of a real one: what is committed is on the disk.
    ///
    /// # Errors
    /// When there is no PostgreSQL on this machine, or it does not start.
    pub async fn start() -> Result<Self> {
        let server = Server::builder().fsync(true).start().await?;
        let dsn = server.create_database("objects").await?;
        Ok(Self {
            server,
            // It has no certificate, and not every client does without one unasked.
            dsn: format!("{dsn}?sslmode=disable"),
        })
    }

    /// How the database is reached.
    #[must_use]
    pub fn dsn(&self) -> &str {
        &self.dsn
    }

    /// Says that the server has ended, when it has.
    pub fn ended(&mut self) -> Option<String> {
        (!self.server.is_running()).then(|| "PostgreSQL ended".to_owned())
    }

    /// Asks the server to end and waits.
    ///
    /// # Errors
    /// When it does not end by itself, which it must even then.
    pub async fn stop(mut self) -> Result<()> {
        self.server.stop(Stop::Fast).await.context("PostgreSQL")
    }
}
