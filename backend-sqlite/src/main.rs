//! `backend-sqlite`: the SQLite driver as a process.

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

/// Exit code when what is on disk is not known: look before starting again.
const FATAL: i32 = 3;

/// Serves one SQLite database over ark.backend.v1.
#[derive(Parser)]
#[command(name = "backend-sqlite", version, after_help = COMMANDS_HELP)]
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

/// Marks a database as set back, for one that was restored by other means than `backup`: the next
/// server begins a new epoch, so that clients forget the revisions that they know, and list again.
#[derive(Parser)]
#[command(name = "backend-sqlite new-epoch")]
struct NewEpoch {
    /// The database; not in use.
    #[arg(long, env = "ARK_BACKEND_SQLITE_PATH", value_name = "FILE")]
    path: PathBuf,
}

/// These are parsed apart, so that the flags of serving stay required without them.
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
    // The driver has threads of its own: this runtime only moves messages, and one thread does so
    // with fewer switches than two.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let entered = runtime.enter();
    // A file that would be larger than a limit of the process is then an error, and not its end.
    let _file_size = signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?;
    drop(entered);
    let store = Options::new(&options.path);
    let driver = SqliteDriver::open(&store, Arc::new(on_fatal))?;
    Ok(runtime.block_on(sidecar::run(Arc::new(driver), &options.kit))?)
}
