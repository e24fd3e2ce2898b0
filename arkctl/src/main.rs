//! The `arkctl` binary; see the library.

#![expect(clippy::print_stderr, reason = "a command line talks to its user")]

use std::process::ExitCode;
use std::time::Duration;

use arkctl::args::Arguments;
use logs::Format;

/// Exit code of invalid arguments, the same as clap's.
const MISUSE: u8 = 2;
/// How long a thread that waits for a disk or a pipe may delay the exit.
const EXIT_TIMEOUT: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let arguments = match command_line::parse::<Arguments>(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(usage) => return usage.print("arkctl", Format::Text),
    };
    match on_deep_stack(|| run(arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            if is_misuse(&error) {
                ExitCode::from(MISUSE)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(kube_json::STACK_SIZE)
        .build()?;
    let result = runtime.block_on(arkctl::run(arguments));
    runtime.shutdown_timeout(EXIT_TIMEOUT);
    result
}

/// Runs on a thread whose stack, unlike the main thread's, suffices for the deepest value.
fn on_deep_stack(work: impl FnOnce() -> anyhow::Result<()> + Send + 'static) -> anyhow::Result<()> {
    std::thread::Builder::new()
        .stack_size(kube_json::STACK_SIZE)
        .spawn(work)?
        .join()
        .unwrap_or_else(|_| Err(anyhow::anyhow!("arkctl panicked")))
}

/// Whether an argument is invalid: addresses are parsed only when they are used.
fn is_misuse(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<backend_client::Error>();
    matches!(error, Some(backend_client::Error::Address(_)))
}
