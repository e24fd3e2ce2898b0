//! `ark-bench`: the cost of ark-apiserver compared with a real kube-apiserver, and its performance
//! guarantees under load. See `bench/README.md`.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "output of a command-line program"
)]

mod check;
mod client;
mod compare;
mod kubeconfig;
mod measure;
mod objects;
mod processes;
mod report;
mod target;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

/// Measure ark-apiserver under load.
#[derive(Parser)]
#[command(name = "ark-bench", version)]
enum Command {
    /// Apply the same load to ark-apiserver and to kube-apiserver with its stores; print tables of
    /// ratios.
    Compare(compare::Options),
    /// Check performance guarantees under load; fails if one is violated.
    Check(check::Options),
}

fn main() -> ExitCode {
    match run(Command::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ark-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(command: Command) -> Result<()> {
    match command {
        Command::Compare(options) => println!("{}", compare::run(&options).await?),
        Command::Check(options) => check::run(&options).await?,
    }
    Ok(())
}
