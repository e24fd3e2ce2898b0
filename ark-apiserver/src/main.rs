//! `ark-apiserver`: the API server as a process.

#[cfg(feature = "jemalloc")]
mod allocator;
mod arguments;

use std::process::ExitCode;

use std::ffi::OsString;

use anyhow::{Context as _, anyhow, bail};
use clap::CommandFactory as _;
use gateway::app::{self, Build, Process};
use gateway::serving::descriptors;
use gateway::serving::listener::HANDSHAKES;
use logs::Format;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::arguments::{Arguments, Command};

/// Name in JSON logs.
const NAME: &str = "ark-apiserver";

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    let arguments = match arguments::parse(words.clone()) {
        Ok(arguments) => arguments,
        Err(usage) => {
            return usage.print(NAME, arguments::format_of(&words));
        }
    };
    let format = Format::from(arguments.log_format);
    logs::init(&arguments.log, format);
    match on_deep_stack(move || serve(arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Each error text already contains its cause, so sources are not printed.
            format.report(NAME, error);
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
        build: Build {
            commit: env!("ARK_BUILD_COMMIT"),
            tree_state: env!("ARK_BUILD_TREE_STATE"),
            date: env!("ARK_BUILD_DATE"),
        },
    };
    let server = runtime(Builder::new_multi_thread().event_interval(POLLS))?;
    let result = server.block_on(async {
        let stop = CancellationToken::new();
        let second_signal = shutdown_signal(stop.clone());
        // On another thread than the signals, because the start may read from a pipe.
        let mut running = JoinSet::new();
        running.spawn(run(arguments, process, stop));
        tokio::select! {
            Some(ended) = running.join_next() => {
                ended.unwrap_or_else(|_| Err(anyhow!("the server panicked")))
            }
            aborted = second_signal => aborted,
        }
    });
    // Every task was awaited, or the second signal is not to wait for any.
    server.shutdown_background();
    result
}

async fn run(
    arguments: Arguments,
    process: Process,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let format = Format::from(arguments.log_format);
    // Boxed, because the futures are large and only one of them runs.
    match arguments.command {
        Command::Standalone(options) => {
            let logs = standalone::Logs {
                filter: arguments.log,
                format,
            };
            let running = standalone::run(&options, &logs, process, stop);
            Ok(Box::pin(running).await?)
        }
        Command::Serve(options) => Ok(Box::pin(app::serve(&options, process, stop)).await?),
        Command::Documents(documents) => {
            let written = documents.write(Arguments::command(), &mut std::io::stdout());
            written.context("cannot write")
        }
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
