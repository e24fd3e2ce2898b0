//! Flags that set limits.

use super::Size;
use crate::serving::limits;
use crate::store::{Limits, StoreConfig};

/// Limits.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Limits")]
pub struct Tuning {
    /// Concurrent read-only requests; excess requests get 429. 0 is unlimited.
    #[arg(long, env = "ARK_MAX_REQUESTS_INFLIGHT", value_name = "N", default_value_t = limits::MAX_READS)]
    pub max_requests_inflight: usize,

    /// Concurrent mutating requests; excess requests get 429. 0 is unlimited.
    #[arg(long, env = "ARK_MAX_MUTATING_REQUESTS_INFLIGHT", value_name = "N", default_value_t = limits::MAX_WRITES)]
    pub max_mutating_requests_inflight: usize,

    /// Memory for past changes, from which watches resume.
    #[arg(long, env = "ARK_WATCH_HISTORY_BYTES", value_name = "BYTES", default_value_t = Size(32 << 20))]
    pub watch_history_bytes: Size,

    /// Memory for objects and past changes together; past changes are dropped first.
    #[arg(long, env = "ARK_WATCH_CACHE_BYTES", value_name = "BYTES", default_value_t = Size(1 << 30))]
    pub watch_cache_bytes: Size,

    /// Past changes that are read at startup, so that watches from before the start can resume.
    #[arg(
        long,
        env = "ARK_WATCH_REPLAY",
        value_name = "N",
        default_value_t = 10_000
    )]
    pub watch_replay: u64,
}

impl Tuning {
    /// Memory bounds of the store.
    #[must_use]
    pub const fn store(&self) -> StoreConfig {
        StoreConfig {
            limits: Limits {
                history: self.watch_history_bytes.0,
                total: self.watch_cache_bytes.0,
            },
            replay: self.watch_replay,
        }
    }
}
