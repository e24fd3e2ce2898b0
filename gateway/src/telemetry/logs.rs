//! Log output: stderr, one line per event.

use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::fields;

/// Installs the log writer and the panic hook of the process; the first call wins.
///
/// `filter` is a directive as in `RUST_LOG`; an invalid one falls back to `info`.
pub fn init(filter: &str, json: bool) {
    let filter = complete(filter)
        .parse::<Targets>()
        .or_else(|_| complete("info").parse())
        .unwrap_or_default();
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        // The internal error would be printed to stderr, which panics if stderr is closed.
        .log_internal_errors(false)
        .with_span_events(FmtSpan::NONE);
    let registry = tracing_subscriber::registry();
    let installed = if json {
        let layer = layer.json().fmt_fields(fields::Json::default());
        registry.with(layer).with(filter).try_init()
    } else {
        let layer = layer.with_target(false).fmt_fields(fields::Text::default());
        registry.with(layer).with(filter).try_init()
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
