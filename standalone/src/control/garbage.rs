//! The garbage collector: deletes objects whose owners are gone, and ends deletions that wait for
//! dependents.
//!
//! Source: `pkg/controller/garbagecollector/garbagecollector.go` in kubernetes. A kind that is not
//! served here has unknown objects, so that its dependents are kept.

use std::sync::Arc;

use api_types::meta::Meta;
use futures_util::future::join_all;
use gateway::store::{Freshness, ObjectKey, Stored};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::graph::{FOREGROUND, Graph, Hold, Node, ORPHAN, Owner};
use super::kinds::{Kind, Kinds};
use super::queue::{Queue, Uid};
use super::sources::Change;
use super::unless_gone;
use crate::client::{Client, Failure};

/// Largest number of objects that are processed at a time.
const CONCURRENCY: usize = 16;

/// The collector.
pub(super) struct Garbage {
    collector: Collector,
    graph: Graph,
    queue: Queue,
}

/// The part that reads and writes objects.
struct Collector {
    client: Client,
    kinds: Arc<Kinds>,
}

/// What is to be done for an object, from the graph.
enum Job {
    /// Delete it if its owners are gone.
    Dependent {
        node: Arc<Node>,
        has_dependents: bool,
        /// Whether a dependent waits for the deletion of the object, which is one of its own.
        is_circle: bool,
    },
    /// No dependent delays its deletion any longer.
    Release(Arc<Node>),
    /// Remove the references of these dependents, then end its deletion.
    Orphan {
        node: Arc<Node>,
        dependents: Vec<(Uid, Arc<Node>)>,
    },
}

/// What is known of an owner.
#[derive(PartialEq, Eq)]
enum State {
    Present,
    Absent,
    /// Being deleted after its dependents.
    Waiting,
}

impl Garbage {
    pub(super) fn new(client: Client, kinds: Arc<Kinds>) -> Self {
        Self {
            collector: Collector { client, kinds },
            graph: Graph::default(),
            queue: Queue::default(),
        }
    }

    /// Records a change.
    pub(super) fn see(&mut self, change: &Change) {
        let (uid, object) = (change.object.uid(), &change.object);
        let concerned = if change.gone {
            self.graph.gone(uid)
        } else {
            self.graph.see(uid, Node::of(change.kind, object))
        };
        for uid in concerned {
            self.queue.add(uid);
        }
    }

    /// The moment from which [`Self::work`] has something to do.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.queue.next_due()
    }

    /// Processes some of the objects that are due. The graph must contain every change that was
    /// stored before the call.
    pub(super) async fn work(&mut self) {
        let taken = self.queue.take(CONCURRENCY);
        let jobs: Vec<(Uid, Job)> = taken
            .into_iter()
            .filter_map(|uid| Some((Arc::clone(&uid), self.job(&uid)?)))
            .collect();
        let collector = &self.collector;
        let running = jobs.into_iter().map(async |(uid, job)| {
            let done = collector.run(&uid, job).await;
            (uid, done)
        });
        for (uid, done) in join_all(running).await {
            match done {
                Ok(()) => self.queue.succeeded(&uid),
                Err(error) => {
                    // Most often a conflict: the object has changed since.
                    tracing::debug!(%error, uid = &*uid, "garbage collection will be retried");
                    self.queue.failed(uid);
                }
            }
        }
    }

    fn job(&mut self, uid: &Uid) -> Option<Job> {
        let node = Arc::clone(self.graph.get(uid)?);
        match node.hold.filter(|_| node.deleting) {
            Some(Hold::Orphan) => {
                let dependents = self.graph.dependents(uid);
                let dependents = dependents
                    .map(|(uid, node)| (Arc::clone(uid), Arc::clone(node)))
                    .collect();
                Some(Job::Orphan { node, dependents })
            }
            Some(Hold::Foreground) => {
                if !self.graph.dependents(uid).any(|(_, it)| it.blocks(uid)) {
                    return Some(Job::Release(node));
                }
                let dependents = self.graph.dependents(uid);
                let dependents: Vec<Uid> = dependents
                    .filter(|(_, it)| !it.deleting)
                    .map(|(uid, _)| Arc::clone(uid))
                    .collect();
                for dependent in dependents {
                    self.queue.add(dependent);
                }
                None
            }
            None if node.deleting => None,
            None => {
                let mut dependents = self.graph.dependents(uid);
                Some(Job::Dependent {
                    node,
                    has_dependents: self.graph.dependents(uid).next().is_some(),
                    is_circle: dependents.any(|(_, it)| it.is_deleting_dependents()),
                })
            }
        }
    }
}

impl Collector {
    async fn run(&self, uid: &Uid, job: Job) -> Result<(), Failure> {
        match job {
            Job::Dependent {
                node,
                has_dependents,
                is_circle,
            } => self.dependent(uid, &node, has_dependents, is_circle).await,
            Job::Release(node) => self.release(uid, &node, FOREGROUND).await,
            Job::Orphan { node, dependents } => {
                let owner = |it: &Owner| it.uid == *uid;
                let orphaned = dependents.iter();
                let orphaned =
                    orphaned.map(|(uid, dependent)| self.remove_owners(uid, dependent, owner));
                for result in join_all(orphaned).await {
                    result?;
                }
                self.release(uid, &node, ORPHAN).await
            }
        }
    }

