//! `ark-bench`: what ark-apiserver costs, beside what a real kube-apiserver costs, and whether it
//! keeps its promises under load. See `bench/README.md`.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line talks to its user"
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

/// Load driver and promises under load.
#[derive(Parser)]
#[command(name = "ark-bench", version)]
enum Command {
    /// The same load on us and on kube-apiserver with its stores; prints tables of ratios.
    Compare(compare::Options),
    /// Promises under load; fails if one is broken.
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
