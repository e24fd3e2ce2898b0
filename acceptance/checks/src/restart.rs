//! Checks of restarts: from the start of the program to a full list.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::lists::fill;
use crate::retry::{used, within_limit};
use ark_bench::objects::ALL;
use ark_bench::target::{Programs, Target};

const OBJECT_BYTES: usize = 2_600;
/// Objects of the first list, and its time limit.
const LISTED: (usize, Duration) = (50_000, Duration::from_secs(2));
/// Objects at a start, and the time limit until the server is ready.
const STARTED: (usize, Duration) = (10_000, Duration::from_secs(1));

#[derive(Deserialize)]
struct List {
    items: Vec<IgnoredAny>,
}

/// A data directory with `objects` objects, left by a server that was stopped.
async fn populated_data_dir(programs: &Programs, objects: usize) -> Result<tempfile::TempDir> {
    let scratch = tempfile::tempdir()?;
    let target = Target::ours(programs, &scratch.path().join("data"))?;
    let client = Arc::new(target.connect(8).await?);
    fill(&client, objects, OBJECT_BYTES).await?;
    drop(client);
    target.stop()?;
    Ok(scratch)
}

pub(super) async fn startup(programs: &Programs) -> Result<String> {
    let (objects, limit) = STARTED;
    let scratch = populated_data_dir(programs, objects).await?;
    let started = Instant::now();
    let target = Target::ours(programs, &scratch.path().join("data"))?;
    let ready = started.elapsed();
    target.stop()?;
    within_limit(used(ready, limit), format!("ready after {ready:.2?}"))
}

pub(super) async fn first_list(programs: &Programs) -> Result<String> {
    let (objects, limit) = LISTED;
    let scratch = populated_data_dir(programs, objects).await?;
    let started = Instant::now();
    let target = Target::ours(programs, &scratch.path().join("data"))?;
    let ready = started.elapsed();
    let body = target.connect(1).await?.get(0, ALL).await?;
    let listed = started.elapsed();
    let list: List = serde_json::from_slice(&body)?;
    target.stop()?;
    let found = list.items.len();
    ensure!(found == objects, "{found} objects after the restart");
    let figures = format!("ready after {ready:.2?}, listed after {listed:.2?}");
    within_limit(used(listed, limit), figures)
}
