//! What a driver's process says, on standard error.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// Writes logs from here on, at the level of `ARK_LOG` (`info` if it is absent). Called once, first.
pub fn init() {
    let filter = EnvFilter::builder()
        .with_env_var("ARK_LOG")
        .with_default_directive(tracing::Level::INFO.into())
        .from_env_lossy();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        // Told on standard error, which panics if that is what failed: whoever started us may be gone.
        .log_internal_errors(false)
        .init();
}
