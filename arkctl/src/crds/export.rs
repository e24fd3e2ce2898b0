//! `export-crds`: a cluster from a store.

use anyhow::{Result, bail};

use super::api;
use super::cluster::Cluster;
use super::outgoing::{Object, Outgoing};
use crate::args;
use crate::etcd::{Etcd, Pair};
use crate::store::Store;
use crate::tell::{self, Progress};

/// Most obstacles that are named.
const NAMED: usize = 20;

/// Writes everything to a cluster, through its API or into its etcd.
///
/// # Errors
/// If something stands against it: then nothing was written; or if the cluster refuses an object,
/// which is named: then the same command carries on.
pub async fn run(arguments: &args::ExportCrds) -> Result<()> {
    let cluster = Cluster::of(&arguments.cluster)?;
    let store = Store::from(&arguments.from)?;
    let Outgoing { objects, obstacles, .. } = Outgoing::read(&store, &cluster).await?;
    for obstacle in obstacles.iter().take(NAMED) {
        tell::line(format_args!("in the way: {obstacle}"));
    }
    if !obstacles.is_empty() {
        bail!("{} obstacles; nothing was written", obstacles.len());
    }
    if arguments.etcd.is_none() {
        tell::line(api::WARNING);
        for loss in api::losses(&objects) {
            tell::line(loss);
        }
    }
    if arguments.dry_run {
        tell::line("nothing is in the way, and nothing was written");
        return Ok(());
    }
    match &arguments.etcd {
        Some(address) => into_etcd(arguments, address, &objects).await,
        None => api::create(&cluster, objects).await,
    }
}

async fn into_etcd(arguments: &args::ExportCrds, address: &str, objects: &[Object]) -> Result<()> {
    let args::ExportCrds {
        etcd_ca,
        etcd_cert,
        etcd_key,
        etcd_prefix,
        ..
    } = arguments;
    let etcd = Etcd::connect(address, [etcd_ca, etcd_cert, etcd_key]).await?;
    let pairs: Vec<Pair> = objects
        .iter()
        .map(|object| (path(etcd_prefix, object), object.value.clone()))
        .collect();
    let mut progress = Progress::new("written");
    let created = etcd
        .create(&pairs, |batch| {
            let bytes = batch.iter().map(|(_, value)| value.len()).sum();
            progress.add(batch.len(), bytes);
        })
        .await?;
    progress.finish();
    let (new, present) = (created.new, created.present);
    tell::line(format_args!(
        "{new} objects created, {present} were there already"
    ));
    Ok(())
}

/// Where kube-apiserver keeps an object.
fn path(prefix: &str, object: &Object) -> String {
    let prefix = prefix.trim_end_matches('/');
    let key = &object.key;
    let (group, resource) = (&key.group, &key.resource);
    if key.namespace.is_empty() {
        format!("{prefix}/{group}/{resource}/{}", key.name)
    } else {
        format!("{prefix}/{group}/{resource}/{}/{}", key.namespace, key.name)
    }
}
