//! Three gateways with one driver each on one PostgreSQL database, killed in turn.

mod events;
mod replica;
mod verdict;
mod watcher;
mod writer;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use postgres_testkit::Server;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::objects::ALL;
use crate::target::Programs;
use events::List;
use replica::Replicas;
use verdict::{Run, Window};
use watcher::Watcher;
use writer::Writer;

/// Interval between two kills.
const KILL_INTERVAL: Duration = Duration::from_secs(5);
/// Default duration in seconds: alone, and among all checks.
pub(super) const DEFAULT_SECONDS: u64 = 300;
pub(super) const DEFAULT_SECONDS_AMONG_ALL: u64 = 30;
/// Writers, and the pause of each between two writes: 200 writes per second in total.
const WRITERS: usize = 20;
const WRITE_INTERVAL: Duration = Duration::from_millis(100);
/// Watchers of each replica.
const WATCHERS: usize = 4;
/// Time for all watchers to reach the last revision.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(30);

/// Latencies are measured during the first quarter, without kills; then replicas are killed.
pub(super) async fn survive(programs: &Programs, seconds: u64) -> Result<String> {
    let server = Server::builder().fsync(true).start().await?;
    let dsn = server.create_database("ark").await?;
    let replicas = Arc::new(Replicas::start(programs, &dsn).await?);
    let begin = List::read(&replicas.client(0).await.get(0, ALL).await?)?.revision()?;
    let clock = Instant::now();
    let stop = CancellationToken::new();
    let (target, reached) = watch::channel(u64::MAX);
    let mut watchers = JoinSet::new();
    for index in 0..WATCHERS * replica::COUNT {
        let watcher = Watcher::new(replicas.clone(), index, begin, reached.clone());
        watchers.spawn(watcher.run());
    }
    let mut writers = JoinSet::new();
    for index in 0..WRITERS {
        let writer = Writer::new(replicas.clone(), index);
        writers.spawn(writer.run(WRITE_INTERVAL, stop.clone()));
    }
    // Excludes cold connections and caches from the latencies.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let quiet = Window::of(Instant::now(), Duration::from_secs((seconds / 4).max(8)));
    tokio::time::sleep_until(quiet.end.into()).await;
    let kills = kill_in_turn(&replicas, clock + Duration::from_secs(seconds)).await?;
    stop.cancel();
    let written = writers.join_all().await;
    let list = List::read(&replicas.client(0).await.get(0, ALL).await?)?;
    target.send_replace(list.revision()?);
    let watched = tokio::time::timeout(CATCH_UP_TIMEOUT, watchers.join_all());
    let watched = watched
        .await
        .context("watchers did not reach the last revision")?;
    let session = server.session("ark").await?;
    let logged = session.text("select count(*) from ark.log").await?;
    let run = Run {
        written: written.into_iter().collect::<Result<_>>()?,
        watched: watched.into_iter().collect::<Result<_>>()?,
        list,
        logged: logged.unwrap_or_default().parse()?,
        quiet,
        kills,
    };
    replicas.stop().await?;
    run.validate()
}

/// Kills the replicas in turn, each when all are ready; returns the number of kills.
async fn kill_in_turn(replicas: &Replicas, end: Instant) -> Result<usize> {
    let mut ticks = tokio::time::interval(KILL_INTERVAL);
    let mut kills = 0;
    while Instant::now() + KILL_INTERVAL < end {
        ticks.tick().await;
        replicas.kill_and_start(kills % replica::COUNT).await?;
        kills += 1;
    }
    tokio::time::sleep_until(end.into()).await;
    Ok(kills)
}
