//! Where log lines go: to stderr, one line per event.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

/// Installs the process's log writer and panic hook; the first call wins.
///
/// `filter` is an `RUST_LOG` style directive; one that cannot be read falls back to `info`.
pub fn init(filter: &str, json: bool) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        // Told on standard error, which panics if that is what failed: nobody may be reading it.
        .log_internal_errors(false)
        .with_span_events(FmtSpan::NONE);
    let installed = if json {
        builder.json().try_init()
    } else {
        builder.with_target(false).try_init()
    };
    if installed.is_ok() {
        std::panic::set_hook(Box::new(|panic| {
            let backtrace = std::backtrace::Backtrace::capture();
            tracing::error!(%panic, %backtrace, "panicked");
        }));
    }
}
