//! The kube-apiserver in front of the server, and what is delegated to it.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::Error;
use super::named::named;
use crate::admission::webhook::{self, WebhookMetrics};
use crate::admission::{Chain, NamespaceLifecycle, StepMetrics, Webhooks};
use crate::auth::{Authenticators, BearerToken, Certificates};
use crate::authz::{Authorizers, PrivilegedGroups, SubjectAccessReview, TrustFrontProxy};
use crate::compute::Pool;
use crate::config::{self, Delegation};
use crate::fields::FieldManagement;
use crate::health::Health;
use crate::kube::informer::{AuthenticationInformer, Namespaces};
use crate::kube::reviews::{SubjectAccessReviews, TokenReviews};
use crate::kube::{self, Cluster};
use crate::serving::cert_reload::Reloader;
use crate::serving::certificate_metrics::CertificateMetrics;
use crate::serving::tls;
use crate::serving_certificate::Keeper;
use crate::telemetry::Metrics;

/// Longest wait for the authorities of the cluster at startup.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(30);

/// The clients of kube-apiserver and the informers that use them. The default is a server without
/// a cluster: certificates authenticate, and only `system:masters` is authorized.
#[derive(Debug, Default)]
pub struct Upstream {
    cluster: Cluster,
    authorities: Option<AuthenticationInformer>,
    namespaces: Option<Namespaces>,
    certificate: Option<Keeper>,
    namespace_lifecycle: bool,
    webhook_config: Option<webhook::Config>,
    /// None until the chain of admission is made.
    webhooks: Option<Webhooks>,
}

impl Upstream {
    /// Configures the clients. No connection is opened.
    ///
    /// # Errors
    /// If a kubeconfig file is unusable, or no client could ever authenticate.
    pub async fn configure(config: &config::Server) -> Result<Self, Error> {
        let delegation = &config.delegation;
        let cluster = Cluster::configure(&delegation.kubeconfigs).await?;
        let files = [&config.tls.client_ca, &config.tls.request_header_ca];
        match &cluster.authentication {
            None if files.iter().all(|file| file.is_none()) => {
                return Err(config::Error::NoAuthority.into());
            }
            None => tracing::warn!(
                "no kubeconfig and no service account: tokens and authorities of a cluster are not \
                 used"
            ),
            Some(client) => tracing::info!(server = client.server(), "delegating authentication"),
        }
        match &cluster.authorization {
            None => tracing::warn!(
                "no kubeconfig and no service account: only members of system:masters are \
                 authorized"
            ),
            Some(client) => tracing::info!(server = client.server(), "delegating authorization"),
        }
        // With a file for each authority, no lookup is needed.
        let missing = files.iter().any(|file| file.is_none()) && !delegation.skip_lookup;
        let authentication = cluster.authentication.clone().filter(|_| missing);
        Ok(Self {
            authorities: authentication.map(AuthenticationInformer::new),
            certificate: keeper(config, &cluster)?,
            namespaces: cluster.core.clone().map(Namespaces::new),
            namespace_lifecycle: config.admission.namespace_lifecycle,
            webhook_config: config.admission.webhooks.clone(),
            webhooks: None,
            cluster,
        })
    }

    /// Reads the authorities of the cluster for the first time.
    ///
    /// # Errors
    /// If they cannot be read and the failure is not tolerated.
    pub async fn look_up(&self, delegation: &Delegation) -> Result<(), Error> {
        let Some(informer) = &self.authorities else {
            return Ok(());
        };
        let read = timeout(LOOKUP_TIMEOUT, informer.read()).await;
        match read.unwrap_or(Err(kube::Error::Timeout(LOOKUP_TIMEOUT))) {
            Ok(()) => Ok(()),
            // `/readyz` fails until the authorities and the certificate have been read.
            Err(error) if delegation.tolerate_lookup_failure || self.certificate.is_some() => {
                tracing::warn!(%error, "cannot read the authorities of the cluster, retrying");
                Ok(())
            }
            Err(error) => Err(Error::LookUp(error)),
        }
    }

