//! Command line of the program.

use std::ffi::OsString;

use clap::{Parser, Subcommand, ValueEnum};
use gateway::config::Serve;
use standalone::Standalone;

use crate::usage::Usage;

/// Serves custom resources whose objects live outside etcd.
#[derive(Debug, Clone, Parser)]
#[command(name = "ark-apiserver", version)]
pub(crate) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,

    /// What to log: a level, or levels by module as in RUST_LOG.
    #[arg(
        long,
        env = "ARK_LOG",
        global = true,
        default_value = "info",
        value_name = "FILTER"
    )]
    pub(crate) log: String,

    /// How to log.
    #[arg(
        long,
        env = "ARK_LOG_FORMAT",
        global = true,
        default_value = "text",
        value_enum
    )]
    pub(crate) log_format: LogFormat,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// What the program can do.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Command {
    /// Serve on this machine without a cluster: starts the storage driver, makes certificates and
    /// writes a kubeconfig.
    Standalone(Box<Standalone>),
    /// Serve behind a kube-apiserver, from a storage driver that runs already.
    Serve(Box<Serve>),
}

/// Reads the arguments of a process.
///
/// # Errors
/// What is to be printed instead of starting: help, the version, or what is wrong.
pub(crate) fn parse(
    arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> Result<Arguments, Usage> {
    Arguments::try_parse_from(arguments).map_err(Usage::from)
}
