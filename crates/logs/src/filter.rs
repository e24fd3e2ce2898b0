//! Log levels by module.

use std::str::FromStr;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

/// Libraries whose lines are limited to a level unless the filter names them. Warnings of the first
/// two are about client input: any client can cause thousands per second. At debug level, the
/// others write several lines per request or frame.
const LIBRARIES: [(&str, LevelFilter); 10] = [
    ("rustls", LevelFilter::ERROR),
    ("h2", LevelFilter::ERROR),
    ("hyper", LevelFilter::INFO),
    ("hyper_util", LevelFilter::INFO),
    ("tonic", LevelFilter::INFO),
    ("tower", LevelFilter::INFO),
    ("mio", LevelFilter::INFO),
    ("kube", LevelFilter::INFO),
    ("kube_client", LevelFilter::INFO),
    ("tokio_postgres", LevelFilter::INFO),
];

/// A level, and levels by module, as in `RUST_LOG`: `info,gateway::store=debug`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    text: String,
    level: LevelFilter,
    modules: Vec<(String, LevelFilter)>,
}

/// Why a filter is invalid.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// A level that does not exist, or a module without one.
    #[error("{0:?} is no log level: use off, error, warn, info, debug, trace or MODULE=LEVEL")]
    Level(String),
    /// No name of a module.
    #[error("{0:?} is no module: use MODULE=LEVEL, such as gateway::store=debug")]
    Module(String),
    /// Two levels for everything else.
    #[error("two log levels without a module: {0:?}")]
    Repeated(String),
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            text: "info".to_owned(),
            level: LevelFilter::INFO,
            modules: Vec::new(),
        }
    }
}

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        let (mut default, mut modules) = (None, Vec::new());
        for directive in text.split(',').map(str::trim) {
            match directive.split_once('=') {
                Some((module, name)) => {
                    let module = module.trim();
                    let known = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
                    if module.is_empty() || !module.chars().all(known) {
                        return Err(FilterError::Module(module.to_owned()));
                    }
                    modules.push((module.to_owned(), level(name.trim())?));
                }
                None => {
                    let level = level(directive)?;
                    if default.replace(level).is_some() {
                        return Err(FilterError::Repeated(text.to_owned()));
                    }
                }
            }
        }
        Ok(Self {
            text: text.to_owned(),
            // As in RUST_LOG, a filter of modules only is silent about the others; but errors of
            // the program are never hidden by accident.
            level: default.unwrap_or(LevelFilter::ERROR),
            modules,
        })
    }
}

impl Filter {
    /// The text that the filter was read from, for the environment of a child process.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The filter for tracing-subscriber.
    pub(crate) fn targets(&self) -> Targets {
        let named = |library: &str| {
            self.modules.iter().any(|(module, _)| {
                let rest = module.strip_prefix(library);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
            })
        };
        let libraries = LIBRARIES.iter().filter(|(library, _)| !named(library));
        Targets::new()
            .with_default(self.level)
            .with_targets(libraries.map(|(library, most)| (*library, self.level.min(*most))))
            .with_targets(self.modules.iter().cloned())
    }
}

fn level(name: &str) -> Result<LevelFilter, FilterError> {
    // tracing takes the empty text for a level.
    let known = if name.is_empty() {
        None
    } else {
        name.parse().ok()
    };
    known.ok_or_else(|| FilterError::Level(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn invalid_filters_are_rejected() {
        for (text, part) in [
            ("inof", "\"inof\" is no log level"),
            ("", "\"\" is no log level"),
            ("info,", "\"\" is no log level"),
            ("info,gateway", "\"gateway\" is no log level"),
            ("gateway=verbose", "\"verbose\" is no log level"),
            ("gateway=", "\"\" is no log level"),
            ("=debug", "\"\" is no module"),
            ("a b=debug", "\"a b\" is no module"),
            ("info,debug", "two log levels"),
        ] {
            let error = text.parse::<Filter>().expect_err(text).to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
        for text in [
            "info",
            "WARN",
            "off",
            "info, gateway::store=debug",
            "h2=trace",
        ] {
            text.parse::<Filter>().expect(text);
        }
    }

    #[test]
    fn lines_of_libraries_need_their_name() {
        let enabled = |text: &str, target: &str, level: Level| {
            let filter: Filter = text.parse().expect(text);
            filter.targets().would_enable(target, &level)
        };
        for (text, target, level, expected) in [
            ("debug", "gateway::store", Level::DEBUG, true),
            ("debug", "sidecar::service", Level::DEBUG, true),
            ("debug", "h2::codec::framed_read", Level::DEBUG, false),
            ("trace", "h2::codec::framed_read", Level::WARN, false),
            ("info", "h2::codec", Level::ERROR, true),
            ("debug", "hyper_util::client", Level::DEBUG, false),
            ("debug", "hyper::proto", Level::INFO, true),
            ("error", "hyper::proto", Level::INFO, false),
            ("off", "h2::codec", Level::ERROR, false),
            ("debug,h2=debug", "h2::codec", Level::DEBUG, true),
            ("info,h2::codec=debug", "h2::codec", Level::DEBUG, true),
            ("info,h2::codec=debug", "h2::hpack", Level::DEBUG, false),
            ("info,rustls=warn", "rustls::conn", Level::WARN, true),
            ("info", "rustls::conn", Level::WARN, false),
            ("gateway=debug", "gateway::app", Level::DEBUG, true),
            ("gateway=debug", "standalone", Level::ERROR, true),
            ("gateway=debug", "standalone", Level::WARN, false),
        ] {
            assert_eq!(
                enabled(text, target, level),
                expected,
                "{text} {target} {level}"
            );
        }
    }
}
