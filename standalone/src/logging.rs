//! How the processes of a standalone server log.

use logs::{Filter, Format};

/// How gateway and driver log.
#[derive(Debug, Clone)]
pub struct Logs {
    /// Levels by module.
    pub filter: Filter,
    /// Format of all lines, those of the driver included.
    pub format: Format,
}
