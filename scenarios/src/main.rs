//! Command line of the scenario runner.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use clap::{Parser, Subcommand, ValueEnum};
use regex::Regex;
use scenarios::audit::{Files, compare};
use scenarios::clients;
use scenarios::engine::reference::Reference;
use scenarios::engine::{Engine, Kind, UnderTest};
use scenarios::play::{self, Kinds};
use scenarios::report::{junit, print_line};
use scenarios::repository::Repository;
use scenarios::suite;
use tokio::signal::unix::{SignalKind, signal};

/// Error for engines on which `--backend` has no effect.
const BACKEND: &str = "--backend has no effect, because ark-apiserver is not started";

/// Run scenario files on a real kube-apiserver and on ark-apiserver.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run scenarios and compare the responses of the engines.
    Run(RunArguments),
    /// Write at random to kube-apiserver and to ark-apiserver, and compare responses and managers.
    Play(PlayArguments),
    /// Run client libraries of server-side apply on kube-apiserver and on ark-apiserver.
    Clients {
        #[command(flatten)]
        under_test: UnderTest,
    },
    /// Run scenarios on kube-apiserver and on ark-apiserver, and compare the audit events.
    Audit(AuditArguments),
    /// Start one engine with the kinds of the scenarios, print its KUBECONFIG and wait for Ctrl-C.
    Up {
        /// Engine to start.
        #[arg(long, default_value = "kube-apiserver")]
        engine: Kind,
        #[command(flatten)]
        under_test: UnderTest,
    },
}

#[derive(clap::Args)]
struct RunArguments {
    /// Engines to run on, one or two; with one, only expectations are checked.
    #[arg(long, value_delimiter = ',', default_value = "both")]
    engine: Vec<Engines>,
    /// Use the server of this kubeconfig instead of starting ark-apiserver.
    #[arg(long, conflicts_with = "backend")]
    url: Option<PathBuf>,
    /// Run only scenarios whose name matches this regular expression.
    #[arg(long)]
    filter: Option<Regex>,
    /// Number of scenarios that run concurrently.
    #[arg(long, default_value_t = 4)]
    jobs: usize,
    /// Write the results as JUnit XML to this file.
    #[arg(long)]
    junit: Option<PathBuf>,
    #[command(flatten)]
    under_test: UnderTest,
    /// Print the normalised responses of the first engine.
    #[arg(long)]
    print: bool,
    /// Scenario files [default: all].
    files: Vec<PathBuf>,
}

#[derive(clap::Args)]
struct AuditArguments {
    /// Run only scenarios whose name matches this regular expression.
    #[arg(long)]
    filter: Option<Regex>,
    #[command(flatten)]
    under_test: UnderTest,
    /// Scenario files [default: all].
    files: Vec<PathBuf>,
}

#[derive(clap::Args)]
struct PlayArguments {
    /// Seed of the kinds and the writes.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Duration without the starts of the servers.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    #[command(flatten)]
    under_test: UnderTest,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Engines {
    KubeApiserver,
    Standalone,
    /// ark-apiserver behind the aggregation layer.
    Cluster,
    /// kube-apiserver and standalone.
    Both,
}

impl Engines {
    fn kinds(self) -> &'static [Kind] {
        match self {
            Self::KubeApiserver => &[Kind::KubeApiserver],
            Self::Standalone => &[Kind::Standalone],
            Self::Cluster => &[Kind::Cluster],
            Self::Both => &[Kind::KubeApiserver, Kind::Standalone],
        }
    }
}

fn main() -> ExitCode {
    match start() {
        Ok(code) => code,
        Err(error) => {
            print_line(&format!("scenarios: {error:#}"));
            ExitCode::from(2)
        }
    }
}

#[tokio::main]
async fn start() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    // Dropping the future drops the engines, which kills their processes.
    tokio::select! {
        code = perform(arguments.command) => code,
        _ = interrupt.recv() => bail!("interrupted"),
        _ = terminate.recv() => bail!("terminated"),
    }
}

