//! The namespaces of the cluster: their phases and labels.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use ::kube::runtime::watcher::{self, Event};
use ::kube::{Api, ResourceExt as _};
use http::Method;
use k8s_openapi::api::core::v1::Namespace;
use parking_lot::RwLock;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::follow::follow;
use crate::kube::answers::Answers;
use crate::kube::call::{Call, Error};
use crate::kube::client::Client;

/// How long a namespace that was being deleted is looked up live if it appears to be active:
/// `forceLiveLookupTTL` of `k8s.io/apiserver/pkg/admission/plugin/namespace/lifecycle`.
const RECENTLY_DELETED: Duration = Duration::from_secs(30);
/// Deletions that are remembered. A further one is not, until one of them is older than that.
const MAX_DELETED: usize = 1_000;

/// Phase of a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Accepts new objects.
    Active,
    /// Is being deleted with its objects.
    Terminating,
}

/// Follows the namespaces. Cheap to clone; clones share one copy.
#[derive(Debug, Clone)]
pub struct Namespaces {
    client: Client,
    shared: Arc<RwLock<Known>>,
    synced: Arc<watch::Sender<bool>>,
    lookups: Arc<Answers<Option<Found>>>,
}

/// Labels of a namespace, shared with requests.
pub type Labels = Arc<BTreeMap<String, String>>;

/// What is known of a namespace.
#[derive(Debug, Clone)]
struct Found {
    phase: Phase,
    labels: Labels,
}

#[derive(Debug, Default)]
struct Known {
    found: HashMap<String, Found>,
    /// The namespaces of a list that is not complete yet.
    listed: HashMap<String, Found>,
    /// When a namespace was last seen terminating or deleted.
    deleted: HashMap<String, Instant>,
}

// === impl Namespaces ===

impl Namespaces {
    /// An empty copy.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            shared: Arc::default(),
            synced: Arc::new(watch::Sender::new(false)),
            // Live answers are shared by the requests that wait for them, and not kept.
            lookups: Answers::new(1, None),
        }
    }

    /// Waits until all namespaces have been listed once. The caller sets the deadline.
    pub async fn synced(&self) {
        let mut synced = self.synced.subscribe();
        // Fails only if the sender is dropped, which `self` holds.
        let _ = synced.wait_for(|synced| *synced).await;
    }

    /// The phase of a namespace in the copy.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Phase> {
        self.shared.read().found.get(name).map(|it| it.phase)
    }

    /// The labels of a namespace in the copy.
    #[must_use]
    pub fn labels(&self, name: &str) -> Option<Labels> {
        let known = self.shared.read();
        known.found.get(name).map(|it| Arc::clone(&it.labels))
    }

    /// Whether all namespaces have been listed once.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        *self.synced.borrow()
    }

    /// Whether the namespace was terminating or deleted a short time ago, so that the copy may be
    /// stale if it is active.
    #[must_use]
    pub fn was_deleted_recently(&self, name: &str) -> bool {
        let known = self.shared.read();
        let deleted = known.deleted.get(name);
        deleted.is_some_and(|at| at.elapsed() < RECENTLY_DELETED)
    }

    /// Asks kube-apiserver for the phase of a namespace.
    ///
    /// # Errors
    /// If it gives no answer. A missing namespace is not an error.
    pub async fn look_up(&self, name: &str) -> Result<Option<Phase>, Error> {
        Ok(self.look_up_live(name).await?.map(|it| it.phase))
    }

    /// Asks kube-apiserver for the labels of a namespace.
    ///
    /// # Errors
    /// As [`Self::look_up`].
    pub async fn look_up_labels(&self, name: &str) -> Result<Option<Labels>, Error> {
        Ok(self.look_up_live(name).await?.map(|it| it.labels))
    }

    async fn look_up_live(&self, name: &str) -> Result<Option<Found>, Error> {
        let (client, owned) = (self.client.clone(), name.to_owned());
        let ask = || async move {
            let path = format!(
                "/api/v1/namespaces/{}",
                utf8_percent_encode(&owned, NON_ALPHANUMERIC)
            );
            let call = Call {
                method: Method::GET,
                path: &path,
                body: bytes::Bytes::new(),
            };
            match call.send::<Namespace>(&client, None).await {
                Ok(namespace) => Ok(Some(Found::of(&namespace))),
                Err(error) if error.is_not_found() => Ok(None),
                Err(error) => Err(error),
            }
        };
        self.lookups.answer(name.as_bytes(), |_| None, ask).await
    }

    /// Follows the namespaces until `stop` is cancelled.
    pub async fn run(self, stop: CancellationToken) {
        let api = Api::<Namespace>::all(self.client.inner.clone());
        let apply = |event| {
            if self.shared.write().apply(event) {
                self.synced.send_replace(true);
            }
        };
        follow("namespaces", api, watcher::Config::default(), stop, apply).await;
    }
}

