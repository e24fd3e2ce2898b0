//! Logging of a driver process, on standard error.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// Initializes logging at the level of `ARK_LOG` (default `info`). Call once, before anything logs.
pub fn init() {
    let filter = EnvFilter::builder()
        .with_env_var("ARK_LOG")
        .with_default_directive(tracing::Level::INFO.into())
        .from_env_lossy();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        // Internal errors are printed to standard error, and printing panics if standard error is
        // closed. The parent process may have closed it.
        .log_internal_errors(false)
        .init();
}
