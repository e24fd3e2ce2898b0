//! Keeps the certificate: follows the Secret and the APIServices, and writes what is decided.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::content::Content;
use super::decide::{Change, Facts, Plan, decide};
use super::{SelfManaged, issue};
use crate::kube::{self, ApiService, ApiServices, Client, Secret, Secrets};
use crate::serving::certificate_metrics::{CertificateMetrics, Subject};
use crate::serving::tls::KeyPair;

/// Pause after a failed request and after a write, so that neither errors nor a second writer cause
/// a loop of requests.
const PAUSE: Duration = Duration::from_secs(5);
/// Pause before a step that follows from a read.
const SHORT_PAUSE: Duration = Duration::from_millis(100);

/// Why there is no certificate to keep.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A certificate cannot be made.
    #[error("cannot make a certificate: {0}")]
    Issue(#[from] pki::Error),
}

/// Why a step failed. Each is retried.
#[derive(Debug, thiserror::Error)]
enum StepError {
    /// The Secret of the certificate cannot be read.
    #[error("cannot read Secret {name}: {source}: allow `get` of it")]
    Read { name: String, source: kube::Error },
    /// The Secret of the certificate cannot be written.
    #[error("cannot write Secret {name}: {source}: allow `update` of it")]
    Write { name: String, source: kube::Error },
    /// The Secret of the certificate is missing.
    #[error("Secret {0} does not exist: create it, without content")]
    Missing(String),
    /// The certificate authority cannot be published.
    #[error("cannot set the caBundle of APIService {name}: {source}: allow `patch` of it")]
    Publish { name: String, source: kube::Error },
    #[error(transparent)]
    Issue(#[from] pki::Error),
}

/// The state of the cluster, as far as it is known.
#[derive(Debug, Default)]
struct Seen {
    /// `None` before the first list.
    secret: Option<Option<Secret>>,
    /// Secrets that the watch has passed.
    events: u64,
    /// By name; no entry before the first list.
    services: BTreeMap<String, Option<ApiService>>,
}

/// Keeps the self-managed certificate; one task per replica.
#[derive(Debug)]
pub struct Keeper {
    names: Vec<String>,
    api_services: Vec<String>,
    secrets: Secrets,
    services: ApiServices,
    seen: Mutex<Seen>,
    changed: watch::Sender<()>,
    served: watch::Sender<Arc<KeyPair>>,
    ready: watch::Sender<bool>,
}

/// What one task remembers between its steps.
#[derive(Debug)]
struct Memory {
    certificate_metrics: CertificateMetrics,
    /// The last valid content.
    content: Option<Content>,
    /// Earliest next write of the Secret.
    write_at: Instant,
    /// The last bundle that was published.
    bundle: Option<String>,
    /// Earliest next write of each APIService.
    publish_at: BTreeMap<String, Instant>,
    /// The last logged error.
    logged: String,
}

// === impl Keeper ===

impl Keeper {
    /// A keeper that has not read the Secret. Until then, a certificate is served that no client
    /// trusts, so that probes work.
    ///
    /// # Errors
    /// If that certificate cannot be made.
    pub fn new(client: Client, config: SelfManaged) -> Result<Self, Error> {
        let names = config.host_names();
        let provisional = issue::provisional(&names, OffsetDateTime::now_utc())?;
        let pair = KeyPair::new(provisional.certificate, provisional.key);
        Ok(Self {
            names,
            api_services: config.api_services,
            secrets: Secrets::new(client.clone(), config.secret),
            services: ApiServices::new(client),
            seen: Mutex::default(),
            changed: watch::Sender::new(()),
            served: watch::Sender::new(Arc::new(pair)),
            ready: watch::Sender::new(false),
        })
    }

    /// The certificate to serve, now and as it changes.
    pub fn served(&self) -> watch::Receiver<Arc<KeyPair>> {
        self.served.subscribe()
    }

    /// Whether it is the one of the Secret.
    pub fn ready(&self) -> watch::Receiver<bool> {
        self.ready.subscribe()
    }

