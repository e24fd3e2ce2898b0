//! Certificates are replaced on disk while the server runs; this notices.
//!
//! The files' contents are compared every half minute: mounted secrets change by a symbolic link, which
//! watching a file would miss, and the files are small. New connections use the new certificate; old
//! ones keep theirs. A file that became unusable is logged and the last good state stays.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio_util::sync::CancellationToken;

use super::tls::{Contents, Error, Files};
use crate::auth::Trust;

/// Time between two looks at the files.
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
    /// When one is unreadable or of no use.
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

    /// What new connections are accepted with.
    pub fn config(&self) -> Arc<ArcSwap<ServerConfig>> {
        self.config.clone()
    }

    /// Who vouches for clients.
    pub fn trust(&self) -> Arc<ArcSwap<Trust>> {
        self.trust.clone()
    }

    /// Looks at the files until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        while stop
            .run_until_cancelled(tokio::time::sleep(POLL_EVERY))
            .await
            .is_some()
        {
            self.look();
        }
    }

    /// Looks at the files once and takes what changed.
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
                tracing::info!("took new certificates");
            }
            Err(err) => tracing::error!(%err, "kept the old certificates"),
        }
    }
}
