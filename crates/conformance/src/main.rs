//! `backend-conformance`: checks a driver against the contract `ark.backend.v1`.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line talks to its user"
)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use backend_client::Tls;
use clap::Parser;
use conformance::cases::{self, Case};
use conformance::crash::{self, Plan};
use conformance::empty::{self, EmptyStores};
use conformance::process::{Process, ProcessUnderTest as _};
use conformance::report::Row;
use conformance::restart::Supervised;
use conformance::{Endpoint, Report, RunOptions, Setup, rules, suite};

/// Exit code if the suite could not run.
const NOT_RUN: u8 = 2;

/// Number of kills with --long.
const LONG_KILLS: usize = 500;

/// Checks a driver against the contract ark.backend.v1.
///
/// With --restart-command this program starts the driver, kills it under load, and restarts it.
/// Without it, the driver must be running and is not killed. No other client may use the driver
/// meanwhile. The shell runs the commands with $ENDPOINT, the address to serve at.
#[derive(Debug, Parser)]
#[command(name = "backend-conformance", version)]
struct Arguments {
    /// Endpoint of the driver: unix:///PATH, or https://HOST:PORT with --ca, --cert and --key.
    #[arg(long, value_name = "ADDRESS", required_unless_present_any = ["list", "explain"])]
    endpoint: Option<String>,
    /// Certificate authority of the driver, PEM.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Client certificate, PEM.
    #[arg(long, value_name = "FILE")]
    cert: Option<PathBuf>,
    /// Private key of the client certificate, PEM.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Shell command that serves the endpoint. It is killed with SIGKILL and restarted on the same
    /// data.
    #[arg(long, value_name = "COMMAND")]
    restart_command: Option<String>,
    /// Shell command that serves an empty store at $ENDPOINT, with its data in the new directory
    /// $FOLDER. It is run once per store, and again for the same store after a kill. Without it the
    /// cases about imports, a full disk and retention are skipped.
    #[arg(long, value_name = "COMMAND")]
    empty_command: Option<String>,
    /// Run only cases whose id contains this text.
    #[arg(long, value_name = "PATTERN")]
    only: Option<String>,
    /// Also write the result as JUnit XML.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Run ten times the random histories, and 500 kills.
    #[arg(long)]
    long: bool,
    /// Number of kills under load [default: 50, with --long 500].
    #[arg(long, value_name = "N")]
    kills: Option<usize>,
    /// List the cases and exit.
    #[arg(long)]
    list: bool,
    /// Print the rule of a case or of a number such as R5, with the usual cause of a failure, and
    /// exit.
    #[arg(long, value_name = "RULE")]
    explain: Option<String>,
    /// Seed of all random choices; every run prints it.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.list {
        list(&arguments);
        return ExitCode::SUCCESS;
    }
    if let Some(rule) = &arguments.explain {
        return explain(rule);
    }
    match run_suite(&arguments).await {
        Ok(report) if report.failed() => ExitCode::FAILURE,
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(NOT_RUN)
        }
    }
}

/// The last rule of a run with --restart-command.
const STOPS: (&str, &str) = (
    "C7-stops-in-order",
    "A driver drains on SIGTERM and exits with 0.",
);

impl Arguments {
    fn wants(&self, id: &str) -> bool {
        let only = self.only.as_deref();
        only.is_none_or(|only| id.contains(only))
    }

    fn empty(&self) -> Option<Arc<dyn EmptyStores>> {
        let command = self.empty_command.as_deref()?;
        Some(Arc::new(empty::Command::new(command)))
    }

    fn tls(&self) -> Result<Option<Tls>> {
        let read = |path: &Path| {
            std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
        };
        match (&self.ca, &self.cert, &self.key) {
            (None, None, None) => Ok(None),
            (Some(ca), Some(cert), Some(key)) => Ok(Some(Tls {
                ca: read(ca)?,
                cert: read(cert)?,
                key: read(key)?,
            })),
            _ => bail!("--ca, --cert and --key must be given together"),
        }
    }
}

/// Returns ids and sentences of all cases and of crash mode.
fn sentences() -> Vec<(&'static str, &'static str)> {
    let cases = cases::all().into_iter().chain(cases::of_process());
    let named = cases.map(|case| (case.id, case.sentence));
    named.chain(crash::rules()).chain([STOPS]).collect()
}

fn list(arguments: &Arguments) {
    let all = sentences().into_iter();
    for (id, sentence) in all.filter(|(id, _)| arguments.wants(id)) {
        println!("{id:<58} {sentence}");
    }
}