    /// Keeps the certificate until `stop` is cancelled.
    pub async fn run(self, certificate_metrics: CertificateMetrics, stop: CancellationToken) {
        let this = &self;
        let secret = this.secrets.watch(stop.clone(), |secret| {
            let mut seen = this.seen.lock();
            seen.secret = Some(secret);
            seen.events += 1;
            drop(seen);
            this.changed.send_replace(());
        });
        let services = this.api_services.iter().map(|name| {
            this.services.watch(name, stop.clone(), move |service| {
                this.seen.lock().services.insert(name.clone(), service);
                this.changed.send_replace(());
            })
        });
        let keeping = stop.run_until_cancelled(this.keep(certificate_metrics));
        tokio::join!(secret, join_all(services), keeping);
    }

    async fn keep(&self, certificate_metrics: CertificateMetrics) {
        let now = Instant::now();
        let mut memory = Memory {
            certificate_metrics,
            content: None,
            write_at: now,
            bundle: None,
            publish_at: BTreeMap::new(),
            logged: String::new(),
        };
        let mut changes = self.changed.subscribe();
        loop {
            changes.borrow_and_update();
            let next = match self.step(&mut memory).await {
                Ok(next) => next,
                Err(error) => {
                    memory.failed(&error);
                    Instant::now() + PAUSE
                }
            };
            tokio::select! {
                () = sleep_until(next) => {}
                // The sender is part of `self`.
                _ = changes.changed() => {}
            }
        }
    }

    /// Serves, writes and publishes once. Returns when to do so again if nothing changes.
    async fn step(&self, memory: &mut Memory) -> Result<Instant, StepError> {
        let Some(secret) = self.seen.lock().secret.clone() else {
            // The watch logs why.
            return Ok(Instant::now() + PAUSE);
        };
        let Some(secret) = secret else {
            return Err(StepError::Missing(self.secrets.name().to_string()));
        };
        let stored = Content::of(&secret);
        let plan = decide(self.facts(&stored, memory));
        self.serve(&plan, &stored, memory);
        // An error of one does not keep the other from being done.
        let written = match plan.change {
            Some(_) if Instant::now() < memory.write_at => Ok(Some(memory.write_at)),
            Some(_) => match self.write(&secret, memory).await {
                Ok(()) => return Ok(Instant::now()),
                Err(error) => Err(error),
            },
            None => Ok(None),
        };
        let published = match &plan.publish {
            Some(bundle) => self.publish(bundle, memory).await,
            None => Ok(None),
        };
        let regular = Instant::now() + plan.look_again;
        let earlier = [written?, published?].into_iter().flatten().min();
        if earlier.is_none() {
            memory.logged.clear();
        }
        Ok(earlier.map_or(regular, |at| at.min(regular)))
    }

