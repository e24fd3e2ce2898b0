//! `export-crds`: writes a store's content to a cluster.

use anyhow::{Result, ensure};

use super::api;
use super::cluster::{Cluster, in_the_way};
use super::outgoing::{NAMED, Object, Outgoing};
use crate::args;
use crate::deadlines::Deadlines;
use crate::etcd::{Etcd, Pair};
use crate::output::{self, Progress};
use crate::store::Store;

/// Writes all objects to a cluster, through its API or into its etcd.
///
/// # Errors
/// If there are obstacles; nothing is written in this case. If the cluster rejects an object, which
/// is named; the same command continues from there. Or at the end, if other objects have some of
/// the names.
pub async fn run(arguments: &args::ExportCrds, deadlines: Deadlines) -> Result<()> {
    let cluster = Cluster::of(&arguments.cluster)?;
    let store = Store::from(&arguments.from, deadlines)?;
    let outgoing = Outgoing::read(&store, &cluster).await?;
    match &arguments.etcd {
        Some(address) => into_etcd(arguments, address, outgoing).await,
        None => through_api(arguments, &cluster, outgoing).await,
    }
}

async fn through_api(
    arguments: &args::ExportCrds,
    cluster: &Cluster,
    outgoing: Outgoing,
) -> Result<()> {
    let Outgoing {
        objects,
        mut obstacles,
        handed_over,
    } = outgoing;
    obstacles.extend(in_the_way(&handed_over));
    refuse(&obstacles)?;
    output::line(api::WARNING);
    for loss in api::losses(&objects) {
        output::line(loss);
    }
    if !arguments.dry_run {
        return api::create(cluster, objects).await;
    }
    let looked = api::look(cluster, &objects).await?;
    looked.report("they would be left unchanged")?;
    free();
    Ok(())
}

async fn into_etcd(arguments: &args::ExportCrds, address: &str, outgoing: Outgoing) -> Result<()> {
    let Outgoing {
        objects,
        obstacles,
        handed_over,
    } = outgoing;
    refuse(&obstacles)?;
    if !handed_over.is_empty() {
        let names = handed_over.join(" ");
        output::line(format_args!(
            "the cluster hands the kinds to another server: what is written is seen after kubectl \
             delete apiservice {names}"
        ));
    }
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
    refuse(&etcd.conflicts(&pairs).await?)?;
    if arguments.dry_run {
        free();
        return Ok(());
    }
    let mut progress = Progress::new("written", Some(pairs.len() as u64));
    let created = etcd
        .create(&pairs, |batch| {
            let bytes = batch.iter().map(|(_, value)| value.len()).sum();
            progress.add(batch.len(), bytes);
        })
        .await?;
    progress.finish();
    let (new, present) = (created.new, created.present);
    output::line(format_args!(
        "{new} objects created, {present} existed already"
    ));
    Ok(())
}

/// Prints the obstacles to the export.
///
/// # Errors
/// If there are any.
fn refuse(obstacles: &[String]) -> Result<()> {
    for obstacle in obstacles.iter().take(NAMED) {
        output::line(format_args!("obstacle: {obstacle}"));
    }
    let count = obstacles.len();
    ensure!(count == 0, "nothing was written: {count} obstacles");
    Ok(())
}

fn free() {
    output::line("no obstacles; nothing was written");
}

/// Returns kube-apiserver's etcd key of an object.
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
