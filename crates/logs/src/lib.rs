//! Log lines of all programs: standard error, one line per event, as text or JSON.

mod fields;
mod filter;

use std::fmt::Display;
use std::io::Write as _;
use std::str::FromStr;

use serde_json::json;
use tracing_subscriber::fmt::format::{FmtSpan, Writer};
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

pub use filter::{Filter, FilterError};

/// Format of all lines of a process on standard error, including the last one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Text for people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Name of an unknown format.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no log format: use text or json")]
pub struct FormatError(String);

impl FromStr for Format {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(FormatError(text.to_owned())),
        }
    }
}

impl Format {
    /// The name, as flags and environment variables have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }

    /// Prints why a program ends, whatever the filter. `program` is its name.
    pub fn report(self, program: &str, error: impl Display) {
        let line = match self {
            Self::Text => format!("error: {error}"),
            Self::Json => json!({
                "timestamp": now(),
                "level": "ERROR",
                "fields": {"message": "exiting", "error": error.to_string()},
                "target": program,
            })
            .to_string(),
        };
        print(&line);
    }

    /// Prints a line of a child process; `child` is its name. A JSON object gets the member
    /// `process`; any other line becomes the message of one.
    pub fn forward(self, child: &str, line: &str) {
        match self {
            Self::Text => print(&format!("{child}: {line}")),
            Self::Json => print(&forwarded(child, line)),
        }
    }

    /// The error in a line that a child process printed with [`Format::report`] or logged; the line
    /// itself if it has none.
    #[must_use]
    pub fn problem(self, line: &str) -> String {
        if self == Self::Json
            && let Ok(parsed) = serde_json::from_str::<serde_json::Value>(line)
        {
            let field = |name: &str| parsed["fields"][name].as_str();
            if let Some(problem) = field("error").or_else(|| field("message")) {
                return problem.to_owned();
            }
        }
        line.strip_prefix("error: ").unwrap_or(line).to_owned()
    }
}

/// Installs the log writer and the panic hook of the process; the first call wins.
pub fn init(filter: &Filter, format: Format) {
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        // The internal error would be printed to stderr, which panics if stderr is closed.
        .log_internal_errors(false)
        .with_span_events(FmtSpan::NONE);
    let registry = tracing_subscriber::registry();
    let filter = filter.targets();
    let installed = match format {
        Format::Json => {
            let layer = layer.json().fmt_fields(fields::Json::default());
            registry.with(layer).with(filter).try_init()
        }
        Format::Text => {
            let layer = layer.fmt_fields(fields::Text::default());
            registry.with(layer).with(filter).try_init()
        }
    };
    if installed.is_ok() {
        std::panic::set_hook(Box::new(|panic| {
            let backtrace = std::backtrace::Backtrace::capture();
            tracing::error!(%panic, %backtrace, "panicked");
        }));
    }
}

fn print(line: &str) {
    // A failed write means that stderr is closed, so the error cannot be reported.
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn forwarded(child: &str, line: &str) -> String {
    let parsed = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(line);
    if parsed.is_ok() && line.starts_with('{') {
        // The other members keep their order.
        let rest = line.trim_start_matches('{').trim_start();
        let comma = if rest.starts_with('}') { "" } else { "," };
        return format!("{{\"process\":{}{comma}{rest}", json!(child));
    }
    json!({
        "process": child,
        "timestamp": now(),
        "level": "INFO",
        "fields": {"message": line},
        "target": child,
    })
    .to_string()
}

/// The current time, as in the lines of tracing-subscriber.
fn now() -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = SystemTime.format_time(&mut Writer::new(&mut text));
    text
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn lines_of_a_child_become_json_objects() {
        let parse = |line: &str| -> Value {
            let forwarded = forwarded("driver", line);
            serde_json::from_str(&forwarded).expect(&forwarded)
        };
        let log = parse(r#"{"level":"WARN","fields":{"message":"slow"}}"#);
        assert_eq!(log["process"], "driver");
        assert_eq!(log["level"], "WARN");
        assert_eq!(log["fields"]["message"], "slow");
        assert_eq!(parse("{}"), json!({"process": "driver"}));
        for line in ["plain \"text\"", "[1]", "{half", "3", "{} {}"] {
            let plain = parse(line);
            assert_eq!(plain["fields"]["message"], line);
            assert!(
                plain["timestamp"]
                    .as_str()
                    .is_some_and(|it| it.ends_with('Z'))
            );
        }
    }

    #[test]
    fn problem_of_a_child_is_its_error() {
        for (format, line, problem) in [
            (Format::Text, "error: no disk", "no disk"),
            (Format::Text, "killed", "killed"),
            (
                Format::Json,
                r#"{"fields":{"message":"exiting","error":"no disk"}}"#,
                "no disk",
            ),
            (
                Format::Json,
                r#"{"fields":{"message":"migrating"}}"#,
                "migrating",
            ),
            (Format::Json, "error: no disk", "no disk"),
            (Format::Json, "{}", "{}"),
        ] {
            assert_eq!(format.problem(line), problem);
        }
    }

    #[test]
    fn formats_have_names() {
        for format in [Format::Text, Format::Json] {
            assert_eq!(format.name().parse::<Format>().unwrap(), format);
        }
        let error = "yaml".parse::<Format>().unwrap_err().to_string();
        assert!(error.contains("use text or json"), "{error}");
    }
}