    fn facts<'a>(&'a self, stored: &'a Content, memory: &'a Memory) -> Facts<'a> {
        let now = OffsetDateTime::now_utc();
        let bundle = stored.inspect(&self.names, now).bundle();
        let seen = self.seen.lock();
        let has_it = |name: &String| match seen.services.get(name) {
            None => false,
            Some(None) => true,
            Some(Some(service)) => service.ca_bundle == bundle.as_bytes(),
        };
        Facts {
            stored,
            remembered: memory.content.as_ref(),
            published: self.api_services.iter().all(has_it),
            names: &self.names,
            now,
        }
    }

    fn serve(&self, plan: &Plan, stored: &Content, memory: &mut Memory) {
        if !plan.serve || memory.content.as_ref() == Some(stored) {
            return;
        }
        let inspected = stored.inspect(&self.names, OffsetDateTime::now_utc());
        if let Some(signer) = &inspected.signer {
            memory
                .certificate_metrics
                .set_expiry(Subject::SelfManagedCa, signer.expires);
        }
        let pair = KeyPair::new(stored.certificate.clone(), stored.key.clone());
        self.served.send_if_modified(|served| {
            let changed = **served != pair;
            if changed {
                *served = Arc::new(pair);
            }
            changed
        });
        self.ready.send_replace(true);
        memory.content = Some(stored.clone());
    }

    /// Changes the Secret, or reads what another replica has made of it.
    async fn write(&self, secret: &Secret, memory: &mut Memory) -> Result<(), StepError> {
        memory.write_at = Instant::now() + PAUSE;
        let stored = Content::of(secret);
        let (content, changes) = issue::changed(self.facts(&stored, memory))?;
        let name = self.secrets.name().to_string();
        log_changes(&name, &stored, &changes);
        let before = self.seen.lock().events;
        let written = self.secrets.update(&content.into_secret(secret)).await;
        let current = match written {
            Ok(written) => Some(written),
            Err(error) if error.is_conflict() => {
                tracing::info!(secret = name, "another replica changed the Secret first");
                self.read_secret().await?
            }
            Err(source) => return Err(StepError::Write { name, source }),
        };
        self.saw(before, current);
        Ok(())
    }

    /// Takes a response as the state of the Secret, unless the watch has passed another one since
    /// the request began: that one may be newer, and if it is not, the newer one follows.
    fn saw(&self, before: u64, secret: Option<Secret>) {
        let mut seen = self.seen.lock();
        if seen.events == before {
            seen.secret = Some(secret);
        }
    }

    async fn read_secret(&self) -> Result<Option<Secret>, StepError> {
        let read = self.secrets.read().await;
        read.map_err(|source| StepError::Read {
            name: self.secrets.name().to_string(),
            source,
        })
    }

    /// Sets the bundle of the APIServices that have another one. Returns when to try again those
    /// that were changed a moment ago.
    async fn publish(
        &self,
        bundle: &str,
        memory: &mut Memory,
    ) -> Result<Option<Instant>, StepError> {
        let services = self.seen.lock().services.clone();
        let services = services.into_values().flatten();
        let differ = services.filter(|service| service.ca_bundle != bundle.as_bytes());
        let now = Instant::now();
        let at = |service: &ApiService| memory.publish_at.get(&service.name).copied();
        let (due, waiting): (Vec<_>, Vec<_>) =
            differ.partition(|service| at(service).is_none_or(|at| at <= now));
        let later = waiting.iter().filter_map(at).min();
        if due.is_empty() {
            return Ok(later);
        }
        // A replica with an old copy of the Secret must not undo the work of the others.
        let before = self.seen.lock().events;
        let current = self.read_secret().await?;
        let is_current = current.as_ref().is_some_and(|secret| {
            let content = Content::of(secret);
            let plan = decide(self.facts(&content, memory));
            plan.publish.as_deref() == Some(bundle)
        });
        if !is_current {
            self.saw(before, current);
            return Ok(Some(now + SHORT_PAUSE));
        }
        let mut result = Ok(later);
        for service in due {
            let again = Instant::now() + PAUSE;
            memory.publish_at.insert(service.name.clone(), again);
            memory.log_publication(&service, bundle);
            let set = self.services.set_ca_bundle(&service, bundle.as_bytes());
            match set.await {
                // The watch passes the result.
                Ok(()) => {}
                // It was deleted.
                Err(error) if error.is_conflict() || error.is_not_found() => {}
                Err(source) => {
                    let name = service.name;
                    result = Err(StepError::Publish { name, source });
                }
            }
        }
        memory.bundle = Some(bundle.to_owned());
        result
    }
}

fn log_changes(secret: &str, stored: &Content, changes: &[Change]) {
    let steps = format!("{changes:?}");
    if changes.contains(&Change::Restore) || stored.is_damaged() {
        tracing::warn!(
            secret,
            steps,
            "the content of the Secret is lost or damaged, writing it again"
        );
    } else {
        tracing::info!(secret, steps, "renewing the serving certificate");
    }
}

// === impl Memory ===

impl Memory {
    fn log_publication(&self, service: &ApiService, bundle: &str) {
        let api_service = &service.name;
        if !service.ca_bundle.is_empty() && self.bundle.as_deref() == Some(bundle) {
            tracing::warn!(
                api_service,
                "the caBundle is not that of this server, replacing it"
            );
        } else {
            tracing::info!(api_service, "setting the caBundle");
        }
    }

    fn failed(&mut self, error: &StepError) {
        let text = error.to_string();
        if text != self.logged {
            tracing::warn!(
                error = text,
                "cannot keep the serving certificate, retrying"
            );
            self.logged = text;
        }
    }
}
