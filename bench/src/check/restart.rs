//! Restart: from the start of the program to a full list.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::lists::fill;
use crate::objects::ALL;
use crate::target::{Programs, Target};

const OBJECTS: usize = 50_000;
const OBJECT_BYTES: usize = 2_600;
const LIMIT: Duration = Duration::from_secs(2);

#[derive(Deserialize)]
struct List {
    items: Vec<IgnoredAny>,
}

pub(super) async fn first_list(programs: &Programs) -> Result<String> {
    let scratch = tempfile::tempdir()?;
    let data = scratch.path().join("data");
    let target = Target::ours(programs, &data)?;
    let client = Arc::new(target.connect(8).await?);
    fill(&client, OBJECTS, OBJECT_BYTES).await?;
    drop(client);
    target.stop()?;
    let started = Instant::now();
    let target = Target::ours(programs, &data)?;
    let ready = started.elapsed();
    let body = target.connect(1).await?.get(0, ALL).await?;
    let listed = started.elapsed();
    let list: List = serde_json::from_slice(&body)?;
    target.stop()?;
    ensure!(
        list.items.len() == OBJECTS,
        "{} objects after the restart",
        list.items.len()
    );
    let figures = format!("ready after {ready:.2?}, listed after {listed:.2?}");
    ensure!(listed <= LIMIT, "{figures}");
    Ok(figures)
}
