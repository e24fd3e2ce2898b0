//! Command line of the judge.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};
use scenarios::engine::reference::Reference;
use scenarios::engine::{Engine, Kind};
use scenarios::repository::Repository;
use tokio::signal::unix::{SignalKind, signal};

/// Plays scenario files against a real kube-apiserver and against ark-apiserver.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start one engine with the scenarios' kinds, print its KUBECONFIG and wait for Ctrl-C.
    Up {
        /// Which engine.
        #[arg(long, default_value = "kube-apiserver")]
        engine: Kind,
        /// The judged program; default: ark-apiserver beside this one.
        #[arg(long)]
        standalone_bin: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    match play() {
        Ok(code) => code,
        Err(error) => {
            say(&format!("scenarios: {error:#}"));
            ExitCode::from(2)
        }
    }
}

#[tokio::main]
async fn play() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    // Dropping the work drops the engines, which kills their processes.
    tokio::select! {
        code = perform(arguments.command) => code,
        _ = interrupt.recv() => bail!("interrupted"),
        _ = terminate.recv() => bail!("terminated"),
    }
}

async fn perform(command: Command) -> Result<ExitCode> {
    let repository = Repository::find()?;
    let reference = Reference::find(&repository, say).await?;
    match command {
        Command::Up {
            engine,
            standalone_bin,
        } => {
            let bin = standalone_bin.as_deref();
            let mut engine = Engine::start(engine, &repository, &reference, bin).await?;
            let kubectl = reference.kubectl.display();
            say(&format!(
                "export KUBECONFIG={}",
                engine.admin_kubeconfig().display()
            ));
            say(&format!(
                "# kubectl of the reference release: {kubectl}; Ctrl-C ends the server"
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

/// The one place that owns standard output; a closed one is no reason to fail.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}
