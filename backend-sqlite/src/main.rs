//! `backend-sqlite`: the SQLite driver process.

#![expect(clippy::print_stderr, reason = "a command line talks to its user")]

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use backend_sqlite::{Options, SqliteDriver, backup};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Exit code when the state on disk is unknown: inspect the log before a restart.
const FATAL: i32 = 3;

/// Serves one SQLite database over ark.backend.v1.
#[derive(Parser)]
#[command(name = "backend-sqlite", version, after_help = COMMANDS_HELP)]
struct Serve {
    /// Database file; created if absent, in a directory that must exist
    #[arg(long, env = "ARK_BACKEND_SQLITE_PATH", value_name = "FILE")]
    path: PathBuf,
    #[command(flatten)]
    kit: sidecar::Options,
}

/// Copies a database, which may be in use, into a new file.
#[derive(Parser)]
#[command(name = "backend-sqlite backup")]
struct Backup {
    /// Database file
    #[arg(long, value_name = "FILE")]
    path: PathBuf,
    /// Path of the copy; must not exist
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
}

/// Marks a database that was restored by other means than `backup`: the next server begins a new
/// epoch, so that clients discard their revisions and list again.
#[derive(Parser)]
#[command(name = "backend-sqlite new-epoch")]
struct NewEpoch {
    /// Database file; must not be in use
    #[arg(long, env = "ARK_BACKEND_SQLITE_PATH", value_name = "FILE")]
    path: PathBuf,
}

/// Subcommands are parsed separately, so that the flags of serving stay required without them.
const COMMANDS_HELP: &str = "\
Other commands (each with --help):
  backend-sqlite backup --path FILE --to FILE   copies a database that may be in use
  backend-sqlite new-epoch --path FILE          after a restore from a snapshot of the disk";

fn main() -> ExitCode {
    sidecar::logs::init();
    let rest = || std::env::args_os().skip(1);
    let first = rest().next();
    let result = match first.as_deref().and_then(OsStr::to_str) {
        Some("backup") => {
            let Backup { path, to } = Backup::parse_from(rest());
            backup::run(&path, &to).map_err(anyhow::Error::from)
        }
        Some("new-epoch") => {
            let NewEpoch { path } = NewEpoch::parse_from(rest());
            backup::mark(&Options::new(path)).map_err(anyhow::Error::from)
        }
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

fn serve(options: &Serve) -> anyhow::Result<()> {
    let on_fatal = |line: &str| {
        eprintln!("error: {line}");
        std::process::exit(FATAL);
    };
    // The driver has its own threads, so this runtime only moves messages; one worker does that
    // with fewer context switches than two.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let entered = runtime.enter();
    // Handle SIGXFSZ: exceeding the file size limit (ulimit -f) is then a write error instead of
    // the end of the process.
    let _file_size = signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?;
    drop(entered);
    let store = Options::new(&options.path);
    let driver = SqliteDriver::open(&store, Arc::new(on_fatal))?;
    Ok(runtime.block_on(sidecar::run(Arc::new(driver), &options.kit))?)
}