// === impl Known ===

impl Known {
    /// Applies an event; returns whether a list is complete.
    fn apply(&mut self, event: Event<Namespace>) -> bool {
        match event {
            Event::Init => self.listed.clear(),
            Event::InitApply(namespace) => {
                let found = self.seen(&namespace);
                self.listed.insert(namespace.name_any(), found);
            }
            Event::InitDone => {
                self.found = std::mem::take(&mut self.listed);
                return true;
            }
            Event::Apply(namespace) => {
                let found = self.seen(&namespace);
                self.found.insert(namespace.name_any(), found);
            }
            Event::Delete(namespace) => {
                let name = namespace.name_any();
                self.found.remove(&name);
                self.note_deleted(name);
            }
        }
        false
    }

    fn seen(&mut self, namespace: &Namespace) -> Found {
        let found = Found::of(namespace);
        if found.phase == Phase::Terminating {
            self.note_deleted(namespace.name_any());
        }
        found
    }

    fn note_deleted(&mut self, name: String) {
        if self.deleted.len() >= MAX_DELETED {
            self.deleted.retain(|_, at| at.elapsed() < RECENTLY_DELETED);
        }
        if self.deleted.len() < MAX_DELETED {
            self.deleted.insert(name, Instant::now());
        }
    }
}

impl Found {
    fn of(namespace: &Namespace) -> Self {
        Self {
            phase: phase(namespace),
            labels: Arc::new(namespace.labels().clone()),
        }
    }
}

fn phase(namespace: &Namespace) -> Phase {
    let phase = namespace.status.as_ref().and_then(|it| it.phase.as_deref());
    if phase == Some("Terminating") {
        Phase::Terminating
    } else {
        Phase::Active
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::NamespaceStatus;

    use super::*;

    fn namespace(name: &str, phase: &str) -> Namespace {
        let mut namespace = Namespace::default();
        namespace.metadata.name = Some(name.to_owned());
        namespace.status = Some(NamespaceStatus {
            phase: Some(phase.to_owned()),
            ..NamespaceStatus::default()
        });
        namespace
    }

    #[tokio::test(start_paused = true)]
    async fn incomplete_list_does_not_hide_known_namespaces() {
        let mut known = Known::default();
        for event in [
            Event::Init,
            Event::InitApply(namespace("a", "Active")),
            Event::InitApply(namespace("b", "Terminating")),
        ] {
            assert!(!known.apply(event));
        }
        assert!(known.found.is_empty());
        assert!(known.apply(Event::InitDone));
        assert_eq!(known.found["a"].phase, Phase::Active);
        assert_eq!(known.found["b"].phase, Phase::Terminating);
        known.apply(Event::Init);
        assert_eq!(known.found.len(), 2, "until the next list is complete");
        known.apply(Event::InitApply(namespace("a", "Active")));
        known.apply(Event::InitDone);
        assert_eq!(known.found.len(), 1);

        known.apply(Event::Apply(namespace("b", "Active")));
        assert!(known.deleted.contains_key("b") && !known.deleted.contains_key("a"));
        known.apply(Event::Delete(namespace("a", "Terminating")));
        assert!(known.deleted.contains_key("a") && !known.found.contains_key("a"));
    }

    #[tokio::test(start_paused = true)]
    async fn remembered_deletions_are_bounded() {
        let mut known = Known::default();
        for number in 0..2 * MAX_DELETED {
            known.note_deleted(number.to_string());
        }
        assert_eq!(known.deleted.len(), MAX_DELETED);
        tokio::time::advance(RECENTLY_DELETED).await;
        known.note_deleted("new".to_owned());
        assert_eq!(known.deleted.len(), 1);
    }
}
