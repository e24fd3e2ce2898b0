//! State of the store.

use std::time::Duration;

use tokio::time::Instant;

use crate::backend::SILENCE_TIMEOUT;

/// How long the change stream may be down before the server is not ready: a restarted driver is
/// back sooner. A driver takes up to 3.75 s to detect an unresponsive database.
const STALE_GRACE: Duration = Duration::from_secs(1);
/// Promised time until a server without storage is not ready (docs/promises.md).
const MAX_DETECTION_LATENCY: Duration = Duration::from_secs(5);

// Detection adds up: the silence timeout and the grace. Checked here, because a test on a busy
// machine cannot measure it.
const _: () = assert!(
    SILENCE_TIMEOUT.saturating_add(STALE_GRACE).as_nanos() < MAX_DETECTION_LATENCY.as_nanos()
);

/// State of the caches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Loading for the first time; nothing is served. Next: `Ready`.
    Initializing {
        /// Error of the last attempt.
        last_error: Option<String>,
    },
    /// As `Initializing`, but stored data cannot be read, so an operator must act. Loading is
    /// retried nevertheless. Next: `Ready`.
    Damaged {
        /// Error of the driver.
        error: String,
    },
    /// Loaded, and the change stream is connected. Next: `Stale` when the stream breaks,
    /// `Resyncing` when the caches become invalid.
    Ready,
    /// Loaded, but the change stream is down: the caches serve reads that accept stale data. Next:
    /// `Ready` when the stream resumes, `Resyncing` when it cannot.
    Stale {
        /// Start of this phase.
        since: Instant,
        /// Why.
        cause: String,
    },
    /// The store is retired: another server serves its objects, under other revisions. Running
    /// watches have ended. Next: `Ready` when the fence is lifted.
    Retired {
        /// Why.
        cause: String,
    },
    /// The caches are invalid (commits may be missing) or too far behind, and are being reloaded.
    /// Next: `Ready`.
    Resyncing {
        /// Why.
        cause: String,
    },
}

impl Phase {
    /// Whether the objects have been loaded since the start.
    #[must_use]
    pub const fn is_loaded(&self) -> bool {
        match self {
            Self::Initializing { .. } | Self::Damaged { .. } => false,
            // A pod without objects stays in the Service: only its responses make clients list again.
            Self::Retired { .. } => true,
            Self::Ready | Self::Stale { .. } | Self::Resyncing { .. } => true,
        }
    }

    /// Whether requests can be served, for readyz.
    ///
    /// # Errors
    /// A sentence about the cause.
    pub fn ready(&self) -> Result<(), String> {
        match self {
            Self::Ready => Ok(()),
            Self::Stale { since, .. } if since.elapsed() < STALE_GRACE => Ok(()),
            Self::Stale { cause, .. } => Err(format!("changes of storage do not arrive: {cause}")),
            Self::Retired { cause } => Err(cause.clone()),
            Self::Damaged { error } => Err(format!("objects cannot be loaded: {error}")),
            Self::Initializing { last_error: None } => Err("objects are being loaded".to_owned()),
            Self::Initializing {
                last_error: Some(cause),
            }
            | Self::Resyncing { cause } => Err(format!("objects are being loaded: {cause}")),
        }
    }
}
