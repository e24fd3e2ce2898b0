//! `postgres-testkit`: one throw-away server in the foreground.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line talks to its user"
)]

use anyhow::Result;
use clap::Parser;
use postgres_testkit::{PoolMode, Pooler, Server};
use tokio::signal::unix::{SignalKind, signal};

/// Starts a PostgreSQL server with a database of its own, prints its DSN on one line, and serves
/// until Ctrl-C or SIGTERM; then everything of it is removed.
#[derive(Debug, Parser)]
#[command(name = "postgres-testkit", version)]
struct Arguments {
    /// The database to make.
    #[arg(long, value_name = "NAME", default_value = "ark")]
    database: String,
    /// TCP port on 127.0.0.1 [default: a free one].
    #[arg(long)]
    port: Option<u16>,
    /// Commits reach the disk, as in production; without it they survive only a crash of the server.
    #[arg(long)]
    fsync: bool,
    /// A line of postgresql.conf; may be repeated.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting)]
    settings: Vec<(String, String)>,
    /// Put a pgbouncer in front, and print its DSN.
    #[arg(long, value_enum)]
    pool: Option<Pool>,
}

/// How the pooler shares connections.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Pool {
    /// Until the client disconnects.
    Session,
    /// For one transaction.
    Transaction,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    // Before the start, so that no signal finds us unprepared.
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    tokio::select! {
        result = serve(&arguments) => result,
        _ = terminated.recv() => Ok(()),
        _ = interrupted.recv() => Ok(()),
    }
}

/// Serves until it is dropped.
async fn serve(arguments: &Arguments) -> Result<()> {
    let mut builder = Server::builder().fsync(arguments.fsync);
    if let Some(port) = arguments.port {
        builder = builder.port(port);
    }
    for (name, value) in &arguments.settings {
        builder = builder.setting(name, value);
    }
    let server = builder.start().await?;
    let mut dsn = server.create_database(&arguments.database).await?;
    let mode = arguments.pool.map(|pool| match pool {
        Pool::Session => PoolMode::Session,
        Pool::Transaction => PoolMode::Transaction,
    });
    let mut pooler = None;
    if let Some(mode) = mode {
        let started = Pooler::start(&server, mode).await?;
        dsn = started.dsn(&arguments.database);
        pooler = Some(started);
    }
    println!("{dsn}");
    let (version, log) = (server.programs().version(), server.log().display());
    eprintln!("PostgreSQL {version}, log in {log}; Ctrl-C ends and removes it");
    std::future::pending::<()>().await;
    drop(pooler);
    Ok(())
}

fn setting(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=');
    let (name, value) = parts.ok_or("it must be NAME=VALUE")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}
