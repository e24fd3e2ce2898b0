//! The developer's commands: `cargo xtask <command>`.
//!
//! One language for everything: what CI runs is what a developer runs.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line talks to its user"
)]

mod deny;
mod quickstart;
mod run;
mod test;
mod tidy;
mod tools;

use std::process::ExitCode;

use clap::Parser;

/// The developer's commands.
#[derive(Parser)]
#[command(name = "cargo xtask")]
enum Command {
    /// Build, start gateway and SQLite sidecar, create a Query and list it with kubectl.
    Quickstart(quickstart::Options),
    /// Everything that gates a landing: format, lints, tests, conformance, scenarios, checks.
    Test(test::Options),
    /// Licences, banned crates and sources of all dependencies.
    Deny,
    /// The house rules: layers, file and function budgets, links.
    Tidy,
}

fn main() -> ExitCode {
    match run(Command::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Quickstart(options) => quickstart::run(&options),
        Command::Test(options) => test::run(&options),
        Command::Deny => deny::run(),
        Command::Tidy => {
            let problems = tidy::check(&run::workspace_root())?;
            for problem in &problems {
                println!("{problem}");
            }
            anyhow::ensure!(problems.is_empty(), "{} house rules broken", problems.len());
            Ok(())
        }
    }
}