    /// Deletes an object without owners, or removes the references to those that are gone.
    async fn dependent(
        &self,
        uid: &Uid,
        node: &Node,
        has_dependents: bool,
        is_circle: bool,
    ) -> Result<(), Failure> {
        let (mut absent, mut waiting) = (Vec::new(), Vec::new());
        for owner in &node.owners {
            match self.state(node, owner).await? {
                State::Present => {}
                State::Absent => absent.push(&owner.uid),
                State::Waiting => waiting.push(&owner.uid),
            }
        }
        if absent.is_empty() && waiting.is_empty() {
            return Ok(());
        }
        if absent.len() + waiting.len() < node.owners.len() {
            let is_gone =
                |owner: &Owner| absent.contains(&&owner.uid) || waiting.contains(&&owner.uid);
            return self.remove_owners(uid, node, is_gone).await;
        }
        if !waiting.is_empty() && has_dependents {
            if is_circle {
                self.unblock(uid, node).await?;
            }
            return self.delete(uid, node, "Foreground").await;
        }
        // The finalizer of an earlier request states the policy.
        let policy = match node.hold {
            Some(Hold::Orphan) => "Orphan",
            Some(Hold::Foreground) => "Foreground",
            None => "Background",
        };
        self.delete(uid, node, policy).await
    }

    async fn state(&self, node: &Node, owner: &Owner) -> Result<State, Failure> {
        let Some(kind) = self.kinds.find(&owner.api_version, &owner.kind) else {
            return Ok(State::Present);
        };
        let namespace = match (kind.namespaced(), node.key.namespace()) {
            // A reference from outside to an object in some namespace cannot be resolved.
            (true, "") => return Ok(State::Present),
            (true, namespace) => namespace,
            (false, _) => "",
        };
        let key = ObjectKey::new(namespace, &owner.name);
        let found = self.read(kind, &key, &owner.uid).await?;
        Ok(match found {
            None => State::Absent,
            Some(found) => match Node::of(0, &found) {
                Some(node) if node.is_deleting_dependents() => State::Waiting,
                _ => State::Present,
            },
        })
    }

    /// An object, unless it is gone or another one has its name.
    async fn read(
        &self,
        kind: &Kind,
        key: &ObjectKey,
        uid: &Uid,
    ) -> Result<Option<Arc<Stored>>, Failure> {
        let found = self.client.store().get(kind.id(), key, Freshness::Any);
        Ok(found.await?.filter(|object| object.uid() == &**uid))
    }

    /// Kind and current state of an object, unless it is gone.
    async fn current(&self, uid: &Uid, node: &Node) -> Result<Option<(&Kind, Value)>, Failure> {
        let Some(kind) = self.kinds.get(node.kind) else {
            return Ok(None);
        };
        let Some(object) = self.read(kind, &node.key, uid).await? else {
            return Ok(None);
        };
        Ok(Some((kind, kube_json::reparse(object.bytes())?)))
    }

    async fn delete(&self, uid: &Uid, node: &Node, policy: &str) -> Result<(), Failure> {
        let Some((kind, object)) = self.current(uid, node).await? else {
            return Ok(());
        };
        let options = json!({
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": policy,
            "preconditions": {
                "uid": &**uid,
                "resourceVersion": Meta::of(&object).resource_version(),
            },
        });
        unless_gone(self.client.delete(&kind.path(&node.key), &options).await)
    }

    /// Removes a finalizer.
    async fn release(&self, uid: &Uid, node: &Node, finalizer: &str) -> Result<(), Failure> {
        self.change(uid, node, |meta| {
            let finalizers: Vec<&str> = meta.finalizers().filter(|it| *it != finalizer).collect();
            json!({ "finalizers": finalizers })
        })
        .await
    }

    /// Removes references to owners.
    async fn remove_owners(
        &self,
        uid: &Uid,
        node: &Node,
        remove: impl Fn(&Owner) -> bool,
    ) -> Result<(), Failure> {
        let removed: Vec<&Uid> = node
            .owners
            .iter()
            .filter(|owner| remove(owner))
            .map(|owner| &owner.uid)
            .collect();
        self.change(uid, node, |meta| {
            let mut owners = meta.get("ownerReferences").cloned().unwrap_or_default();
            if let Value::Array(owners) = &mut owners {
                owners.retain(|owner| {
                    let uid = owner["uid"].as_str().unwrap_or_default();
                    !removed.iter().any(|it| ***it == *uid)
                });
            }
            json!({ "ownerReferences": owners })
        })
        .await
    }

    /// Lets the owners of an object be deleted before it.
    async fn unblock(&self, uid: &Uid, node: &Node) -> Result<(), Failure> {
        self.change(uid, node, |meta| {
            let mut owners = meta.get("ownerReferences").cloned().unwrap_or_default();
            for owner in owners.as_array_mut().into_iter().flatten() {
                owner["blockOwnerDeletion"] = false.into();
            }
            json!({ "ownerReferences": owners })
        })
        .await
    }

    /// Patches the metadata of the current object.
    async fn change(
        &self,
        uid: &Uid,
        node: &Node,
        change: impl FnOnce(Meta<'_>) -> Value,
    ) -> Result<(), Failure> {
        let Some((kind, object)) = self.current(uid, node).await? else {
            return Ok(());
        };
        let meta = Meta::of(&object);
        let mut metadata = change(meta);
        // Rejected if the object has changed, or if another one has its name.
        metadata["uid"] = meta.uid().into();
        metadata["resourceVersion"] = meta.resource_version().into();
        let patch = json!({ "metadata": metadata });
        unless_gone(self.client.patch(&kind.path(&node.key), &patch).await)
    }
}
