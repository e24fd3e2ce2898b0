//! Reload of certificates while the server runs.
//!
//! Authorities come from files or, where there is no file, from kube-apiserver, which publishes
//! them in a ConfigMap. The serving certificate comes from files or from a Secret of the cluster.
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

use super::expiry::{Expirations, Subject};
use super::tls::{Built, Contents, Error, Files, KeyPair};
use crate::auth::{Bundle, Trust};
use crate::kube::informer::AuthenticationConfig;

/// Interval between two reads of the files.
const POLL_EVERY: Duration = Duration::from_secs(30);

/// TLS state that follows its files, and the authorities of the cluster.
#[derive(Debug)]
pub struct Reloader {
    files: Files,
    contents: Contents,
    /// The serving certificate if there is no file of it.
    managed: Option<watch::Receiver<Arc<KeyPair>>>,
    /// What kube-apiserver publishes; `None` without a cluster.
    published: Option<watch::Receiver<AuthenticationConfig>>,
    /// The last usable authorities of the cluster.
    cluster: Trust,
    config: Arc<ArcSwap<ServerConfig>>,
    trust: Arc<ArcSwap<Trust>>,
    /// Of the serving chain, seconds since 1970.
    expires: Option<i64>,
    expirations: Expirations,
}

impl Reloader {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// If one is unreadable or unusable.
    pub fn new(files: Files) -> Result<Self, Error> {
        Self::start(files, None)
    }

    /// Like [`Reloader::new`] with a serving certificate that is no file, now and as it changes.
    ///
    /// # Errors
    /// If a file is unreadable or unusable.
    pub fn managed(files: Files, managed: watch::Receiver<Arc<KeyPair>>) -> Result<Self, Error> {
        Self::start(files, Some(managed))
    }

    fn start(
        files: Files,
        mut managed: Option<watch::Receiver<Arc<KeyPair>>>,
    ) -> Result<Self, Error> {
        let pair = managed.as_mut().map(|it| it.borrow_and_update().clone());
        let contents = files.read(pair.as_deref())?;
        let cluster = Trust::default();
        let built = files.build(&contents, &cluster)?;
        Ok(Self {
            files,
            contents,
            managed,
            published: None,
            cluster,
            config: Arc::new(ArcSwap::new(built.config)),
            trust: Arc::new(ArcSwap::from_pointee(built.trust)),
            expires: built.expires,
            expirations: Expirations::default(),
        })
    }

    /// Reports when certificates expire, now and as they change.
    #[must_use]
    pub fn reporting(mut self, expirations: Expirations) -> Self {
        self.expirations = expirations;
        self.report();
        self
    }

    /// Uses the authorities of the cluster where there is no file, now and as they change.
    #[must_use]
    pub fn following(mut self, mut published: watch::Receiver<AuthenticationConfig>) -> Self {
        published.mark_changed();
        self.published = Some(published);
        self.refresh();
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
            let published = changed(self.published.as_mut());
            let managed = changed(self.managed.as_mut());
            let is_published = tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(POLL_EVERY) => false,
                () = published => true,
                () = managed => false,
            };
            // `changed` has marked the value as seen, and `refresh` reads only unseen ones.
            if is_published && let Some(published) = &mut self.published {
                published.mark_changed();
            }
            self.refresh();
        }
    }

    /// Reads files and cluster once and applies changes.
    pub fn refresh(&mut self) {
        let published = self.published_now();
        let changed = published.is_some();
        if let Some(published) = published {
            self.cluster = published;
        }
        let managed = self.managed.as_mut();
        let managed = managed.map(|it| it.borrow_and_update().clone());
        let built = self.files.read(managed.as_deref()).and_then(|contents| {
            if !changed && contents == self.contents {
                return Ok(None);
            }
            let built = self.files.build(&contents, &self.cluster)?;
            Ok(Some((contents, built)))
        });
        match built {
            Ok(None) => {}
            Ok(Some((contents, built))) => {
                self.contents = contents;
                self.apply(built);
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
        if let Some(Ok(built)) = built {
            self.apply(built);
        }
    }

    fn apply(&mut self, built: Built) {
        self.config.store(built.config);
        self.trust.store(Arc::new(built.trust));
        self.expires = built.expires;
        self.report();
    }

    fn report(&self) {
        let trust = self.trust.load();
        let clients = trust.clients.as_ref().and_then(Bundle::expires);
        let proxies = trust.front_proxies.as_ref();
        let proxies = proxies.and_then(|proxies| proxies.authority.expires());
        let report = &self.expirations;
        report.set_seconds(Subject::Serving, self.expires);
        report.set_seconds(Subject::ClientCa, clients);
        report.set_seconds(Subject::FrontProxyCa, proxies);
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

/// Returns when there is a new value; never if there is no source.
async fn changed<T>(source: Option<&mut watch::Receiver<T>>) {
    // An error means that the source has ended, which happens at shutdown.
    if let Some(source) = source
        && source.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}