async fn perform(command: Command) -> Result<ExitCode> {
    let repository = Repository::find()?;
    let reference = Reference::find(&repository, print_line).await?;
    match command {
        Command::Run(arguments) => run(&repository, &reference, arguments).await,
        Command::Play(arguments) => Box::pin(play(repository, &reference, &arguments)).await,
        Command::Audit(arguments) => audit(&repository, &reference, arguments).await,
        Command::Clients { under_test } => {
            for kind in [Kind::KubeApiserver, Kind::Standalone] {
                let engine = Engine::start(kind, &repository, &reference, &under_test).await?;
                let checked = clients::check(&engine, &repository).await;
                engine.stop().await;
                checked?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Up { engine, under_test } => {
            let backend_means_something = engine.is_under_test() || under_test.backend.is_none();
            ensure!(backend_means_something, BACKEND);
            let mut engine = Engine::start(engine, &repository, &reference, &under_test).await?;
            let kubectl = reference.kubectl.display();
            print_line(&format!(
                "export KUBECONFIG={}",
                engine.admin_kubeconfig().display()
            ));
            print_line(&format!(
                "# kubectl of the reference release: {kubectl}; Ctrl-C stops the server"
            ));
            loop {
                tokio::time::sleep(Duration::from_millis(500)).await;
                if let Some(end) = engine.failure() {
                    bail!(end);
                }
            }
        }
    }
}

async fn play(
    repository: Repository,
    reference: &Reference,
    arguments: &PlayArguments,
) -> Result<ExitCode> {
    let kinds = Kinds::of(arguments.seed);
    let folder = tempfile::Builder::new().prefix("kinds-").tempdir()?;
    kinds.write(folder.path())?;
    let repository = repository.with_kinds(folder.path());
    let (kube, ours) = tokio::try_join!(
        Engine::start(
            Kind::KubeApiserver,
            &repository,
            reference,
            &arguments.under_test
        ),
        Engine::start(
            Kind::Standalone,
            &repository,
            reference,
            &arguments.under_test
        ),
    )?;
    let time = Duration::from_secs(arguments.seconds);
    let played = play::play((&kube, &ours), &kinds, arguments.seed, time).await;
    for mut engine in [kube, ours] {
        if let Some(end) = engine.failure() {
            bail!("{end} while histories were played");
        }
        engine.stop().await;
    }
    let played = played?;
    if let Some(difference) = &played.difference {
        print_line(&format!("seed {}: {difference}", arguments.seed));
        return Ok(ExitCode::FAILURE);
    }
    played.check()?;
    print_line(&format!(
        "{} histories, {} responses ({} below 300, {} conflicts), {} unstable, 0 differences",
        played.histories, played.responses, played.successes, played.conflicts, played.unstable
    ));
    Ok(ExitCode::SUCCESS)
}

/// One scenario at a time, because steps of others change lists.
async fn audit(
    repository: &Repository,
    reference: &Reference,
    arguments: AuditArguments,
) -> Result<ExitCode> {
    let scenarios = suite::load(repository, &arguments.files, arguments.filter.as_ref())?;
    let folder = tempfile::Builder::new().prefix("audit-").tempdir()?;
    let (mut engines, mut files) = (Vec::new(), Vec::new());
    for (kind, name) in [
        (Kind::KubeApiserver, "reference"),
        (Kind::Standalone, "ours"),
    ] {
        let created = Files::create(&folder.path().join(name))?;
        let under_test = UnderTest {
            audit: Some(created.clone()),
            ..arguments.under_test.clone()
        };
        engines.push(Engine::start(kind, repository, reference, &under_test).await?);
        files.push(created);
    }
    suite::run_all(&engines, &scenarios, 1, false).await;
    for mut engine in engines {
        if let Some(end) = engine.failure() {
            bail!("{end} while scenarios were running");
        }
        engine.stop().await;
    }
    let (first, second) = (files[0].events()?, files[1].events()?);
    let (requests, differences) = compare(&first, &second);
    ensure!(requests > 0, "no request has audit events");
    if let Some(differences) = differences {
        print_line(&differences);
        print_line(&format!("{requests} requests, with differences"));
        return Ok(ExitCode::FAILURE);
    }
    print_line(&format!("{requests} requests, 0 differences"));
    Ok(ExitCode::SUCCESS)
}

async fn run(
    repository: &Repository,
    reference: &Reference,
    arguments: RunArguments,
) -> Result<ExitCode> {
    let mut scenarios = suite::load(repository, &arguments.files, arguments.filter.as_ref())?;
    let under_test = &arguments.under_test;
    let kinds: Vec<Kind> = arguments
        .engine
        .iter()
        .flat_map(|engine| engine.kinds())
        .copied()
        .collect();
    ensure!(
        kinds.len() <= 2,
        "--engine: at most two engines are compared"
    );
    let has_effect = kinds.iter().any(|kind| kind.is_under_test());
    ensure!(has_effect || under_test.backend.is_none(), BACKEND);
    if kinds.contains(&Kind::Cluster) {
        scenarios.retain(|scenario| {
            let reason = scenario.not_in_cluster.as_deref();
            if let Some(reason) = reason {
                print_line(&format!("skip   {}: {reason}", scenario.name));
            }
            reason.is_none()
        });
    }
    let mut engines = Vec::new();
    for kind in kinds {
        engines.push(match &arguments.url {
            Some(kubeconfig) if kind.is_under_test() => {
                Engine::connect(kubeconfig, reference.kubectl.clone()).await?
            }
            _ => Engine::start(kind, repository, reference, under_test).await?,
        });
    }
    let verdicts = suite::run_all(&engines, &scenarios, arguments.jobs, arguments.print).await;
    for mut engine in engines {
        if let Some(end) = engine.failure() {
            bail!("{end} while scenarios were running");
        }
        engine.stop().await;
    }
    if let Some(file) = &arguments.junit {
        junit(file, &verdicts)?;
    }
    let failed = verdicts
        .iter()
        .filter(|verdict| verdict.failure.is_some())
        .count();
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
