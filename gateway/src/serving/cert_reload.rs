//! Reload of certificates while the server runs.
//!
//! Authorities come from files or, where there is no file, from kube-apiserver, which publishes
//! them in a ConfigMap. The serving certificate comes from files or from a Secret of the cluster.
//!
//! The contents of the files are compared every half minute: mounted secrets change through a
//! symbolic link, which a file watch would miss, and the files are small. New connections use the
//! new certificate; open ones keep theirs. Each file is reloaded by itself: one that becomes
//! unusable is logged and keeps its last valid value, and the others still follow their changes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::certificate_metrics::{CertificateMetrics, Subject};
use super::tls::{self, Error, Files, KeyPair, ServingCertificate};
use crate::auth::{Bundle, FrontProxies, Trust};
use crate::kube::informer::AuthenticationConfig;

/// Interval between two reads of the files.
const POLL_EVERY: Duration = Duration::from_secs(30);

/// TLS state that follows its files, and the authorities of the cluster.
#[derive(Debug)]
pub struct Reloader {
    files: Files,
    serving: Followed<KeyPair, ServingCertificate>,
    /// Authorities of users and of front proxies that are files.
    client_ca: Option<Followed<Vec<u8>, Bundle>>,
    front_proxy_ca: Option<Followed<Vec<u8>, Bundle>>,
    /// The serving certificate if there is no file of it.
    managed: Option<watch::Receiver<Arc<KeyPair>>>,
    /// What kube-apiserver publishes; `None` without a cluster.
    published: Option<watch::Receiver<AuthenticationConfig>>,
    /// The last usable authorities of the cluster.
    cluster: Trust,
    config: Arc<ArcSwap<ServerConfig>>,
    trust: Arc<ArcSwap<Trust>>,
    metrics: CertificateMetrics,
}

/// A file, or a certificate with its key, and the value of its last valid contents.
#[derive(Debug)]
struct Followed<C, T> {
    subject: Subject,
    contents: C,
    value: T,
    /// Why the present contents cannot be used, which is logged and counted once.
    failure: Option<String>,
}

impl<C: PartialEq, T> Followed<C, T> {
    fn new(
        subject: Subject,
        contents: C,
        parse: impl FnOnce(&C) -> Result<T, Error>,
    ) -> Result<Self, Error> {
        Ok(Self {
            subject,
            value: parse(&contents)?,
            contents,
            failure: None,
        })
    }

    /// Takes over contents that differ and are valid. Returns whether the value changed.
    fn refresh(
        &mut self,
        contents: Result<C, Error>,
        parse: impl FnOnce(&C) -> Result<T, Error>,
        metrics: &CertificateMetrics,
    ) -> bool {
        let certificate = self.subject.name();
        let new = contents.and_then(|contents| {
            if contents == self.contents {
                return Ok(None);
            }
            Ok(Some((parse(&contents)?, contents)))
        });
        match new {
            Ok(None) => {
                self.failure = None;
                false
            }
            Ok(Some((value, contents))) => {
                (self.value, self.contents, self.failure) = (value, contents, None);
                metrics.count_reload(self.subject, true);
                tracing::info!(certificate, "reloaded certificate");
                true
            }
            Err(error) => {
                let failure = Some(error.to_string());
                if self.failure != failure {
                    metrics.count_reload(self.subject, false);
                    let message = "cannot reload certificate, keeping the last valid one";
                    tracing::error!(certificate, %error, "{message}");
                    self.failure = failure;
                }
                false
            }
        }
    }
}

/// Reads authorities for the first time, if they are a file.
fn authorities(
    subject: Subject,
    file: Option<&PathBuf>,
) -> Result<Option<Followed<Vec<u8>, Bundle>>, Error> {
    let followed = file.map(|file| {
        let parse = |pem: &Vec<u8>| tls::parse_bundle(file, pem);
        Followed::new(subject, tls::read(file)?, parse)
    });
    followed.transpose()
}

/// Reads authorities again. Returns whether they changed.
fn refresh_authorities(
    followed: Option<&mut Followed<Vec<u8>, Bundle>>,
    file: Option<&PathBuf>,
    metrics: &CertificateMetrics,
) -> bool {
    let (Some(followed), Some(file)) = (followed, file) else {
        return false;
    };
    let parse = |pem: &Vec<u8>| tls::parse_bundle(file, pem);
    followed.refresh(tls::read(file), parse, metrics)
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
        let contents = files.read_serving(pair.as_deref())?;
        let serving = Followed::new(Subject::Serving, contents, |it| files.parse_serving(it))?;
        let request_header_ca = files.request_header_ca.as_ref();
        let trust = Trust::default();
        let mut new = Self {
            client_ca: authorities(Subject::ClientCa, files.client_ca.as_ref())?,
            front_proxy_ca: authorities(Subject::FrontProxyCa, request_header_ca)?,
            config: Arc::new(ArcSwap::from_pointee(serving.value.config(&trust)?)),
            trust: Arc::new(ArcSwap::from_pointee(trust)),
            files,
            serving,
            managed,
            published: None,
            cluster: Trust::default(),
            metrics: CertificateMetrics::default(),
        };
        new.apply();
        Ok(new)
    }

    /// Reports expiry and reloads of certificates, now and as they change.
    #[must_use]
    pub fn reporting(mut self, metrics: CertificateMetrics) -> Self {
        let authorities = [&self.client_ca, &self.front_proxy_ca];
        let authorities = authorities.into_iter().flatten();
        for subject in authorities.map(|it| it.subject).chain([Subject::Serving]) {
            metrics.announce_reloads(subject);
        }
        self.metrics = metrics;
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
        let mut changed = published.is_some();
        if let Some(published) = published {
            self.cluster = published;
        }
        let managed = self.managed.as_mut();
        let managed = managed.map(|it| it.borrow_and_update().clone());
        let (files, metrics) = (&self.files, &self.metrics);
        let serving = files.read_serving(managed.as_deref());
        let parse = |pair: &KeyPair| files.parse_serving(pair);
        changed |= self.serving.refresh(serving, parse, metrics);
        let (client_ca, proxy_ca) = (self.client_ca.as_mut(), self.front_proxy_ca.as_mut());
        changed |= refresh_authorities(client_ca, files.client_ca.as_ref(), metrics);
        changed |= refresh_authorities(proxy_ca, files.request_header_ca.as_ref(), metrics);
        if changed {
            self.apply();
        }
    }

    /// Uses the current values for new connections and requests.
    fn apply(&mut self) {
        let authority = self.front_proxy_ca.as_ref();
        let files = Trust {
            clients: self.client_ca.as_ref().map(|it| it.value.clone()),
            front_proxies: authority.map(|it| FrontProxies {
                authority: it.value.clone(),
                headers: self.files.request_headers.clone(),
            }),
        };
        let trust = files.or(&self.cluster);
        match self.serving.value.config(&trust) {
            Ok(config) => self.config.store(Arc::new(config)),
            Err(error) => tracing::error!(%error, "cannot apply certificates"),
        }
        self.trust.store(Arc::new(trust));
        self.report();
    }

    fn report(&self) {
        let trust = self.trust.load();
        let clients = trust.clients.as_ref().and_then(Bundle::expires);
        let proxies = trust.front_proxies.as_ref();
        let proxies = proxies.and_then(|proxies| proxies.authority.expires());
        let report = &self.metrics;
        report.set_expiry_seconds(Subject::Serving, self.serving.value.expires());
        report.set_expiry_seconds(Subject::ClientCa, clients);
        report.set_expiry_seconds(Subject::FrontProxyCa, proxies);
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

#[cfg(test)]
mod tests;
