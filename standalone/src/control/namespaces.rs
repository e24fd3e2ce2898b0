//! Namespaces: one for every namespace with objects, and the deletion of their objects.
//!
//! Source of the deletion: `pkg/controller/namespace/deletion` in kubernetes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use api_types::meta::Meta;
use gateway::store::{Freshness, ListAt, ListRequest, ObjectKey, Scope, Stored};
use http::StatusCode;
use serde_json::json;

use super::kinds::{Kind, Kinds};
use super::sources::Change;
use super::unless_gone;
use crate::admission::{self, FINALIZER};
use crate::client::{Client, Failure};

/// The controller.
pub(super) struct Namespaces {
    client: Client,
    kinds: Arc<Kinds>,
    /// The existing namespaces.
    known: HashSet<String>,
    /// Namespaces with objects that do not exist.
    missing: HashSet<String>,
    /// Namespaces that are being deleted, and whether to look at them.
    terminating: HashMap<String, bool>,
}

impl Namespaces {
    pub(super) fn new(client: Client, kinds: Arc<Kinds>) -> Self {
        Self {
            client,
            kinds,
            known: HashSet::new(),
            missing: HashSet::new(),
            terminating: HashMap::new(),
        }
    }

    /// Creates a namespace if it does not exist.
    ///
    /// # Errors
    /// If it cannot be created.
    pub(super) async fn ensure(&self, name: &str) -> Result<(), Failure> {
        if self.read(name).await?.is_some() {
            return Ok(());
        }
        let namespace = admission::namespace(name);
        match self.client.create("/api/v1/namespaces", &namespace).await {
            Err(error) if error.code() != Some(StatusCode::CONFLICT) => Err(error),
            _ => Ok(()),
        }
    }

    /// Records a change.
    pub(super) fn see(&mut self, change: &Change) {
        let key = change.object.key();
        let kind = self.kinds.get(change.kind);
        if kind.is_some_and(|kind| *kind.id() == admission::namespaces()) {
            self.see_namespace(key.name(), (!change.gone).then_some(&change.object));
            return;
        }
        let namespace = key.namespace();
        if namespace.is_empty() {
            return;
        }
        if let Some(look) = self.terminating.get_mut(namespace) {
            *look = true;
        } else if !change.gone && !self.known.contains(namespace) {
            self.missing.insert(namespace.to_owned());
        }
    }

    fn see_namespace(&mut self, name: &str, object: Option<&Arc<Stored>>) {
        let Some(object) = object else {
            self.known.remove(name);
            self.terminating.remove(name);
            return;
        };
        self.known.insert(name.to_owned());
        self.missing.remove(name);
        if object.deleting() {
            self.terminating.insert(name.to_owned(), true);
        }
    }

    /// All existing objects were seen: those of namespaces may follow those in them.
    pub(super) fn synced(&mut self) {
        self.missing.retain(|name| !self.known.contains(name));
    }

    /// Looks at all namespaces that are being deleted.
    pub(super) fn check_again(&mut self) {
        self.terminating.values_mut().for_each(|look| *look = true);
    }

    /// Whether [`Self::work`] has something to do.
    pub(super) fn has_work(&self) -> bool {
        !self.missing.is_empty() || self.terminating.values().any(|look| *look)
    }

    /// Creates missing namespaces, and continues deletions. What fails is tried again at the next
    /// [`Self::check_again`], or at the next object of a missing namespace.
    pub(super) async fn work(&mut self) {
        for name in std::mem::take(&mut self.missing) {
            if self.known.contains(&name) {
                continue;
            }
            if let Err(error) = self.ensure(&name).await {
                tracing::warn!(%error, namespace = name, "cannot create namespace");
            }
        }
        let looks = self.terminating.iter_mut();
        let names: Vec<String> = looks
            .filter_map(|(name, look)| std::mem::take(look).then(|| name.clone()))
            .collect();
        for name in names {
            if let Err(error) = self.empty(&name).await {
                tracing::debug!(%error, namespace = name, "deletion of namespace will be retried");
            }
        }
    }

    /// Deletes the objects of a namespace, and ends its deletion when none is left.
    async fn empty(&self, name: &str) -> Result<(), Failure> {
        let path = format!("/api/v1/namespaces/{name}");
        let terminating = json!({"status": {"phase": "Terminating"}});
        unless_gone(self.client.patch(&path, &terminating).await)?;
        let options = json!({
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
        });
        let mut left = false;
        for kind in self.kinds.iter().filter(|kind| kind.namespaced()) {
            if !self.has_objects(kind, name).await? {
                continue;
            }
            let collection = kind.collection(name);
            unless_gone(self.client.delete(&collection, &options).await)?;
            left |= self.has_objects(kind, name).await?;
        }
        if left {
            return Ok(());
        }
        let Some(found) = self.read(name).await? else {
            return Ok(());
        };
        let object = kube_json::reparse(found.bytes())?;
        let meta = Meta::of(&object);
        let finalizers: Vec<&str> = meta.finalizers().filter(|it| *it != FINALIZER).collect();
        let patch = json!({"metadata": {
            "finalizers": finalizers,
            "resourceVersion": meta.resource_version(),
            "uid": meta.uid(),
        }});
        unless_gone(self.client.patch(&path, &patch).await)
    }

    async fn read(&self, name: &str) -> Result<Option<Arc<Stored>>, Failure> {
        let (resource, key) = (admission::namespaces(), ObjectKey::new("", name));
        let store = self.client.store();
        Ok(store.get(&resource, &key, Freshness::Latest).await?)
    }

    async fn has_objects(&self, kind: &Kind, namespace: &str) -> Result<bool, Failure> {
        let request = ListRequest {
            scope: Scope::Namespace(namespace.to_owned()),
            at: ListAt::Fresh(Freshness::Latest),
            paged: false,
        };
        let listing = self.client.store().list(kind.id(), request).await?;
        Ok(listing.iter().next().is_some())
    }
}
