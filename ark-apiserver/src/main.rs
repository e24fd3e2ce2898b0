//! `ark-apiserver`: the API server as a process.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line talks to its user"
)]

#[cfg(feature = "jemalloc")]
mod allocator;
mod arguments;
mod usage;

use std::process::ExitCode;

use anyhow::{anyhow, bail};
use gateway::app::{self, Process};
use gateway::serving::descriptors;
use gateway::serving::listener::HANDSHAKES;
use gateway::telemetry;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::arguments::{Arguments, Command, LogFormat};

/// Exit code for invalid arguments.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let arguments = match arguments::parse(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(usage) if usage.failed() => {
            eprint!("{usage}");
            return ExitCode::from(USAGE);
        }
        Err(help) => {
            print!("{help}");
            return ExitCode::SUCCESS;
        }
    };
    telemetry::logs::init(&arguments.log, arguments.log_format == LogFormat::Json);
    match on_deep_stack(|| serve(arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Each error text already contains its cause, so sources are not printed.
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the server on a thread with a larger stack than the main thread's: `block_on` polls its
/// future on the calling thread, and that future handles values of the maximum depth.
fn on_deep_stack(
    server: impl FnOnce() -> anyhow::Result<()> + Send + 'static,
) -> anyhow::Result<()> {
    std::thread::Builder::new()
        .name("server".to_owned())
        .stack_size(kube_json::STACK_SIZE)
        .spawn(server)
        .map_err(|error| anyhow!("cannot start a thread: {error}"))?
        .join()
        .unwrap_or_else(|_| Err(anyhow!("the server panicked")))
}

/// Tasks that a thread runs before it polls its sockets: half of Tokio's default, because one task
/// may take the 16 ms of the largest inline work (`compute::INLINE`). At 16, a read costs 5 % more.
const POLLS: u32 = 32;

fn serve(arguments: Arguments) -> anyhow::Result<()> {
    // `install_default` fails if a provider is set; none is set before this call.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let connections = runtime(
        Builder::new_multi_thread()
            .worker_threads(HANDSHAKES)
            .thread_name("connections"),
    )?;
    let process = Process {
        connections: connections.handle().clone(),
        descriptors: descriptors::raise(),
    };
    runtime(Builder::new_multi_thread().event_interval(POLLS))?.block_on(async {
        let stop = CancellationToken::new();
        let second_signal = shutdown_signal(stop.clone());
        tokio::select! {
            result = run(arguments.command, process, stop) => result,
            aborted = second_signal => aborted,
        }
    })
}

async fn run(command: Command, process: Process, stop: CancellationToken) -> anyhow::Result<()> {
    match command {
        Command::Standalone(options) => Ok(standalone::run(&options, process, stop).await?),
        Command::Serve(options) => Ok(app::serve(&options, process, stop).await?),
    }
}

fn runtime(builder: &mut Builder) -> anyhow::Result<Runtime> {
    let builder = builder
        .enable_all()
        .thread_stack_size(kube_json::STACK_SIZE);
    let built = builder.build();
    built.map_err(|error| anyhow!("cannot start threads: {error}"))
}

/// Cancels `stop` at the first SIGINT or SIGTERM; returns an error at the second.
async fn shutdown_signal(stop: CancellationToken) -> anyhow::Result<()> {
    let failed = |error| anyhow!("cannot install the signal handler: {error}");
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    for _ in 0..2 {
        tokio::select! {
            _ = interrupt.recv() => stop.cancel(),
            _ = terminate.recv() => stop.cancel(),
        }
    }
    bail!("received second signal: exiting without draining")
}

#[cfg(test)]
mod tests;
