//! `backend-postgres`: the PostgreSQL driver process.

#![expect(clippy::print_stdout, reason = "a command line talks to its user")]

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;
use std::sync::Arc;

use backend_postgres::{Arguments, Options, PostgresDriver, migrate};
use clap::{CommandFactory as _, Parser};
use command_line::{Documents, Usage};
use logs::Format;
use sidecar::Driver;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Exit code of invalid arguments, the same as clap's.
const MISUSE: u8 = 2;
/// Name in JSON logs.
const NAME: &str = "backend-postgres";

/// Serves one store in a PostgreSQL database over ark.backend.v1.
#[derive(Parser)]
#[command(
    name = "backend-postgres",
    version = env!("ARK_BUILD_VERSION"),
    after_help = COMMANDS_HELP
)]
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
  backend-postgres new-epoch                         after a restore from a snapshot of the disk
  backend-postgres completions SHELL                 prints a completion script
  backend-postgres man DIR                           writes the manual pages";

/// What the arguments ask for.
enum Command {
    Serve(Box<Serve>),
    Migrate(Box<Migrate>),
    NewEpoch(Box<NewEpoch>),
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
            Some("migrate") => Ok(Self::Migrate(Box::new(command_line::parse(rest())?))),
            Some("new-epoch") => Ok(Self::NewEpoch(Box::new(command_line::parse(rest())?))),
            _ => match Documents::parse(words)? {
                Some(documents) => Ok(Self::Documents(documents)),
                None => Ok(Self::Serve(Box::new(command_line::parse(words)?))),
            },
        }
    }

    /// The definition of all commands, for documents.
    fn definition() -> clap::Command {
        let commands = [
            Migrate::command().name("migrate"),
            NewEpoch::command().name("new-epoch"),
        ];
        Serve::command().subcommands(commands)
    }

    fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Serve(arguments) => serve(&arguments),
            Self::Migrate(arguments) => run_migrate(&arguments),
            Self::NewEpoch(arguments) => run_new_epoch(&arguments),
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
    // Fails only if a provider is installed already, which cannot be the case here.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let words: Vec<OsString> = std::env::args_os().collect();
    let command = match Command::parse(&words) {
        Ok(command) => command,
        Err(usage) => return usage.print(NAME, format),
    };
    match command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            format.report(NAME, format_args!("{error:#}"));
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
