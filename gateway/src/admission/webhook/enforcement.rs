//! Whether webhooks can be enforced: the rights of this server, and the first list of the
//! configurations.
//!
//! kube-apiserver waits 10 s for its informers and then rejects the write. A right that is missing
//! does not appear within 10 s, and would delay every write; so the rights are reviewed first.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use api_types::gvk::GroupResource;
use api_types::status::ApiError;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use super::metrics::WebhookMetrics;
use crate::kube::informer::WebhookKind;
use crate::kube::reviews::{ResourceAttributes, SelfSubjectAccessReviews};
use crate::kube::{self, Client};

/// Longest wait for the first lists: `timeToWaitForReady` of
/// `k8s.io/apiserver/pkg/admission/handler.go`.
const READY_TIMEOUT: Duration = Duration::from_secs(10);
/// Interval of the reviews while a right is missing or kube-apiserver gives no answer.
const RETRY_EVERY: Duration = Duration::from_secs(5);
/// Interval of the reviews afterwards, in case a right is taken away.
const RECHECK_EVERY: Duration = Duration::from_secs(60);
/// Webhooks whose conditions were reported. Further ones are reported each time.
const MAX_REPORTED: usize = 1_000;

/// What happens to writes while webhooks cannot be enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requirement {
    /// They are rejected.
    Required,
    /// They pass without webhooks.
    BestEffort,
}

/// Whether webhooks are enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// They are.
    Active,
    /// The configurations may be listed soon.
    Unknown,
    /// They are not, so writes pass.
    Inactive,
    /// They are not, so writes are rejected.
    Refused,
}

/// Why a write is rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NotReady {
    /// The configurations have not been listed.
    Unlisted,
    /// A right is missing.
    MissingRight(Arc<str>),
}

/// The state of enforcement.
#[derive(Debug)]
pub(super) struct Enforcement {
    requirement: Requirement,
    state: watch::Sender<State>,
    /// Until when best effort waits for the first lists.
    grace: Instant,
    metrics: WebhookMetrics,
    reported: Mutex<HashSet<(Arc<str>, String)>>,
}

#[derive(Debug, Clone, Default)]
struct State {
    rights: Rights,
    synced: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Rights {
    /// Not reviewed yet.
    #[default]
    Unknown,
    Granted,
    /// Names the missing ones.
    Missing(Arc<str>),
}

impl Enforcement {
    pub(super) fn new(requirement: Requirement, metrics: WebhookMetrics) -> Self {
        Self {
            requirement,
            state: watch::Sender::default(),
            grace: Instant::now() + READY_TIMEOUT,
            metrics,
            reported: Mutex::default(),
        }
    }

    /// Whether webhooks are enforced now.
    pub(super) fn standing(&self) -> Standing {
        self.standing_of(&self.state.borrow())
    }

    fn standing_of(&self, state: &State) -> Standing {
        let required = self.requirement == Requirement::Required;
        match &state.rights {
            Rights::Missing(_) if required => Standing::Refused,
            // The last known configurations are better than none.
            Rights::Missing(_) | Rights::Granted if state.synced => Standing::Active,
            Rights::Missing(_) => Standing::Inactive,
            Rights::Unknown | Rights::Granted => {
                if required || Instant::now() < self.grace {
                    Standing::Unknown
                } else {
                    Standing::Inactive
                }
            }
        }
    }

    /// Waits until webhooks are enforced; false if the write passes without them.
    ///
    /// # Errors
    /// If the write is rejected.
    pub(super) async fn ready(&self) -> Result<bool, NotReady> {
        let mut changes = self.state.subscribe();
        let mut deadline = Instant::now() + READY_TIMEOUT;
        if self.requirement == Requirement::BestEffort {
            deadline = deadline.min(self.grace);
        }
        let decided = changes.wait_for(|state| self.standing_of(state) != Standing::Unknown);
        // Fails only if the sender is dropped, which `self` holds.
        let _ = timeout_at(deadline, decided).await;
        let state = self.state.borrow().clone();
        match (self.standing_of(&state), state.rights) {
            (Standing::Active, _) => Ok(true),
            (Standing::Inactive, _) => Ok(false),
            (Standing::Refused, Rights::Missing(text)) => Err(NotReady::MissingRight(text)),
            (Standing::Unknown | Standing::Refused, _) => Err(NotReady::Unlisted),
        }
    }

