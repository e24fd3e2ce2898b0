//! `backend-postgres`: the PostgreSQL driver as a process.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line talks to its user"
)]

use std::process::ExitCode;
use std::sync::Arc;

use backend_postgres::{Arguments, Options, PostgresDriver, migrate};
use clap::Parser;
use sidecar::Driver;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Serves one store in a PostgreSQL database over ark.backend.v1.
#[derive(Parser)]
#[command(name = "backend-postgres", version, after_help = MIGRATE_HELP)]
struct Serve {
    #[command(flatten)]
    database: Arguments,
    #[command(flatten)]
    kit: sidecar::Options,
}

/// Brings the schema of the database to a version.
#[derive(Parser)]
#[command(name = "backend-postgres migrate")]
struct Migrate {
    #[command(flatten)]
    database: Arguments,
    /// Version to go to, up or down [default: the newest]. 0 removes the store with everything in it.
    #[arg(long, value_name = "N")]
    to: Option<i32>,
    /// Role that is to serve the store: gets what it needs for that, and nothing else.
    #[arg(long, value_name = "ROLE")]
    grant: Option<String>,
    /// Needed for --to 0.
    #[arg(long)]
    remove_everything: bool,
}

/// `migrate` is parsed apart, so that the flags of serving stay required without it.
const MIGRATE_HELP: &str = "backend-postgres migrate [--to N] [--grant ROLE] makes or changes the \
                            schema, as a role that owns it";

fn main() -> ExitCode {
    sidecar::logs::init();
    // The first one wins, and this is the first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut arguments = std::env::args_os();
    let result = if arguments.nth(1).is_some_and(|first| first == "migrate") {
        run_migrate(&Migrate::parse_from(std::env::args_os().skip(1)))
    } else {
        serve(&Serve::parse())
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
        "--to 0 removes the store with everything in it: add --remove-everything if that is meant"
    );
    let options = Options::new(&arguments.database)?;
    let migrated = migrate::run(&options, arguments.to, arguments.grant.as_deref());
    let version = runtime()?.block_on(migrated)?;
    println!("schema version {version}");
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
    // It only moves messages between two sockets: one thread does so with fewer switches than two.
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
}
