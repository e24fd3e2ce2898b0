//! Logging of a driver process, on standard error.

use logs::{Filter, FilterError, Format, FormatError};

/// Environment variables, which a driver shares with the gateway that starts it.
const FILTER: &str = "ARK_LOG";
const FORMAT: &str = "ARK_LOG_FORMAT";

/// Invalid environment variable.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a filter.
    #[error("{FILTER}: {0}")]
    Filter(#[source] FilterError),
    /// Not a format.
    #[error("{FORMAT}: {0}")]
    Format(#[source] FormatError),
}

/// Initializes logging with the filter of `ARK_LOG` (default `info`) and the format of
/// `ARK_LOG_FORMAT` (default `text`). Call once, before anything logs. Returns the format, in which
/// the program also reports why it ends.
///
/// # Errors
/// If one of the variables is invalid.
pub fn init() -> Result<Format, Error> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let filter = variable(FILTER).map(|text| text.parse());
    let filter: Filter = filter
        .transpose()
        .map_err(Error::Filter)?
        .unwrap_or_default();
    let format = variable(FORMAT).map(|text| text.parse());
    let format = format
        .transpose()
        .map_err(Error::Format)?
        .unwrap_or_default();
    logs::init(&filter, format);
    Ok(format)
}
