//! `backend-sqlite`: the SQLite driver process.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use backend_sqlite::{Options, SqliteDriver, backup};
use clap::{CommandFactory as _, Parser};
use command_line::{Documents, Usage};
use logs::Format;
use tokio::signal::unix::{SignalKind, signal};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Exit code of invalid arguments, the same as clap's.
const MISUSE: u8 = 2;
/// Exit code when the state on disk is unknown: inspect the log before a restart.
const FATAL: i32 = 3;
/// Name in JSON logs.
const NAME: &str = "backend-sqlite";

/// Serves one SQLite database over ark.backend.v1.
#[derive(Parser)]
#[command(
    name = "backend-sqlite",
    version = env!("ARK_BUILD_VERSION"),
    after_help = COMMANDS_HELP
)]
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
  backend-sqlite new-epoch --path FILE          after a restore from a snapshot of the disk
  backend-sqlite completions SHELL              prints a completion script
  backend-sqlite man DIR                        writes the manual pages";

/// What the arguments ask for.
enum Command {
    Serve(Serve),
    Backup(Backup),
    NewEpoch(NewEpoch),
    Documents(Documents),
}

impl Command {
    fn parse(words: &[OsString]) -> Result<Self, Usage> {
        let rest = || words.iter().skip(1);
        match rest()
            .next()
            .map(OsString::as_os_str)
            .and_then(OsStr::to_str)
        {
            Some("backup") => Ok(Self::Backup(command_line::parse(rest())?)),
            Some("new-epoch") => Ok(Self::NewEpoch(command_line::parse(rest())?)),
            _ => match Documents::parse(words)? {
                Some(documents) => Ok(Self::Documents(documents)),
                None => Ok(Self::Serve(command_line::parse(words)?)),
            },
        }
    }

    /// The definition of all commands, for documents.
    fn definition() -> clap::Command {
        let commands = [
            Backup::command().name("backup"),
            NewEpoch::command().name("new-epoch"),
        ];
        Serve::command().subcommands(commands)
    }

    fn run(self, format: Format) -> anyhow::Result<()> {
        match self {
            Self::Serve(options) => serve(&options, format),
            Self::Backup(Backup { path, to }) => Ok(backup::run(&path, &to)?),
            Self::NewEpoch(NewEpoch { path }) => Ok(backup::mark(&Options::new(path))?),
            Self::Documents(documents) => {
                Ok(documents.write(Self::definition(), &mut std::io::stdout())?)
            }
        }
    }
}

fn main() -> ExitCode {
    let format = match sidecar::logs::init() {
        Ok(format) => format,
        Err(error) => {
            Format::Text.report(NAME, error);
            return ExitCode::from(MISUSE);
        }
    };
    let words: Vec<OsString> = std::env::args_os().collect();
    let command = match Command::parse(&words) {
        Ok(command) => command,
        Err(usage) => return usage.print(NAME, format),
    };
    match survive_file_size_limit().and_then(|()| command.run(format)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            format.report(NAME, format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Handles SIGXFSZ: exceeding the file size limit (`ulimit -f`) is then a write error instead of
/// the end of the process.
fn survive_file_size_limit() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let _entered = runtime.enter();
    // The handler stays for the life of the process.
    let _handled = signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?;
    Ok(())
}

fn serve(options: &Serve, format: Format) -> anyhow::Result<()> {
    let on_fatal = move |line: &str| {
        format.report(NAME, line);
        std::process::exit(FATAL);
    };
    // The driver has its own threads, so this runtime only moves messages; one worker does that
    // with fewer context switches than two.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let store = Options::new(&options.path);
    let driver = SqliteDriver::open(&store, Arc::new(on_fatal))?;
    Ok(runtime.block_on(sidecar::run(Arc::new(driver), &options.kit))?)
}
