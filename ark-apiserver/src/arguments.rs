//! Command line of the program.

use std::ffi::OsString;

use clap::{Parser, Subcommand, ValueEnum};
use gateway::config::Serve;
use standalone::Standalone;

use crate::usage::Usage;

/// Serves custom resources whose objects are stored outside etcd.
#[derive(Debug, Clone, Parser)]
#[command(name = "ark-apiserver", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// Log filter: a level, or levels by module as in RUST_LOG.
    #[arg(
        long,
        env = "ARK_LOG",
        global = true,
        default_value = "info",
        value_name = "FILTER"
    )]
    pub(crate) log: String,

    /// Log format.
    #[arg(
        long,
        env = "ARK_LOG_FORMAT",
        global = true,
        default_value = "text",
        value_enum
    )]
    pub(crate) log_format: LogFormat,
}

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
}

/// Parses the arguments of a process.
///
/// # Errors
/// Text to print instead of starting: help, the version, or a usage error.
pub(crate) fn parse(
    arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> Result<Arguments, Usage> {
    Arguments::try_parse_from(arguments).map_err(Usage::from)
}
