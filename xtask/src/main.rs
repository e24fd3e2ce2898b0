//! The developers' commands: `cargo xtask <command>`.
//!
//! They are in Rust, and CI runs the same commands as a developer.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "output of a command-line program"
)]

mod clients;
mod deny;
mod images;
mod proto;
mod python;
mod quickstart;
mod reference;
mod run;
mod test;
mod tidy;
mod tools;

use std::process::ExitCode;

use clap::Parser;

/// The developers' commands.
#[derive(Parser)]
#[command(name = "cargo xtask")]
enum Command {
    /// Build, start a gateway and the SQLite driver, create a Query and list it with kubectl.
    Quickstart(quickstart::Options),
    /// Run every required check: format, lints, tests, conformance, scenarios, load checks.
    Test(test::Options),
    /// Assemble the container images with buildah, from static programs that it builds.
    Images(images::Options),
    /// Run the conformance suite against the example driver in Python, with the built suite.
    ExampleDriver,
    /// Write the reference pages of flags, values and metrics from the built programs.
    Reference(reference::Options),
    /// Run the program of each client library against a built standalone server.
    Clients(clients::Options),
    /// Check licences, banned crates and sources of all dependencies.
    Deny,
    /// Lint the protocol, and check that it is compatible with the last release.
    Proto,
    /// Check the rules of the repository: layers, file and function budgets, links.
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
        Command::Images(options) => images::run(&options),
        Command::ExampleDriver => python::check_example_driver(),
        Command::Reference(options) => reference::run(&options),
        Command::Clients(options) => clients::run(&options),
        Command::Deny => deny::run(),
        Command::Proto => proto::check(),
        Command::Tidy => {
            let problems = tidy::check(&run::workspace_root())?;
            for problem in &problems {
                println!("{problem}");
            }
            anyhow::ensure!(
                problems.is_empty(),
                "{} violations of the repository's rules",
                problems.len()
            );
            Ok(())
        }
    }
}
