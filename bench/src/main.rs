//! `ark-bench`: the cost of ark-apiserver compared with a real kube-apiserver. See
//! `bench/README.md`.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "output of a command-line program"
)]

use std::process::ExitCode;

use anyhow::Result;
use ark_bench::compare;
use clap::Parser;

/// Measure ark-apiserver under load.
#[derive(Parser)]
#[command(name = "ark-bench", version)]
enum Command {
    /// Apply the same load to ark-apiserver and to kube-apiserver with its stores; print tables of
    /// ratios.
    Compare(compare::Options),
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
    }
    Ok(())
}
