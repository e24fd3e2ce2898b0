//! `adopt` and `return`: take kinds over from a cluster's CRDs, and give them back, while clients use
//! them.
//!
//! The cluster holds the state of a move in one ConfigMap (`state`). Each step looks at the cluster
//! first and does what is missing, so that a repeated command carries on wherever the last one ended.
//!
//! Invariants (docs/adr/0026-adopt-and-return.md):
//! - one side accepts writes at any time, or none: `policy` closes the CRDs before the APIServices
//!   point at the gateway and opens them after they no longer do; a fence closes the store before;
//! - the sides are compared while both are closed;
//! - no client takes a revision of one side to the other: watches on the CRDs are ended by a change
//!   of the CRDs, watches on the gateway by a fence that retires its store.

mod state;

mod api_services;
mod gateway;
mod policy;
mod touch;

mod rights;
mod schemas;

mod preflight;

mod adopt;
mod give_back;

pub use self::adopt::run as adopt;
pub use self::give_back::run as give_back;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep};

use crate::crds::cluster::{Cluster, Kind};
use crate::crds::outgoing::NAMED;
use crate::output;

/// Interval of repeated looks at the cluster.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Repeats `look` until it returns a value.
///
/// # Errors
/// With the state that it described last, when the time is over.
async fn until<T>(
    limit: Duration,
    mut look: impl AsyncFnMut() -> Result<std::result::Result<T, String>>,
) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        match look().await? {
            Ok(value) => return Ok(value),
            Err(state) if Instant::now() >= deadline => {
                bail!(
                    "after {} s: {state}; repeat the command to continue",
                    limit.as_secs()
                )
            }
            Err(_) => sleep(POLL_INTERVAL).await,
        }
    }
}

/// Prints obstacles.
///
/// # Errors
/// If there are any.
fn refuse(obstacles: &[String]) -> Result<()> {
    for obstacle in obstacles.iter().take(NAMED) {
        output::line(format_args!("obstacle: {obstacle}"));
    }
    let count = obstacles.len();
    if count > NAMED {
        output::line(format_args!("and {} more", count - NAMED));
    }
    anyhow::ensure!(count == 0, "nothing was changed: {count} obstacles");
    Ok(())
}

/// Whether lists of every kind are served by the gateway: the resourceVersions of a store are above
/// every revision that an etcd reaches.
///
/// # Errors
/// If the cluster is unreachable.
async fn served_by_store(
    cluster: &Cluster,
    kinds: &[Arc<Kind>],
    epoch: i64,
    expected: bool,
) -> Result<std::result::Result<(), String>> {
    for kind in kinds {
        for (version, served, _) in &kind.versions {
            if !served {
                continue;
            }
            let path = format!("{}?limit=1", kind.path(version, ""));
            let (status, list) = cluster.send("GET", &path, None).await?;
            let revision = list["metadata"]["resourceVersion"].as_str();
            let revision = revision.and_then(|it| it.parse::<i64>().ok()).unwrap_or(0);
            if status != 200 {
                let message = crate::crds::cluster::message(&list);
                return Ok(Err(format!("GET {path}: {status} {message}")));
            }
            if (revision >= epoch) != expected {
                let side = if expected { "the CRDs" } else { "the gateway" };
                return Ok(Err(format!("GET {path}: {side} still respond")));
            }
        }
    }
    Ok(Ok(()))
}
