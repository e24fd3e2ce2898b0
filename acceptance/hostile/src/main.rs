//! `ark-hostile`: attacks on `ark-apiserver standalone`. A well-behaved client and the server's
//! memory decide the verdict of each. See `acceptance/hostile/README.md`.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "output of a command-line program"
)]

mod attacks;
mod client;
mod criteria;
mod frames;
mod kinds;
mod monitor;
mod neighbour;
mod process;
mod report;
mod seed;
mod server;
mod suite;
mod tls;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;

use criteria::Criteria;

/// Attack a local ark-apiserver with hostile clients.
#[derive(Parser)]
#[command(name = "ark-hostile", version)]
enum Command {
    /// Run the attacks; fails if the server violates a criterion under one of them.
    Run(Options),
}

#[derive(clap::Args)]
struct Options {
    /// Run only the attacks whose name matches this regular expression.
    #[arg(long, value_name = "REGEX")]
    only: Option<regex::Regex>,

    /// Minimum duration of each attack, in seconds.
    #[arg(long, value_name = "N", default_value_t = 1.0)]
    seconds: f64,

    /// Run the attacks that need minutes or many thousand sockets as well.
    #[arg(long)]
    long: bool,

    /// Print the attacks and exit.
    #[arg(long)]
    list: bool,

    /// Write the verdicts as JUnit XML to this file.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,

    /// Factor on every time limit, for machines of unknown speed.
    #[arg(long, value_name = "TIMES", default_value_t = 1.0)]
    slack: f64,

    /// Limit of the neighbour's p99 under attack, as a multiple of its quiet value.
    #[arg(long, value_name = "TIMES", default_value_t = 5.0)]
    factor: f64,

    /// Never fail a neighbour's p99 below this value, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 50)]
    floor: u64,

    /// Limit of the server's memory above its quiet value, in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 256)]
    memory: u64,
}

impl Options {
    fn criteria(&self) -> Criteria {
        Criteria {
            factor: self.factor,
            floor: Duration::from_millis(self.floor).mul_f64(self.slack),
            livez: criteria::MAX_LIVEZ.mul_f64(self.slack),
            login: criteria::MAX_LOGIN.mul_f64(self.slack),
            cpu: criteria::MAX_CPU.mul_f64(self.slack),
            memory: self.memory << 20,
        }
    }
}

fn main() -> ExitCode {
    let Command::Run(options) = Command::parse();
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ark-hostile: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    let attacks: Vec<_> = attacks::all()
        .into_iter()
        .filter(|attack| {
            let wanted = options.only.as_ref();
            wanted.is_none_or(|only| only.is_match(attack.name))
        })
        .filter(|attack| options.long || options.list || !attack.long)
        .collect();
    anyhow::ensure!(
        !attacks.is_empty(),
        "no attack matches --only; --list prints all attacks"
    );
    if options.list {
        for attack in &attacks {
            let long = if attack.long { " (with --long)" } else { "" };
            println!("{}: {}{long}", attack.name, attack.what);
        }
        return Ok(());
    }
    let plan = suite::Plan {
        seconds: Duration::from_secs_f64(options.seconds),
        criteria: options.criteria(),
    };
    let rows = suite::run(&attacks, &plan)?;
    println!("{}", report::table(&rows));
    if let Some(file) = &options.junit {
        std::fs::write(file, report::junit(&rows))?;
    }
    let failed = rows.iter().filter(|row| !row.problems.is_empty()).count();
    println!("{} passed, {failed} failed", rows.len() - failed);
    anyhow::ensure!(failed == 0, "{failed} attacks succeeded");
    Ok(())
}
