//! `postgres-testkit`: runs one temporary server in the foreground.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line talks to its user"
)]

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser;
use postgres_testkit::{PoolMode, Pooler, Server, Session};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

/// Environment variable with the DSN for the command.
const VARIABLE: &str = "ARK_BACKEND_POSTGRES_DSN";

/// Starts a temporary PostgreSQL server with one database, prints the DSN on one line, and serves
/// until SIGINT or SIGTERM; then removes all files. With a command, it runs the command with the
/// DSN in ARK_BACKEND_POSTGRES_DSN instead of printing it, and ends with the command.
#[derive(Debug, Parser)]
#[command(name = "postgres-testkit", version)]
struct Arguments {
    /// Name of the database.
    #[arg(long, value_name = "NAME", default_value = "ark")]
    database: String,
    /// TCP port on 127.0.0.1 [default: a free one].
    #[arg(long)]
    port: Option<u16>,
    /// Flush commits to disk, as in production; without it they survive only a crash of the server.
    #[arg(long)]
    fsync: bool,
    /// Setting of postgresql.conf; may be repeated.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting)]
    settings: Vec<(String, String)>,
    /// Put a pgbouncer in front of the server, and print its DSN.
    #[arg(long, value_enum)]
    pool: Option<Pool>,
    /// Use a running server instead of a temporary one: create the database there unless it exists,
    /// and keep it. A command that is run again then finds its data.
    #[arg(
        long,
        value_name = "DSN",
        requires = "command",
        conflicts_with = "pool"
    )]
    on: Option<String>,
    /// Command and its arguments.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// Pooling mode of pgbouncer.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Pool {
    /// Assigns a server connection until the client disconnects.
    Session,
    /// Assigns a server connection for one transaction.
    Transaction,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    // Register before the start, so that no signal is missed.
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    tokio::select! {
        result = serve(&arguments) => result,
        _ = terminated.recv() => Ok(ExitCode::SUCCESS),
        _ = interrupted.recv() => Ok(ExitCode::SUCCESS),
    }
}

/// Serves until dropped, or until the command ends.
async fn serve(arguments: &Arguments) -> Result<ExitCode> {
    if let Some(server) = &arguments.on {
        let dsn = database_on(server, &arguments.database).await?;
        return run(&arguments.command, &dsn).await;
    }
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
    if !arguments.command.is_empty() {
        return run(&arguments.command, &dsn).await;
    }
    println!("{dsn}");
    let (version, log) = (server.programs().version(), server.log().display());
    eprintln!("PostgreSQL {version}, log in {log}; Ctrl-C stops and removes it");
    std::future::pending::<()>().await;
    drop(pooler);
    Ok(ExitCode::SUCCESS)
}

/// Runs a command to its end with the DSN of its database; returns its exit code.
async fn run(command: &[String], dsn: &str) -> Result<ExitCode> {
    let (program, rest) = command.split_first().context("the command is empty")?;
    let mut command = Command::new(program);
    command.args(rest).env(VARIABLE, dsn).kill_on_drop(true);
    let status = command.status().await;
    let status = status.with_context(|| format!("cannot run {program}"))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Creates a database unless it exists; returns its DSN.
async fn database_on(server: &str, name: &str) -> Result<String> {
    let session = Session::connect(server).await?;
    let literal = name.replace('\'', "''");
    let exists = format!("select 1 from pg_database where datname = '{literal}'");
    if session.text(&exists).await?.is_none() {
        let identifier = name.replace('"', "\"\"");
        let create = format!("create database \"{identifier}\"");
        session.batch_execute(&create).await.context(create)?;
    }
    with_database(server, name).context("--on must be postgres://USER@HOST:PORT/DATABASE")
}

/// Replaces the database of a DSN in the form of a URL.
fn with_database(dsn: &str, name: &str) -> Option<String> {
    let (address, options) = match dsn.split_once('?') {
        Some((address, options)) => (address, format!("?{options}")),
        None => (dsn, String::new()),
    };
    let (scheme, rest) = address.split_once("://")?;
    let (server, _) = rest.split_once('/')?;
    Some(format!("{scheme}://{server}/{name}{options}"))
}

fn setting(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=');
    let (name, value) = parts.ok_or("it must be NAME=VALUE")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::with_database;

    #[test]
    fn database_of_a_dsn_is_replaced() {
        for (dsn, replaced) in [
            ("postgres://a@h:1/ark", Some("postgres://a@h:1/b")),
            (
                "postgres://a@/ark?host=x&port=1",
                Some("postgres://a@/b?host=x&port=1"),
            ),
            ("host=x dbname=ark", None),
        ] {
            assert_eq!(with_database(dsn, "b").as_deref(), replaced);
        }
    }
}
