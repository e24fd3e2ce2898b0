//! Reload of certificates while the server runs.
//!
//! The contents of the files are compared every half minute: mounted secrets change through a
//! symbolic link, which a file watch would miss, and the files are small. New connections use the
//! new certificate; open ones keep theirs. If a file becomes unusable, the error is logged and the
//! last valid state remains.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio_util::sync::CancellationToken;

use super::tls::{Contents, Error, Files};
use crate::auth::Trust;

/// Interval between two reads of the files.
const POLL_EVERY: Duration = Duration::from_secs(30);

/// TLS state that follows its files.
#[derive(Debug)]
pub struct Reloader {
    files: Files,
    contents: Contents,
    config: Arc<ArcSwap<ServerConfig>>,
    trust: Arc<ArcSwap<Trust>>,
}

impl Reloader {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// If one is unreadable or unusable.
    pub fn new(files: Files) -> Result<Self, Error> {
        let contents = files.read()?;
        let (config, trust) = files.build(&contents)?;
        Ok(Self {
            files,
            contents,
            config: Arc::new(ArcSwap::new(config)),
            trust: Arc::new(ArcSwap::from_pointee(trust)),
        })
    }

    /// The TLS configuration of new connections.
    pub fn config(&self) -> Arc<ArcSwap<ServerConfig>> {
        self.config.clone()
    }

    /// The authorities of clients.
    pub fn trust(&self) -> Arc<ArcSwap<Trust>> {
        self.trust.clone()
    }

    /// Reads the files periodically until `stop` is cancelled.
    pub async fn run(mut self, stop: CancellationToken) {
        while stop
            .run_until_cancelled(tokio::time::sleep(POLL_EVERY))
            .await
            .is_some()
        {
            self.look();
        }
    }

    /// Reads the files once and applies changes.
    pub fn look(&mut self) {
        let changed = self.files.read().and_then(|contents| {
            if contents == self.contents {
                return Ok(None);
            }
            let built = self.files.build(&contents)?;
            Ok(Some((contents, built)))
        });
        match changed {
            Ok(None) => {}
            Ok(Some((contents, (config, trust)))) => {
                self.contents = contents;
                self.config.store(config);
                self.trust.store(Arc::new(trust));
                tracing::info!("reloaded certificates");
            }
            Err(err) => tracing::error!(%err, "cannot reload certificates, keeping the old ones"),
        }
    }
}
