//! Admission webhooks: those that the administrators of the cluster configure at kube-apiserver,
//! which does not call them for aggregated kinds (docs/adr/0027-admission-webhooks.md).
//!
//! [`Webhooks`] is the state that both steps share: [`MutatingAdmissionWebhook`] and
//! [`ValidatingAdmissionWebhook`]. Its task follows the configurations; `enforcement` decides whether
//! they can be enforced.

mod body;
mod call;
mod client;
mod enforcement;
mod hook;
mod matching;
mod metrics;
mod mutating;
mod objects;
mod request;
mod response;
mod rules;
mod validating;

use std::sync::Arc;
use std::time::Duration;

use api_types::gvk::GroupResource;
use api_types::status::ApiError;
use arc_swap::ArcSwapOption;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, OptionFuture};
use serde_json::Value;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use self::client::Clients;
use self::enforcement::{Enforcement, Standing};
use self::hook::Hook;
use self::objects::ReviewObjects;
use super::{Attributes, Mutate, Objects, Review};
use crate::compute::Pool;
use crate::kube::informer::webhooks::Configuration;
use crate::kube::informer::{Namespaces, WebhookConfigurations, WebhookKind};
use crate::kube::{self, Services};
use crate::scale;

pub use self::client::Credentials;
pub use self::enforcement::Requirement;
pub use self::metrics::WebhookMetrics;

/// Interval at which unused connections are closed.
const SWEEP_EVERY: Duration = Duration::from_secs(30);

/// The webhooks of a cluster; cheap to clone.
#[derive(Debug, Clone)]
pub struct Webhooks {
    shared: Arc<Shared>,
}

/// Which webhooks are called, and how.
#[derive(Debug, Clone)]
pub struct Config {
    /// What happens while the configurations are unknown.
    pub requirement: Requirement,
    /// Credentials for mutating webhooks; none if these are not called.
    pub mutating: Option<Credentials>,
    /// Credentials for validating webhooks; none if these are not called.
    pub validating: Option<Credentials>,
}

#[derive(Debug)]
struct Shared {
    client: kube::Client,
    namespaces: Namespaces,
    enforcement: Enforcement,
    mutating: Option<Known>,
    validating: Option<Known>,
    metrics: WebhookMetrics,
    /// Set by the construction of the server.
    pool: std::sync::OnceLock<Pool>,
}

/// The configurations of a kind.
#[derive(Debug)]
struct Known {
    kind: WebhookKind,
    clients: Clients,
    /// None until all configurations have been listed once.
    hooks: ArcSwapOption<Vec<Arc<Hook>>>,
}

/// The step that calls mutating webhooks.
#[derive(Debug)]
pub struct MutatingAdmissionWebhook(Webhooks);

/// The step that calls validating webhooks.
#[derive(Debug)]
pub struct ValidatingAdmissionWebhook(Webhooks);

// === impl Webhooks ===

