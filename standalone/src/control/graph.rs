//! Which object owns which, by uid.
//!
//! Source: `pkg/controller/garbagecollector/graph_builder.go` in kubernetes. Objects without owners
//! that no deletion holds are not in the graph; whether an owner exists is looked up in the store.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use api_types::meta::Meta;
use gateway::store::{ObjectKey, Stored};
use memchr::memmem;

use super::queue::Uid;

/// Held until the references of the dependents are removed.
pub(super) const ORPHAN: &str = "orphan";
/// Held until the dependents are deleted.
pub(super) const FOREGROUND: &str = "foregroundDeletion";

/// The objects with owners, and those whose deletion waits for the garbage collector.
#[derive(Debug, Default)]
pub(super) struct Graph {
    nodes: HashMap<Uid, Arc<Node>>,
    /// By owner.
    dependents: HashMap<Uid, BTreeSet<Uid>>,
}

/// An object.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Node {
    /// Position of its kind.
    pub(super) kind: usize,
    /// Namespace and name.
    pub(super) key: ObjectKey,
    /// Its owners.
    pub(super) owners: Vec<Owner>,
    /// Whether it is being deleted.
    pub(super) deleting: bool,
    /// The finalizer of the garbage collector.
    pub(super) hold: Option<Hold>,
}

/// An entry of `metadata.ownerReferences`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) uid: Uid,
    pub(super) api_version: String,
    pub(super) kind: String,
    pub(super) name: String,
    /// `blockOwnerDeletion`.
    pub(super) blocks: bool,
}

/// What a deletion waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    Orphan,
    Foreground,
}

impl Node {
    /// The node of an object; none if the garbage collector has nothing to do with it.
    pub(super) fn of(kind: usize, object: &Stored) -> Option<Self> {
        // Most objects have neither, and a search is cheaper than a parse.
        let contains = |text: &str| memmem::find(object.bytes(), text.as_bytes()).is_some();
        let held = object.deleting() && (contains(ORPHAN) || contains(FOREGROUND));
        if !held && !contains("ownerReferences") {
            return None;
        }
        let value = kube_json::reparse(object.bytes()).ok()?;
        let meta = Meta::of(&value);
        let node = Self {
            kind,
            key: object.key().clone(),
            owners: meta
                .owner_references()
                .map(|owner| Owner {
                    uid: owner.uid.into(),
                    api_version: owner.api_version.to_owned(),
                    kind: owner.kind.to_owned(),
                    name: owner.name.to_owned(),
                    blocks: owner.block_owner_deletion,
                })
                .collect(),
            deleting: object.deleting(),
            hold: meta.finalizers().find_map(|name| match name {
                ORPHAN => Some(Hold::Orphan),
                FOREGROUND => Some(Hold::Foreground),
                _ => None,
            }),
        };
        let concerned = !node.owners.is_empty() || (node.deleting && node.hold.is_some());
        concerned.then_some(node)
    }

    /// Whether the object waits for the deletion of its dependents.
    pub(super) fn is_deleting_dependents(&self) -> bool {
        self.deleting && self.hold == Some(Hold::Foreground)
    }

    /// Whether the object delays the deletion of an owner.
    pub(super) fn blocks(&self, owner: &Uid) -> bool {
        self.owners.iter().any(|it| it.blocks && it.uid == *owner)
    }
}

impl Graph {
    /// A node.
    pub(super) fn get(&self, uid: &Uid) -> Option<&Arc<Node>> {
        self.nodes.get(uid)
    }

    /// The dependents of an object.
    pub(super) fn dependents(&self, owner: &Uid) -> impl Iterator<Item = (&Uid, &Arc<Node>)> {
        let dependents = self.dependents.get(owner).into_iter().flatten();
        dependents.filter_map(|uid| Some((uid, self.nodes.get(uid)?)))
    }

    /// Records the state of an object; returns the objects to look at.
    pub(super) fn see(&mut self, uid: &str, node: Option<Node>) -> Vec<Uid> {
        let uid: Uid = uid.into();
        if self.nodes.get(&uid).map(|it| &**it) == node.as_ref() {
            return Vec::new();
        }
        let mut concerned = self.remove(&uid);
        if let Some(node) = node {
            for owner in &node.owners {
                let dependents = self.dependents.entry(Arc::clone(&owner.uid));
                dependents.or_default().insert(Arc::clone(&uid));
            }
            concerned.push(Arc::clone(&uid));
            self.nodes.insert(uid, Arc::new(node));
        }
        concerned
    }

    /// Records that an object is gone; returns the objects to look at.
    pub(super) fn gone(&mut self, uid: &str) -> Vec<Uid> {
        let uid: Uid = uid.into();
        let mut concerned = self.remove(&uid);
        concerned.extend(self.dependents.get(&uid).into_iter().flatten().cloned());
        concerned
    }

    /// Removes a node; returns its owners whose deletion waits for dependents.
    fn remove(&mut self, uid: &Uid) -> Vec<Uid> {
        let Some(node) = self.nodes.remove(uid) else {
            return Vec::new();
        };
        for owner in &node.owners {
            if let Some(dependents) = self.dependents.get_mut(&owner.uid) {
                dependents.remove(uid);
                if dependents.is_empty() {
                    self.dependents.remove(&owner.uid);
                }
            }
        }
        let owners = node.owners.iter().map(|owner| &owner.uid);
        let waiting = owners.filter(|owner| {
            let owner = self.nodes.get(*owner);
            owner.is_some_and(|owner| owner.is_deleting_dependents())
        });
        waiting.cloned().collect()
    }
}

#[cfg(test)]
mod tests;
