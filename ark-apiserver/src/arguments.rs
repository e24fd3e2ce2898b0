//! Command line of the program.

use std::ffi::OsString;

use clap::{Parser, Subcommand, ValueEnum};
use command_line::{Documents, Usage};
use gateway::config::Serve;
use logs::{Filter, Format};
use standalone::Standalone;

/// Serves custom resources whose objects are stored outside etcd.
#[derive(Debug, Clone, Parser)]
#[command(name = "ark-apiserver", version = env!("ARK_BUILD_VERSION"))]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// Log filter: off, error, warn, info, debug or trace, and levels by module: MODULE=LEVEL,...
    #[arg(
        long,
        env = "ARK_LOG",
        global = true,
        default_value = "info",
        value_name = "FILTER",
        help_heading = "Logs"
    )]
    pub(crate) log: Filter,

    /// Log format.
    #[arg(
        long,
        env = FORMAT_VARIABLE,
        global = true,
        default_value = "text",
        value_enum,
        help_heading = "Logs"
    )]
    pub(crate) log_format: LogFormat,
}

/// Environment variable of `--log-format`.
const FORMAT_VARIABLE: &str = "ARK_LOG_FORMAT";

/// Format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Text for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Subcommands.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Command {
    /// Serve on this machine without a cluster: starts the storage driver, creates certificates and
    /// writes a kubeconfig.
    Standalone(Box<Standalone>),
    /// Serve behind a kube-apiserver, with a storage driver that is already running.
    Serve(Box<Serve>),
    /// Documents about the program.
    #[command(flatten)]
    Documents(Documents),
}

/// Parses the arguments of a process.
///
/// # Errors
/// Text to print instead of starting: help, the version, or a usage error.
pub(crate) fn parse(
    arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> Result<Arguments, Usage> {
    command_line::parse(arguments)
}

/// The log format that invalid arguments ask for, so that the error about them has it.
pub(crate) fn format_of(arguments: &[OsString]) -> Format {
    let texts: Vec<_> = arguments.iter().map(|it| it.to_string_lossy()).collect();
    let separate = texts.windows(2).find(|pair| pair[0] == "--log-format");
    let joined = texts.iter().find_map(|it| it.strip_prefix("--log-format="));
    let flag = separate
        .map(|pair| pair[1].to_string())
        .or_else(|| joined.map(str::to_owned));
    let variable = || std::env::var(FORMAT_VARIABLE).ok();
    let name = flag.or_else(variable).unwrap_or_default();
    name.parse().unwrap_or_default()
}

impl From<LogFormat> for Format {
    fn from(format: LogFormat) -> Self {
        match format {
            LogFormat::Text => Self::Text,
            LogFormat::Json => Self::Json,
        }
    }
}
