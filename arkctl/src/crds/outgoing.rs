//! A store's objects, matched with the kinds of the target cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use backend_proto::v1::{ExportRequest, Key, Record};
use bytes::Bytes;
use serde_json::Value;

use super::cluster::{Cluster, Kind};
use crate::key;
use crate::output;
use crate::store::Store;

/// Maximum number of obstacles to print.
pub(crate) const NAMED: usize = 20;

/// An object to be exported.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) kind: Arc<Kind>,
    pub(crate) key: Key,
    /// Version in which it is stored.
    pub(crate) version: String,
    pub(crate) value: Bytes,
    pub(crate) parsed: Value,
}

/// The objects, and obstacles to their export.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) objects: Vec<Object>,
    pub(crate) obstacles: Vec<String>,
    /// APIServices that delegate the kinds to another server.
    pub(crate) handed_over: Vec<String>,
    /// The cluster's kinds of the groups.
    pub(crate) kinds: Vec<Arc<Kind>>,
}

/// The cluster's kinds by group and plural name.
type Kinds = BTreeMap<(String, String), Arc<Kind>>;

impl Outgoing {
    /// Reads the store and the cluster's kinds.
    pub(crate) async fn read(store: &Store, cluster: &Cluster) -> Result<Self> {
        let kinds = cluster.kinds().await?;
        let handed_over = cluster.handed_over(&kinds).await?;
        let all = kinds.clone();
        let kinds: Kinds = kinds
            .into_iter()
            .map(|kind| ((kind.group.clone(), kind.plural.clone()), kind))
            .collect();
        let mut export = store.export(ExportRequest::default()).await?;
        let (mut outgoing, mut others) = (Vec::new(), 0);
        let mut obstacles = Vec::new();
        while let Some(records) = export.records().await? {
            for record in records {
                let key = record.key.clone().unwrap_or_default();
                if !cluster.means(&key.group) {
                    others += 1;
                    continue;
                }
                match object(&kinds, key.clone(), record) {
                    Ok(object) => outgoing.push(object),
                    Err(error) => obstacles.push(format!("{}: {error:#}", key::text(&key))),
                }
            }
        }
        let revision = export.header.revision;
        let count = outgoing.len();
        output::line(format_args!("{count} objects at revision {revision}"));
        if others > 0 {
            output::line(format_args!(
                "{others} objects of other groups are left out"
            ));
        }
        obstacles.extend(missing(cluster, &outgoing).await?);
        Ok(Self {
            objects: outgoing,
            obstacles,
            handed_over,
            kinds: all,
        })
    }
}

/// Returns a message for each missing namespace.
async fn missing(cluster: &Cluster, objects: &[Object]) -> Result<Vec<String>> {
    let namespaces = objects.iter().map(|it| it.key.namespace.as_str());
    let namespaces: BTreeSet<&str> = namespaces.filter(|name| !name.is_empty()).collect();
    let mut missing = Vec::new();
    for namespace in namespaces {
        if !cluster.has_namespace(namespace).await? {
            missing.push(format!(
                "the cluster has no namespace {namespace}: create it"
            ));
        }
    }
    Ok(missing)
}

fn object(kinds: &Kinds, key: Key, record: Record) -> Result<Object> {
    anyhow::ensure!(record.unreadable.is_empty(), "{}", record.unreadable);
    let kind = kinds
        .get(&(key.group.clone(), key.resource.clone()))
        .context("the cluster has no CRD for it")?;
    let parsed = kube_json::reparse(&record.value).context("its value is not JSON")?;
    let version = parsed["apiVersion"]
        .as_str()
        .and_then(|it| it.rsplit_once('/'));
    let version = version.context("it has no apiVersion")?.1.to_owned();
    let known = kind.versions.iter().any(|(name, ..)| *name == version);
    anyhow::ensure!(known, "the cluster's CRD has no version {version}");
    anyhow::ensure!(
        kind.namespaced != key.namespace.is_empty(),
        "the cluster's CRD has another scope"
    );
    Ok(Object {
        kind: kind.clone(),
        key,
        version,
        value: record.value,
        parsed,
    })
}
