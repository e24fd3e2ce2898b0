//! Reload of certificates while the server runs.
//!
//! Authorities come from files or, where there is no file, from kube-apiserver, which publishes
//! them in a ConfigMap.
//!
//! The contents of the files are compared every half minute: mounted secrets change through a
//! symbolic link, which a file watch would miss, and the files are small. New connections use the
//! new certificate; open ones keep theirs. If a file becomes unusable, the error is logged and the
//! last valid state remains.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::tls::{Contents, Error, Files};
use crate::auth::Trust;
use crate::kube::informer::AuthenticationConfig;

/// Interval between two reads of the files.
const POLL_EVERY: Duration = Duration::from_secs(30);

/// TLS state that follows its files, and the authorities of the cluster.
#[derive(Debug)]
pub struct Reloader {
    files: Files,
    contents: Contents,
    /// What kube-apiserver publishes; `None` without a cluster.
    published: Option<watch::Receiver<AuthenticationConfig>>,
    /// The last usable authorities of the cluster.
    cluster: Trust,
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
        let cluster = Trust::default();
        let (config, trust) = files.build(&contents, &cluster)?;
        Ok(Self {
            files,
            contents,
            published: None,
            cluster,
            config: Arc::new(ArcSwap::new(config)),
            trust: Arc::new(ArcSwap::from_pointee(trust)),
        })
    }

    /// Uses the authorities of the cluster where there is no file, now and as they change.
    #[must_use]
    pub fn following(mut self, mut published: watch::Receiver<AuthenticationConfig>) -> Self {
        published.mark_changed();
        self.published = Some(published);
        self.look();
        self
    }

    /// The TLS configuration of new connections.
    pub fn config(&self) -> Arc<ArcSwap<ServerConfig>> {
        self.config.clone()
    }

    /// The authorities of clients.
    pub fn trust(&self) -> Arc<ArcSwap<Trust>> {
        self.trust.clone()
    }

    /// Reads the files periodically, and follows the cluster, until `stop` is cancelled.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let published = self.published.as_mut();
            let changed = async {
                // An error means that the informer has ended, which happens at shutdown.
                if let Some(published) = published
                    && published.changed().await.is_ok()
                {
                    return;
                }
                std::future::pending().await
            };
            let is_published = tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(POLL_EVERY) => false,
                () = changed => true,
            };
            // `changed` has marked the value as seen, and `look` reads only unseen ones.
            if is_published && let Some(published) = &mut self.published {
                published.mark_changed();
            }
            self.look();
        }
    }

    /// Reads files and cluster once and applies changes.
    pub fn look(&mut self) {
        let published = self.published_now();
        let changed = published.is_some();
        if let Some(published) = published {
            self.cluster = published;
        }
        let built = self.files.read().and_then(|contents| {
            if !changed && contents == self.contents {
                return Ok(None);
            }
            let built = self.files.build(&contents, &self.cluster)?;
            Ok(Some((contents, built)))
        });
        match built {
            Ok(None) => {}
            Ok(Some((contents, (config, trust)))) => {
                self.contents = contents;
                self.config.store(config);
                self.trust.store(Arc::new(trust));
                tracing::info!("reloaded certificates");
            }
            Err(err) => {
                tracing::error!(%err, "cannot reload certificates, keeping the old ones");
                self.use_cluster(changed);
            }
        }
    }

    /// Applies a change of the cluster to the last valid files.
    fn use_cluster(&mut self, changed: bool) {
        let built = changed.then(|| self.files.build(&self.contents, &self.cluster));
        if let Some(Ok((config, trust))) = built {
            self.config.store(config);
            self.trust.store(Arc::new(trust));
        }
    }

    /// The authorities of the cluster, if they changed.
    fn published_now(&mut self) -> Option<Trust> {
        let published = self.published.as_mut()?;
        if !published.has_changed().unwrap_or(false) {
            return None;
        }
        let config = published.borrow_and_update();
        Some(Trust::published(&config, &self.cluster))
    }
}
