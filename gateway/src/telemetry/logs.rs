//! Where log lines go: to stderr, one line per event.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

/// Installs the process's log writer and panic hook; the first call wins.
///
/// `filter` is an `RUST_LOG` style directive; one that cannot be read falls back to `info`.
pub fn init(filter: &str, json: bool) {
    let filter =
        EnvFilter::try_new(complete(filter)).unwrap_or_else(|_| EnvFilter::new(complete("info")));
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

/// Adds the level of the TLS library, unless the filter names it: its warnings are about what clients send
/// before they are known, and anybody can cause thousands per second.
fn complete(filter: &str) -> String {
    if filter.contains("rustls") {
        return filter.to_owned();
    }
    format!("{filter},rustls=error")
}

#[cfg(test)]
mod tests {
    use super::complete;

    #[test]
    fn tls_warnings_need_to_be_asked_for() {
        for (filter, expected) in [
            ("info", "info,rustls=error"),
            ("debug,h2=info", "debug,h2=info,rustls=error"),
            ("info,rustls=debug", "info,rustls=debug"),
        ] {
            assert_eq!(complete(filter), expected);
        }
    }
}
