//! `backend-postgres`: the PostgreSQL driver process.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line talks to its user"
)]

use std::ffi::OsStr;
use std::process::ExitCode;
use std::sync::Arc;

use backend_postgres::{Arguments, Options, PostgresDriver, migrate};
use clap::Parser;
use sidecar::Driver;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Serves one store in a PostgreSQL database over ark.backend.v1.
#[derive(Parser)]
#[command(name = "backend-postgres", version, after_help = COMMANDS_HELP)]
struct Serve {
    #[command(flatten)]
    database: Arguments,
    #[command(flatten)]
    kit: sidecar::Options,
}

/// Migrates the schema of the database to a version
#[derive(Parser)]
#[command(name = "backend-postgres migrate")]
struct Migrate {
    #[command(flatten)]
    database: Arguments,
    /// Version to migrate to, up or down [default: the newest]. 0 removes the store with all its
    /// data
    #[arg(long, value_name = "N")]
    to: Option<i32>,
    /// Role that will serve the store: grants it the required privileges, and no others
    #[arg(long, value_name = "ROLE")]
    grant: Option<String>,
    /// Confirms --to 0
    #[arg(long)]
    remove_everything: bool,
}

/// Begins a new epoch of the store: clients discard their revisions and list again. Needed for a
/// database that was reset by a snapshot of its disk; other restores are detected automatically
#[derive(Parser)]
#[command(name = "backend-postgres new-epoch")]
struct NewEpoch {
    #[command(flatten)]
    database: Arguments,
}

/// Subcommands are parsed separately, so that the flags of serving stay required without them.
const COMMANDS_HELP: &str = "\
Other commands (each with --help):
  backend-postgres migrate [--to N] [--grant ROLE]   makes or changes the schema, as its owner
  backend-postgres new-epoch                         after a restore from a snapshot of the disk";

fn main() -> ExitCode {
    sidecar::logs::init();
    // Fails only if a provider is installed already, which cannot be the case here.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let rest = || std::env::args_os().skip(1);
    let first = rest().next();
    let result = match first.as_deref().and_then(OsStr::to_str) {
        Some("migrate") => run_migrate(&Migrate::parse_from(rest())),
        Some("new-epoch") => run_new_epoch(&NewEpoch::parse_from(rest())),
        _ => serve(&Serve::parse()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run_migrate(arguments: &Migrate) -> anyhow::Result<()> {
    anyhow::ensure!(
        arguments.to != Some(0) || arguments.remove_everything,
        "--to 0 removes the store with all its data: add --remove-everything to confirm"
    );
    let options = Options::new(&arguments.database)?;
    let migrated = migrate::run(&options, arguments.to, arguments.grant.as_deref());
    let version = runtime()?.block_on(migrated)?;
    println!("schema version {version}");
    Ok(())
}

fn run_new_epoch(arguments: &NewEpoch) -> anyhow::Result<()> {
    let options = Options::new(&arguments.database)?;
    let epoch = runtime()?.block_on(migrate::new_epoch(&options))?;
    println!("epoch {epoch}");
    Ok(())
}

fn serve(arguments: &Serve) -> anyhow::Result<()> {
    let options = Options::new(&arguments.database)?;
    let opening = async {
        let driver = PostgresDriver::open(options).await?;
        Ok::<Arc<dyn Driver>, backend_postgres::Error>(Arc::new(driver))
    };
    Ok(runtime()?.block_on(sidecar::run_once_open(opening, &arguments.kit))?)
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    // The runtime only moves messages between two sockets; one worker does that with fewer context
    // switches than two.
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
}