    /// The serving certificate, and the authorities of the files and of the cluster.
    pub(super) fn certificates(&self, files: tls::Files) -> Result<Reloader, tls::Error> {
        let certificates = match &self.certificate {
            Some(keeper) => Reloader::managed(files, keeper.served())?,
            None => Reloader::new(files)?,
        };
        Ok(match &self.authorities {
            Some(informer) => certificates.following(informer.published()),
            None => certificates,
        })
    }

    /// Probes that wait for the first certificate and the first authorities, if the server starts
    /// without them.
    pub(super) fn probes(&self, health: Health) -> Health {
        match &self.certificate {
            None => health,
            Some(keeper) => {
                let authorities = self.authorities.as_ref();
                health.waiting_for(
                    Some(keeper.ready()),
                    authorities.map(AuthenticationInformer::synced),
                )
            }
        }
    }

    pub(super) fn authenticators(
        &self,
        certificates: Certificates,
        delegation: &Delegation,
        metrics: &Metrics,
    ) -> Authenticators {
        let authenticators = Authenticators::of_certificates(certificates);
        match self.cluster.authentication.clone() {
            None => authenticators,
            Some(client) => {
                let reviews = TokenReviews::new(client, metrics);
                authenticators.and(BearerToken::new(reviews, delegation.token_ttl, metrics))
            }
        }
    }

    pub(super) fn authorizers(&self, delegation: &Delegation, metrics: &Metrics) -> Authorizers {
        let mut authorizers = Authorizers::new(vec![
            Box::new(delegation.always_allow_paths.clone()),
            Box::new(PrivilegedGroups::default()),
        ]);
        if delegation.trust_front_proxy {
            authorizers = authorizers.and(TrustFrontProxy);
        }
        if let Some(client) = self.cluster.authorization.clone() {
            let reviews = SubjectAccessReviews::new(client, metrics);
            let review = SubjectAccessReview::new(reviews, delegation.decision_ttl, metrics);
            authorizers = authorizers.and(review);
        }
        authorizers
    }

    /// Adds field management, and the steps that need the cluster.
    pub(super) fn admission(&mut self, mut chain: Chain, metrics: &Metrics, pool: Pool) -> Chain {
        chain.metrics = Some(StepMetrics::new(metrics));
        chain.fields.push(Box::new(FieldManagement));
        let webhook_metrics = WebhookMetrics::new(metrics);
        let (Some(client), Some(namespaces)) = (&self.cluster.core, &self.namespaces) else {
            return chain;
        };
        if self.namespace_lifecycle {
            let step = NamespaceLifecycle::new(namespaces.clone());
            chain.gates.push(Box::new(step));
        }
        if let Some(config) = self.webhook_config.take() {
            let (client, namespaces) = (client.clone(), namespaces.clone());
            let webhooks = Webhooks::new(client, namespaces, config, webhook_metrics);
            let (mutating, validating) = webhooks.steps(pool);
            chain
                .mutating
                .extend(mutating.map(|step| Box::new(step) as _));
            chain
                .validating
                .extend(validating.map(|step| Box::new(step) as _));
            self.webhooks = Some(webhooks);
        }
        chain
    }

    /// Starts the informers and the keeper of the certificate.
    pub(super) fn start(
        self,
        certificate_metrics: CertificateMetrics,
        tasks: &mut JoinSet<&'static str>,
        stop: &CancellationToken,
    ) {
        if let Some(keeper) = self.certificate {
            let run = keeper.run(certificate_metrics, stop.clone());
            tasks.spawn(named("keeper of the serving certificate", run));
        }
        if let Some(authorities) = self.authorities {
            let run = authorities.run(stop.clone());
            tasks.spawn(named("informer of authorities", run));
        }
        if let Some(namespaces) = self.namespaces {
            let run = namespaces.run(stop.clone());
            tasks.spawn(named("informer of namespaces", run));
        }
        if let Some(webhooks) = self.webhooks {
            let run = webhooks.run(stop.clone());
            tasks.spawn(named("informers of admission webhooks", run));
        }
    }
}

/// The keeper of a self-managed certificate.
fn keeper(config: &config::Server, cluster: &Cluster) -> Result<Option<Keeper>, Error> {
    let Some(managed) = config.self_managed.clone() else {
        return Ok(None);
    };
    let client = cluster.core.clone().ok_or(config::Error::NoCluster)?;
    Ok(Some(Keeper::new(client, managed)?))
}
