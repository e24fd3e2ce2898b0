//! A PostgreSQL server for one engine.

use anyhow::{Context as _, Result};
use postgres_testkit::{Server, Stop};

/// A server with an empty database; killed and deleted when dropped.
#[derive(Debug)]
pub struct Postgres {
    server: Server,
    dsn: String,
}

impl Postgres {
    /// Starts a server with durable commits (`fsync` on).
    ///
    /// # Errors
    /// If PostgreSQL is not installed or does not start.
    pub async fn start() -> Result<Self> {
        let server = Server::builder().fsync(true).start().await?;
        let dsn = server.create_database("objects").await?;
        Ok(Self {
            server,
            // The server has no certificate, and some clients require TLS by default.
            dsn: format!("{dsn}?sslmode=disable"),
        })
    }

    /// Connection string of the database.
    #[must_use]
    pub fn dsn(&self) -> &str {
        &self.dsn
    }

    /// Exit status of the server if it has ended.
    pub fn ended(&mut self) -> Option<String> {
        (!self.server.is_running()).then(|| "PostgreSQL ended".to_owned())
    }

    /// Stops the server and waits.
    ///
    /// # Errors
    /// If it does not shut down in time; it is killed in that case.
    pub async fn stop(mut self) -> Result<()> {
        self.server.stop(Stop::Fast).await.context("PostgreSQL")
    }
}
