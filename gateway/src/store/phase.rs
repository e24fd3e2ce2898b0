//! Where the store stands.

use std::time::Duration;

use tokio::time::Instant;

use crate::backend::SILENCE_TIMEOUT;

/// How long the change stream may be down before the server stops being ready: a driver that is
/// started again is back sooner. A driver takes up to 3.75 s to notice that its database is silent.
const STALE_GRACE: Duration = Duration::from_secs(1);
/// When a server whose storage does not answer is no longer ready, as promised.
const MAX_DETECTION_LATENCY: Duration = Duration::from_secs(5);

// The silence that it takes to notice counts too. Tests on a busy machine cannot measure this.
const _: () = assert!(
    SILENCE_TIMEOUT.saturating_add(STALE_GRACE).as_nanos() < MAX_DETECTION_LATENCY.as_nanos()
);

/// State of the caches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Being loaded for the first time; nothing is served. Left for `Ready`.
    Initializing {
        /// What stood in the way of the last attempt.
        trouble: Option<String>,
    },
    /// As `Initializing`, and nothing but a person can help: what is stored cannot be read. It is tried
    /// again all the same. Left for `Ready`.
    Damaged {
        /// What the driver says of it.
        trouble: String,
    },
    /// Loaded, and the change stream is up. Left for `Stale` when the stream breaks, and for
    /// `Resyncing` when the caches are void.
    Ready,
    /// Loaded, but the change stream is down: caches are kept and may serve what may be stale.
    /// Left for `Ready` when the stream resumes, for `Resyncing` when it cannot.
    Stale {
        /// Since when.
        since: Instant,
        /// Why.
        trouble: String,
    },
    /// The caches are void (commits may be missing) or too far behind; being loaded again. Left
    /// for `Ready`.
    Resyncing {
        /// Why.
        trouble: String,
    },
}

impl Phase {
    /// Whether requests can be answered, for readyz.
    ///
    /// # Errors
    /// One sentence about what is missing.
    pub fn ready(&self) -> Result<(), String> {
        match self {
            Self::Ready => Ok(()),
            Self::Stale { since, .. } if since.elapsed() < STALE_GRACE => Ok(()),
            Self::Stale { trouble, .. } => {
                Err(format!("changes of storage do not arrive: {trouble}"))
            }
            Self::Damaged { trouble } => Err(format!("objects cannot be loaded: {trouble}")),
            Self::Initializing { trouble: None } => Err("objects are being loaded".to_owned()),
            Self::Initializing {
                trouble: Some(trouble),
            }
            | Self::Resyncing { trouble } => Err(format!("objects are being loaded: {trouble}")),
        }
    }
}
