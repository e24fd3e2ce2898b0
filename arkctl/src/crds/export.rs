//! `export-crds`: writes a store's content to a cluster.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use super::api;
use super::cluster::{Cluster, in_the_way};
use super::outgoing::{NAMED, Outgoing};
use super::shadow::{Diff, Shadow};
use crate::args;
use crate::deadlines::Deadlines;
use crate::etcd::Pair;
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
    if store.describe().await?.fenced.is_empty() {
        output::line(
            "the store is not fenced: changes from now on are not exported; arkctl fence, if \
             clients still write to it",
        );
    }
    let outgoing = Outgoing::read(&store, &cluster).await?;
    match &arguments.etcd.etcd {
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
        ..
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
        mut obstacles,
        handed_over,
        kinds,
    } = outgoing;
    let etcd = arguments.etcd.connect(address).await?;
    let shadow = Shadow::new(etcd.clone(), &arguments.etcd.etcd_prefix);
    obstacles.extend(shadow.strangers(&kinds).await?);
    refuse(&obstacles)?;
    if !handed_over.is_empty() {
        let names = handed_over.join(" ");
        output::line(format_args!(
            "the cluster hands the kinds to another server: what is written is seen after kubectl \
             delete apiservice {names}"
        ));
    }
    let diff = shadow.diff(&kinds, &objects).await?;
    if arguments.replace {
        return replace(arguments, &shadow, &diff).await;
    }
    let pairs: Vec<Pair> = objects
        .iter()
        .map(|object| (shadow.key(&object.key), object.value.clone()))
        .collect();
    let mut obstacles = etcd.conflicts(&pairs).await?;
    if !arguments.keep_others {
        obstacles.extend(others(&diff));
    }
    refuse(&obstacles)?;
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

/// Makes the CRDs' objects equal to those of the store.
async fn replace(arguments: &args::ExportCrds, shadow: &Shadow, diff: &Diff) -> Result<()> {
    for key in diff.deleted.iter().take(NAMED) {
        output::line(format_args!("not in the store: {key}"));
    }
    if arguments.dry_run {
        output::line(format_args!("would be: {}", diff.summary()));
        free();
        return Ok(());
    }
    let save = saved(arguments.save.as_deref());
    shadow.apply(diff, &save).await?;
    if !diff.lost.is_empty() {
        let save = save.display();
        output::line(format_args!("the former objects are in {save}"));
    }
    output::line(diff.summary());
    Ok(())
}

/// Returns the obstacle that the CRDs have objects that the store does not have.
fn others(diff: &Diff) -> Option<String> {
    let first = diff.deleted.first()?;
    let count = diff.deleted.len();
    Some(format!(
        "{count} objects are in the CRDs and not in the store, such as {first}: objects that were \
         deleted since an import would come back. --replace deletes them, after saving them; \
         --keep-others leaves them"
    ))
}

/// Returns the file for what is replaced and deleted.
pub(crate) fn saved(file: Option<&Path>) -> PathBuf {
    file.map_or_else(
        || format!("crd-objects-{}.jsonl", jiff::Timestamp::now().as_second()).into(),
        Path::to_owned,
    )
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