    /// Sets whether all configurations and namespaces have been listed.
    pub(super) fn set_synced(&self, synced: bool) {
        self.change(|state| state.synced = synced);
    }

    /// Waits until kube-apiserver grants all rights.
    pub(super) async fn granted(&self, client: &Client, kinds: &[WebhookKind]) {
        while !self.review(client, kinds).await {
            sleep(RETRY_EVERY).await;
        }
    }

    /// Reviews the rights for as long as the server runs.
    pub(super) async fn recheck(&self, client: &Client, kinds: &[WebhookKind]) {
        loop {
            let granted = self.state.borrow().rights == Rights::Granted;
            sleep(if granted { RECHECK_EVERY } else { RETRY_EVERY }).await;
            self.review(client, kinds).await;
        }
    }

    /// Reviews the rights; returns whether all are granted.
    async fn review(&self, client: &Client, kinds: &[WebhookKind]) -> bool {
        let missing = match missing(client, kinds).await {
            Ok(missing) => missing,
            Err(error) => {
                tracing::debug!(%error, "cannot review the rights of this server");
                return false;
            }
        };
        let rights = if missing.is_empty() {
            Rights::Granted
        } else {
            Rights::Missing(missing.join(", ").into())
        };
        let before = self.state.borrow().rights.clone();
        if rights != before {
            self.log(&rights);
            self.change(|state| state.rights = rights);
        }
        missing.is_empty()
    }

    fn log(&self, rights: &Rights) {
        match (rights, self.requirement) {
            (Rights::Missing(missing), Requirement::Required) => tracing::error!(
                %missing,
                "admission webhooks are required and cannot be read: rejecting all writes; grant \
                 these rights to the service account of this server"
            ),
            (Rights::Missing(missing), Requirement::BestEffort) => tracing::warn!(
                %missing,
                "admission webhooks cannot be read and are not called; grant these rights to the \
                 service account of this server"
            ),
            (Rights::Granted | Rights::Unknown, _) => {
                tracing::info!("following the configurations of admission webhooks");
            }
        }
    }

    /// Logs once that the conditions of a webhook are not evaluated.
    pub(super) fn report_conditions(&self, configuration: &Arc<str>, webhook: &str) {
        let mut reported = self.reported.lock();
        let key = (Arc::clone(configuration), webhook.to_owned());
        if reported.contains(&key) {
            return;
        }
        if reported.len() < MAX_REPORTED {
            reported.insert(key);
        }
        tracing::warn!(
            %configuration,
            webhook,
            "matchConditions are not evaluated: the webhook is called for every request that its \
             rules and selectors match"
        );
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        self.state.send_modify(change);
        self.metrics.set_active(self.standing() == Standing::Active);
    }
}

impl NotReady {
    /// The response to a write.
    pub(super) fn error(self, resource: &GroupResource, name: &str) -> ApiError {
        match self {
            // kube-apiserver's text.
            Self::Unlisted => {
                ApiError::forbidden(resource, name, "not yet ready to handle request")
            }
            Self::MissingRight(missing) => ApiError::service_unavailable(format!(
                "admission webhooks are required, but this server may not read their \
                 configurations: missing rights: {missing}"
            )),
        }
    }
}

/// The rights that this server lacks, as `verb resource`.
async fn missing(client: &Client, kinds: &[WebhookKind]) -> Result<Vec<String>, kube::Error> {
    let reviews = SelfSubjectAccessReviews::new(client.clone());
    let configurations = kinds.iter().map(|kind| kind.resource());
    let configurations = configurations.map(|it| ("admissionregistration.k8s.io", it));
    let mut missing = Vec::new();
    for (group, resource) in configurations.chain([("", "namespaces")]) {
        for verb in ["list", "watch"] {
            let request = ResourceAttributes {
                verb,
                group,
                resource,
                ..ResourceAttributes::default()
            };
            if !reviews.allowed(&request).await? {
                let dot = if group.is_empty() { "" } else { "." };
                missing.push(format!("{verb} {resource}{dot}{group}"));
            }
        }
    }
    Ok(missing)
}
