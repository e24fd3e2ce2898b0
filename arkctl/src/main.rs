//! `arkctl`: see the library.

#![expect(clippy::print_stderr, reason = "a command line talks to its user")]

use std::process::ExitCode;

use arkctl::args::Arguments;
use clap::Parser as _;

/// What clap exits with when it does not understand an argument.
const MISUSE: u8 = 2;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let result = runtime
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(arkctl::run(arguments)));
    match result {
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

/// Whether an argument could not be understood: addresses are read where they are used.
fn is_misuse(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<backend_client::Error>();
    matches!(error, Some(backend_client::Error::Address(_)))
}
