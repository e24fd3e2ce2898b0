//! The command line as a whole.

use clap::{Parser, Subcommand, ValueEnum};

use super::{Serve, Standalone};

/// Serves custom resources whose objects live outside etcd.
#[derive(Debug, Clone, Parser)]
#[command(name = "ark-apiserver", version)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,

    /// What to log: a level, or levels by module as in RUST_LOG.
    #[arg(
        long,
        env = "ARK_LOG",
        global = true,
        default_value = "info",
        value_name = "FILTER"
    )]
    pub log: String,

    /// How to log.
    #[arg(
        long,
        env = "ARK_LOG_FORMAT",
        global = true,
        default_value = "text",
        value_enum
    )]
    pub log_format: LogFormat,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// What the program can do.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Serve on this machine without a cluster: starts the storage driver, makes certificates and
    /// writes a kubeconfig.
    Standalone(Box<Standalone>),
    /// Serve behind a kube-apiserver, from a storage driver that runs already.
    Serve(Box<Serve>),
}