/// Prints a rule and the cases that test it.
fn explain(name: &str) -> ExitCode {
    let number = name.split('-').next().unwrap_or_default();
    let Some(rule) = rules::find(number) else {
        eprintln!("error: no rule has the number {number}; --list prints all cases");
        return ExitCode::from(NOT_RUN);
    };
    println!("{}: {}", rule.number, rule.text);
    if !rule.cause.is_empty() {
        println!("Usual cause of a failure: {}", rule.cause);
    }
    let prefix = format!("{}-", rule.number);
    let cited = format!("({})", rule.number);
    for (id, sentence) in sentences() {
        if id.starts_with(&prefix) || sentence.contains(&cited) {
            println!("  {id}: {sentence}");
        }
    }
    ExitCode::SUCCESS
}

async fn run_suite(arguments: &Arguments) -> Result<Report> {
    let address = arguments.endpoint.as_deref().unwrap_or_default();
    let endpoint = Endpoint::parse(address, arguments.tls()?.as_ref());
    let endpoint = endpoint.context("--endpoint")?;
    let seed = arguments.seed.unwrap_or_else(rand::random);
    let run_options = RunOptions {
        seed,
        long: arguments.long,
    };
    println!("seed {seed}");
    let mut cases = cases::all();
    if arguments.empty_command.is_some() || arguments.restart_command.is_some() {
        cases.extend(cases::of_process());
    }
    cases.retain(|case| arguments.wants(case.id));
    let rows = match &arguments.restart_command {
        None => {
            ensure!(!cases.is_empty(), "no case has that id; see --list");
            let setup = Setup::new(arguments.empty(), None);
            suite::run_in(&endpoint, &setup, &cases, run_options, print_row)
                .await
                .map_err(|status| anyhow::anyhow!("{address}: {}", status.message()))?
        }
        Some(command) => {
            let process = Process::new(command, &endpoint).context("--restart-command")?;
            let process = process.with("ENDPOINT", address.to_owned());
            with_restarts(arguments, process, &endpoint, &cases, run_options).await?
        }
    };
    let report = Report { rows };
    if let Some(path) = &arguments.junit {
        let written = std::fs::write(path, report.junit());
        written.with_context(|| format!("cannot write {}", path.display()))?;
    }
    println!("{}", report.summary());
    Ok(report)
}

fn print_row(row: &Row) {
    println!("{row}");
}

/// Starts the driver, runs all cases, and stops the driver.
async fn with_restarts(
    arguments: &Arguments,
    process: Process,
    endpoint: &Endpoint,
    cases: &[Case],
    run_options: RunOptions,
) -> Result<Vec<Row>> {
    let crash = crash::rules().iter().any(|(id, _)| arguments.wants(id));
    ensure!(
        crash || arguments.wants(STOPS.0) || !cases.is_empty(),
        "no case has that id; see --list"
    );
    let started = Supervised::start(process, endpoint).await;
    let supervised = started
        .map_err(anyhow::Error::msg)
        .context("the driver does not start")?;
    let supervised = Arc::new(supervised);
    let setup = Setup::new(arguments.empty(), Some(Arc::clone(&supervised) as _));
    let mut rows = suite::run_in(endpoint, &setup, cases, run_options, print_row)
        .await
        .map_err(|status| anyhow::anyhow!("no response from the driver: {}", status.message()))?;
    let mut process = supervised.process().await;
    if crash {
        process.kill().await.map_err(anyhow::Error::msg)?;
        let plan = Plan {
            kills: arguments
                .kills
                .unwrap_or(if arguments.long { LONG_KILLS } else { 50 }),
            seed: run_options.seed,
        };
        let crash_rows = crash::run(&mut *process, endpoint, plan, |row| {
            if arguments.wants(row.id) {
                print_row(row);
            }
        });
        let crash_rows = crash_rows.await;
        rows.extend(crash_rows.into_iter().filter(|row| arguments.wants(row.id)));
    }
    let started = Instant::now();
    let stopped = process.stop().await;
    let row = Row::of(STOPS.0, started, stopped);
    if arguments.wants(STOPS.0) {
        print_row(&row);
        rows.push(row);
    }
    let report = Report { rows };
    if report.failed() {
        println!("the driver's own output is in {}", process.log().display());
    } else {
        // The log of a successful run is not needed.
        let _ = std::fs::remove_file(process.log());
    }
    Ok(report.rows)
}