impl Webhooks {
    /// The webhooks of a cluster. No request is sent before [`Self::run`].
    #[must_use]
    pub fn new(
        client: kube::Client,
        namespaces: Namespaces,
        config: Config,
        metrics: WebhookMetrics,
    ) -> Self {
        let services = Services::new(client.clone());
        let known = |kind, credentials: Option<Credentials>| {
            credentials.map(|credentials| Known {
                kind,
                clients: Clients::new(services.clone(), credentials),
                hooks: ArcSwapOption::empty(),
            })
        };
        let shared = Shared {
            namespaces,
            enforcement: Enforcement::new(config.requirement, metrics.clone()),
            mutating: known(WebhookKind::Mutating, config.mutating),
            validating: known(WebhookKind::Validating, config.validating),
            metrics,
            pool: std::sync::OnceLock::new(),
            client,
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// The steps of the kinds that are called, which work on large objects on `pool`.
    #[must_use]
    pub fn steps(
        &self,
        pool: Pool,
    ) -> (
        Option<MutatingAdmissionWebhook>,
        Option<ValidatingAdmissionWebhook>,
    ) {
        // Called once.
        let _ = self.shared.pool.set(pool);
        let shared = &self.shared;
        let mutating = shared.mutating.as_ref();
        let validating = shared.validating.as_ref();
        (
            mutating.map(|_| MutatingAdmissionWebhook(self.clone())),
            validating.map(|_| ValidatingAdmissionWebhook(self.clone())),
        )
    }

    /// Checks the rights of this server and follows the configurations, until `stop` is cancelled.
    pub async fn run(self, stop: CancellationToken) {
        let shared = &self.shared;
        let kinds: Vec<WebhookKind> = shared.known().map(|known| known.kind).collect();
        let granted = shared.enforcement.granted(&shared.client, &kinds);
        if stop.run_until_cancelled(granted).await.is_none() {
            return;
        }
        let mutating = shared.mutating.as_ref();
        let mutating = OptionFuture::from(mutating.map(|known| shared.follow(known, &stop)));
        let validating = shared.validating.as_ref();
        let validating = OptionFuture::from(validating.map(|known| shared.follow(known, &stop)));
        let recheck = shared.enforcement.recheck(&shared.client, &kinds);
        tokio::join!(
            mutating,
            validating,
            stop.run_until_cancelled(recheck),
            stop.run_until_cancelled(shared.namespaces_synced()),
            stop.run_until_cancelled(shared.sweep()),
        );
    }
}

// === impl Shared ===

impl Shared {
    fn known(&self) -> impl Iterator<Item = &Known> {
        self.mutating.iter().chain(&self.validating)
    }

    async fn follow(&self, known: &Known, stop: &CancellationToken) {
        let informer = WebhookConfigurations::new(self.client.clone(), known.kind);
        let seen = |configurations: Vec<Configuration>| {
            let hooks = hook::hooks(known.kind, &configurations, &known.clients);
            self.report(known.kind, &hooks);
            known.hooks.store(Some(Arc::new(hooks)));
            self.update();
        };
        informer.run(stop.clone(), seen).await;
    }

    /// Logs what of the configurations is not enforced, each once.
    fn report(&self, kind: WebhookKind, hooks: &[Arc<Hook>]) {
        let conditional = hooks.iter().filter(|hook| hook.conditional);
        self.metrics
            .set_unevaluated(kind, conditional.clone().count());
        for hook in conditional {
            self.enforcement
                .report_conditions(&hook.configuration, &hook.name);
        }
        for hook in hooks {
            if let Err(error) = &hook.client {
                tracing::warn!(
                    webhook = hook.name,
                    error,
                    "cannot call an admission webhook"
                );
            }
        }
    }

    async fn namespaces_synced(&self) {
        self.namespaces.synced().await;
        self.update();
        std::future::pending::<()>().await;
    }

    /// Passes on whether all configurations are known.
    fn update(&self) {
        let mut known = self.known();
        let listed = known.all(|known| known.hooks.load().is_some());
        self.enforcement
            .set_synced(listed && self.namespaces.is_synced());
    }

    async fn sweep(&self) {
        let mut ticks = interval(SWEEP_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.known().for_each(|known| known.clients.close_idle());
        }
    }

    /// Whether a step concerns a write: if a webhook does, or while that is unknown.
    fn concerns(&self, known: Option<&Known>, attributes: &Attributes<'_>) -> bool {
        match self.enforcement.standing() {
            Standing::Active => known.is_some_and(|known| known.concerns(attributes)),
            Standing::Unknown | Standing::Refused => true,
            Standing::Inactive => false,
        }
    }

    /// The webhooks of a kind; none if they are not enforced.
    async fn hooks(
        &self,
        known: Option<&Known>,
        attributes: &Attributes<'_>,
    ) -> Result<Option<Arc<Vec<Arc<Hook>>>>, ApiError> {
        if !self.enforcement.ready().await.map_err(|reason| {
            let id = attributes.served.resource().id();
            reason.error(
                &GroupResource::new(id.group(), id.resource()),
                attributes.name,
            )
        })? {
            return Ok(None);
        }
        Ok(known.and_then(|known| known.hooks.load_full()))
    }

    fn objects(
        &self,
        attributes: &Attributes<'_>,
        old: Option<&Arc<Value>>,
        new: Option<Arc<Value>>,
    ) -> Result<ReviewObjects, ApiError> {
        let pool = self.pool.get();
        let pool = pool.ok_or_else(|| ApiError::internal("the steps of webhooks were not made"))?;
        ReviewObjects::new(pool.of(&attributes.user.name), attributes, old, new)
    }
}

impl Known {
    fn concerns(&self, attributes: &Attributes<'_>) -> bool {
        let hooks = self.hooks.load();
        let mut hooks = hooks.iter().flat_map(|hooks| hooks.iter());
        hooks.any(|hook| matching::concerns(hook, attributes))
    }
}

// === impl MutatingAdmissionWebhook ===

impl MutatingAdmissionWebhook {
    async fn dispatch(
        &self,
        attributes: &Attributes<'_>,
        old: Option<&Arc<Value>>,
        new: Option<&mut Value>,
    ) -> Result<bool, ApiError> {
        let shared = &self.0.shared;
        let hooks = shared.hooks(shared.mutating.as_ref(), attributes).await?;
        let Some(hooks) = hooks.filter(|hooks| !hooks.is_empty()) else {
            return Ok(false);
        };
        let mut new = new;
        let candidate = new.as_deref_mut().map(std::mem::take).map(Arc::new);
        let mut objects = shared.objects(attributes, old, candidate.clone())?;
        let dispatch = mutating::Dispatch {
            hooks: &hooks,
            attributes,
            namespaces: &shared.namespaces,
            metrics: &shared.metrics,
        };
        let result = dispatch.run(&mut objects).await;
        let reviewed = objects.take_new();
        drop(objects);
        let (Some(new), Some(candidate)) = (new, candidate) else {
            return result;
        };
        let scaled = attributes.served.version().scale.as_ref();
        *new = match (&result, reviewed) {
            (Ok(true), Some(scale)) if attributes.subresource == "scale" => {
                let object = Arc::unwrap_or_clone(candidate);
                match scaled {
                    Some(paths) => scale::apply_view(&object, &scale, paths)?,
                    None => object,
                }
            }
            (Ok(true), Some(reviewed)) => {
                drop(candidate);
                Arc::unwrap_or_clone(reviewed)
            }
            (_, reviewed) => {
                drop(reviewed);
                Arc::unwrap_or_clone(candidate)
            }
        };
        result
    }
}

impl Mutate for MutatingAdmissionWebhook {
    fn handles(&self, attributes: &Attributes<'_>) -> bool {
        let shared = &self.0.shared;
        shared.concerns(shared.mutating.as_ref(), attributes)
    }

    fn mutate<'a>(
        &'a self,
        attributes: &'a Attributes<'_>,
        old: Option<&'a Arc<Value>>,
        new: Option<&'a mut Value>,
    ) -> BoxFuture<'a, Result<bool, ApiError>> {
        self.dispatch(attributes, old, new).boxed()
    }
}

// === impl ValidatingAdmissionWebhook ===

impl ValidatingAdmissionWebhook {
    async fn dispatch(
        &self,
        attributes: &Attributes<'_>,
        objects: Objects<'_>,
    ) -> Result<(), ApiError> {
        let shared = &self.0.shared;
        let hooks = shared.hooks(shared.validating.as_ref(), attributes).await?;
        let Some(hooks) = hooks.filter(|hooks| !hooks.is_empty()) else {
            return Ok(());
        };
        let mut objects = shared.objects(attributes, objects.old, objects.new.cloned())?;
        let dispatch = validating::Dispatch {
            hooks: &hooks,
            attributes,
            namespaces: &shared.namespaces,
            metrics: &shared.metrics,
        };
        dispatch.run(&mut objects).await
    }
}

impl Review for ValidatingAdmissionWebhook {
    fn handles(&self, attributes: &Attributes<'_>) -> bool {
        let shared = &self.0.shared;
        shared.concerns(shared.validating.as_ref(), attributes)
    }

    fn review<'a>(
        &'a self,
        attributes: &'a Attributes<'_>,
        objects: Objects<'a>,
    ) -> BoxFuture<'a, Result<(), ApiError>> {
        self.dispatch(attributes, objects).boxed()
    }
}
