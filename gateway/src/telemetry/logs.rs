//! Log output: stderr, one line per event.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

/// Installs the log writer and the panic hook of the process; the first call wins.
///
/// `filter` is a directive as in `RUST_LOG`; an invalid one falls back to `info`.
pub fn init(filter: &str, json: bool) {
    let filter =
        EnvFilter::try_new(complete(filter)).unwrap_or_else(|_| EnvFilter::new(complete("info")));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        // The internal error would be printed to stderr, which panics if stderr is closed.
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

/// Libraries whose warnings are about client input: any client can cause thousands per second.
const OF_CLIENTS: [&str; 2] = ["rustls", "h2"];

/// Adds the levels of [`OF_CLIENTS`], unless the filter names them.
fn complete(filter: &str) -> String {
    let named = |library: &&str| {
        filter
            .split(',')
            .any(|directive| directive.trim().starts_with(library))
    };
    let missing = OF_CLIENTS.iter().filter(|library| !named(library));
    missing.fold(filter.to_owned(), |filter, library| {
        format!("{filter},{library}=error")
    })
}

#[cfg(test)]
mod tests {
    use super::complete;

    #[test]
    fn client_caused_warnings_are_off_by_default() {
        for (filter, expected) in [
            ("info", "info,rustls=error,h2=error"),
            ("debug,h2=info", "debug,h2=info,rustls=error"),
            ("info,rustls=debug", "info,rustls=debug,h2=error"),
            ("h2::codec=trace,rustls=info", "h2::codec=trace,rustls=info"),
        ] {
            assert_eq!(complete(filter), expected);
        }
    }
}
