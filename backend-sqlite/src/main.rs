//! `backend-sqlite`: the SQLite driver as a process.

#![expect(clippy::print_stderr, reason = "a command line talks to its user")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use backend_sqlite::{SqliteDriver, backup};
use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Exit code when what is on disk is not known: look before starting again.
const FATAL: i32 = 3;

/// Serves one SQLite database over ark.backend.v1.
#[derive(Parser)]
#[command(name = "backend-sqlite", version, after_help = BACKUP_HELP)]
struct Serve {
    /// The database; made if it is absent, in a directory that exists.
    #[arg(long, env = "ARK_BACKEND_SQLITE_PATH", value_name = "FILE")]
    path: PathBuf,
    #[command(flatten)]
    kit: sidecar::Options,
}

/// Copies a database, which may be in use, into a new file.
#[derive(Parser)]
#[command(name = "backend-sqlite backup")]
struct Backup {
    /// The database.
    #[arg(long, value_name = "FILE")]
    path: PathBuf,
    /// The copy; must not exist.
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
}

/// `backup` is parsed apart, so that the flags of serving stay required without it.
const BACKUP_HELP: &str =
    "backend-sqlite backup --path FILE --to FILE copies a database that may be in use";

fn main() -> ExitCode {
    sidecar::logs::init();
    let mut arguments = std::env::args_os();
    let backup = arguments.nth(1).is_some_and(|first| first == "backup");
    let result = if backup {
        let Backup { path, to } = Backup::parse_from(std::env::args_os().skip(1));
        backup::run(&path, &to).map_err(anyhow::Error::from)
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

fn serve(options: &Serve) -> anyhow::Result<()> {
    let on_fatal = |line: &str| {
        eprintln!("error: {line}");
        std::process::exit(FATAL);
    };
    let store = backend_sqlite::Options::new(&options.path);
    let driver = SqliteDriver::open(&store, Arc::new(on_fatal))?;
    // The driver has threads of its own: this runtime only moves messages, and one thread does so
    // with fewer switches than two.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    Ok(runtime.block_on(sidecar::run(Arc::new(driver), &options.kit))?)
}
