//! `ark-check`: performance and failure guarantees under load. Each check starts a fresh server and
//! fails with the figures that violate its guarantee. A missed time limit is measured again, see
//! [`retry`]. See `acceptance/checks/README.md`.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "output of a command-line program"
)]

mod fanout;
mod lists;
mod replicas;
mod restart;
mod retry;
mod swap;

use std::process::ExitCode;

use anyhow::{Result, ensure};
use ark_bench::target::Programs;
use clap::Parser;

use retry::Outcome;

/// Namespace of the objects.
const NAMESPACE: &str = "default";

/// Check guarantees under load; fails if one is violated.
#[derive(Debug, Parser)]
#[command(name = "ark-check", version)]
struct Options {
    /// `all`, or names separated by commas; `list` prints them.
    names: String,

    /// Duration of `replicas` in seconds [default: 300, under `all` 30].
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,

    /// Objects that `swap` moves [default: 100,000, under `all` 20,000].
    #[arg(long, value_name = "N")]
    objects: Option<usize>,

    /// Writes per second that the clients of `swap` offer.
    #[arg(long, value_name = "N", default_value_t = swap::RATE)]
    rate: usize,

    /// Factor on every time limit, for machines of unknown speed; a check that needs it is reported
    /// as slow.
    #[arg(long, value_name = "TIMES", default_value_t = 1.0)]
    slack: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    Rows,
    ListMemory,
    Watchers,
    ReadsPerWrite,
    SlowReader,
    Delivery,
    Startup,
    Restart,
    Replicas,
    Swap,
}

/// Load of the checks whose size is configurable.
struct Sizes {
    /// Load of `swap`.
    swap: swap::Load,
    /// Duration of `replicas`, in seconds.
    seconds: u64,
}

/// Objects that `swap` moves: the guaranteed number, and a smaller one for a run of all checks.
const SWAP_OBJECTS: usize = 100_000;
const SWAP_OBJECTS_AMONG_ALL: usize = 20_000;

/// All checks: name, guarantee.
const CHECKS: &[(&str, Check, &str)] = &[
    (
        "rows",
        Check::Rows,
        "kubectl get prints every one of 11,105 Queries",
    ),
    (
        "list-memory",
        Check::ListMemory,
        "a list of 100,000 × 2 KiB grows resident memory by ≤ 64 MiB",
    ),
    (
        "watchers",
        Check::Watchers,
        "1,000 watchers × 200 writes/s × 30 s: every event once, in order",
    ),
    (
        "reads-per-write",
        Check::ReadsPerWrite,
        "backend reads per write do not depend on watchers",
    ),
    (
        "slow-reader",
        Check::SlowReader,
        "a slow reader gets every event or is disconnected; p99 of others < 50 ms",
    ),
    (
        "delivery",
        Check::Delivery,
        "100 watchers × 200 writes/s: p99 delivery < 50 ms",
    ),
    (
        "startup",
        Check::Startup,
        "ready within 1 s with 10,000 stored objects",
    ),
    (
        "restart",
        Check::Restart,
        "restart to the first full list of 50,000 objects ≤ 2 s",
    ),
    (
        "replicas",
        Check::Replicas,
        "3 replicas on PostgreSQL, one killed every 5 s: no write and no event lost; p99 < 50 ms",
    ),
    (
        "swap",
        Check::Swap,
        "100,000 objects SQLite → PostgreSQL → SQLite under writes < 60 s: no event lost or repeated",
    ),
];

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ark-check: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the named checks.
#[tokio::main]
async fn run(options: &Options) -> Result<()> {
    if options.names == "list" {
        for (name, _, guarantee) in CHECKS {
            println!("{name}: {guarantee}");
        }
        return Ok(());
    }
    let names: Vec<&str> = options.names.split(',').collect();
    for name in &names {
        let known = *name == "all" || CHECKS.iter().any(|(known, _, _)| known == name);
        ensure!(
            known,
            "no check named {name}; `ark-check list` prints all names"
        );
    }
    let programs = Programs::of_this_build()?;
    let among_all = names == ["all"];
    let (objects, seconds) = if among_all {
        (SWAP_OBJECTS_AMONG_ALL, replicas::DEFAULT_SECONDS_AMONG_ALL)
    } else {
        (SWAP_OBJECTS, replicas::DEFAULT_SECONDS)
    };
    let sizes = Sizes {
        swap: swap::Load {
            objects: options.objects.unwrap_or(objects),
            rate: options.rate,
        },
        seconds: options.seconds.unwrap_or(seconds),
    };
    let mut failed = 0;
    let mut passed = 0;
    let mut slow = 0;
    for (name, check, guarantee) in CHECKS {
        if !names.contains(name) && !among_all {
            continue;
        }
        let check = async || perform(*check, &programs, &sizes).await;
        match retry::run(options.slack, check).await {
            Ok(Outcome::Passed(figures)) => {
                passed += 1;
                println!("pass  {name}: {guarantee} ({figures})");
            }
            Ok(Outcome::Slow(figures)) => {
                slow += 1;
                println!("slow  {name}: {guarantee} ({figures})");
            }
            Err(error) => {
                failed += 1;
                println!("FAIL  {name}: {guarantee}: {error:#}");
            }
        }
    }
    println!("{passed} passed, {slow} slow, {failed} failed");
    ensure!(failed == 0, "{failed} checks failed");
    Ok(())
}

async fn perform(check: Check, programs: &Programs, sizes: &Sizes) -> Result<String> {
    match check {
        Check::Rows => lists::rows(programs).await,
        Check::ListMemory => lists::memory(programs).await,
        Check::Watchers => fanout::watchers(programs).await,
        Check::ReadsPerWrite => fanout::reads_per_write(programs).await,
        Check::SlowReader => fanout::slow_reader(programs).await,
        Check::Delivery => fanout::delivery(programs).await,
        Check::Startup => restart::startup(programs).await,
        Check::Restart => restart::first_list(programs).await,
        Check::Replicas => replicas::survive(programs, sizes.seconds).await,
        Check::Swap => swap::moves(programs, &sizes.swap).await,
    }
}
