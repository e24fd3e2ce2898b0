//! `ark-cluster`: checks of ark-apiserver behind the aggregation layer of a real control plane, with
//! RBAC and kube-controller-manager under its service accounts. See `acceptance/cluster/README.md`.

mod call;
mod checks;
mod crds;
mod kubectl;
mod load;
mod moves;
mod poll;
mod users;
mod webhook_server;
mod world;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail, ensure};
use clap::{Parser, Subcommand};
use regex::Regex;
use scenarios::engine::UnderTest;
use scenarios::engine::helm::go_is_installed;
use scenarios::report::{Verdict, junit, print_line};
use tokio::signal::unix::{SignalKind, signal};

use crate::checks::Check;
use crate::world::World;

/// Check ark-apiserver in a control plane without nodes.
#[derive(Parser)]
#[command(name = "ark-cluster", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the checks.
    Run(RunArguments),
    /// Start the control plane and ark-apiserver, print KUBECONFIG and wait for Ctrl-C.
    Up {
        #[command(flatten)]
        under_test: UnderTest,
    },
}

#[derive(clap::Args)]
struct RunArguments {
    /// Run only the checks whose name matches this regular expression.
    #[arg(long, value_name = "REGEX")]
    filter: Option<Regex>,
    /// Print the checks and exit.
    #[arg(long)]
    list: bool,
    /// Write the verdicts as JUnit XML to this file.
    #[arg(long, value_name = "FILE")]
    junit: Option<std::path::PathBuf>,
    #[command(flatten)]
    under_test: UnderTest,
}

fn main() -> ExitCode {
    match perform() {
        Ok(code) => code,
        Err(error) => {
            print_line(&format!("cluster: {error:#}"));
            ExitCode::from(2)
        }
    }
}

#[tokio::main]
async fn perform() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    // Dropping the future drops the world, which kills its processes.
    tokio::select! {
        code = command(arguments.command) => code,
        _ = interrupt.recv() => bail!("interrupted"),
        _ = terminate.recv() => bail!("terminated"),
    }
}

async fn command(command: Command) -> Result<ExitCode> {
    if !go_is_installed().await {
        print_line(
            "skipped: the cluster, because Go is not installed, which builds its control plane",
        );
        return Ok(ExitCode::SUCCESS);
    }
    match command {
        Command::Run(arguments) => run(&arguments).await,
        Command::Up { under_test } => up(&under_test).await,
    }
}

async fn run(arguments: &RunArguments) -> Result<ExitCode> {
    let wanted = |check: &Check| {
        let filter = arguments.filter.as_ref();
        filter.is_none_or(|filter| filter.is_match(check.name))
    };
    let checks: Vec<Check> = checks::all().into_iter().filter(wanted).collect();
    ensure!(
        !checks.is_empty(),
        "no check matches --filter; --list prints all checks"
    );
    if arguments.list {
        for check in &checks {
            print_line(&format!("{}: {}", check.name, check.what));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut world = World::start(&arguments.under_test).await?;
    let mut verdicts = Vec::new();
    for check in &checks {
        let verdict = one(check, &mut world).await;
        let failed = verdict.failure.is_some();
        verdicts.push(verdict);
        if let Some(end) = world.failure() {
            bail!("{end} during check {}", check.name);
        }
        if failed && let Err(error) = world.recover().await {
            bail!("the cluster did not recover: {error:#}");
        }
    }
    world.stop().await;
    if let Some(file) = &arguments.junit {
        junit(file, &verdicts)?;
    }
    let failed = verdicts.iter().filter(|it| it.failure.is_some()).count();
    print_line(&format!(
        "{} passed, {failed} failed",
        verdicts.len() - failed
    ));
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn one(check: &Check, world: &mut World) -> Verdict {
    let began = Instant::now();
    let result = tokio::time::timeout(checks::TIMEOUT, (check.run)(world)).await;
    let duration = began.elapsed();
    let result = match result {
        Ok(result) => result,
        Err(_) => Err(anyhow::anyhow!("timeout after {:?}", checks::TIMEOUT)),
    };
    let (name, seconds) = (check.name, duration.as_secs_f64());
    match &result {
        Ok(detail) => print_line(&format!("ok     {name} ({seconds:.1} s) {detail}")),
        Err(error) => print_line(&format!("FAILED {name} ({seconds:.1} s) {error:#}")),
    }
    Verdict {
        name: name.to_owned(),
        duration,
        failure: result.err().map(|error| format!("{error:#}")),
    }
}

async fn up(under_test: &UnderTest) -> Result<ExitCode> {
    let mut world = World::start(under_test).await?;
    let admin = world.admin_kubeconfig()?;
    print_line(&format!("export KUBECONFIG={}", admin.display()));
    print_line(&format!(
        "# kubectl of the reference release: {}; Ctrl-C stops the cluster",
        world.reference.kubectl.display()
    ));
    loop {
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        if let Some(end) = world.failure() {
            bail!(end);
        }
    }
}
