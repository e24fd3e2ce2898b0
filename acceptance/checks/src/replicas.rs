//! Three gateways with one driver each on one PostgreSQL database, killed in turn.

mod measured;
mod replica;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Error, Result, ensure};
use ark_bench::measure::percentile;
use ark_bench::target::Programs;
use postgres_testkit::Server;
use tokio::time::{Instant, MissedTickBehavior};
use workload::{
    AfterUnknown, Epochs, History, Options, Pace, Routing, Script, Servers, Step, Tolerance,
    WatchLog, Workload,
};

use self::measured::{Window, latencies};
use self::replica::Replicas;
use crate::retry::{used, within_limit};

/// Interval between two kills.
const KILL_INTERVAL: Duration = Duration::from_secs(5);
/// Default duration in seconds: alone, and among all checks.
pub(super) const DEFAULT_SECONDS: u64 = 300;
pub(super) const DEFAULT_SECONDS_AMONG_ALL: u64 = 30;
/// Writers and the objects of each.
const WRITERS: usize = 20;
const OBJECTS: usize = 5;
/// Life of an object after its creation.
const LIFE: &[Step] = &[
    Step::Replace,
    Step::Patch,
    Step::Patch,
    Step::Replace,
    Step::Patch,
    Step::Delete,
];
/// Times of each writer: 200 writes per second in total.
const PACE: Pace = Pace {
    interval: Duration::from_millis(100),
    missed: MissedTickBehavior::Burst,
};
/// Watchers of each replica.
const WATCHERS: usize = 4;
/// Time for all watchers to reach the last revision.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(30);
/// Limit of the 99th percentile from the response of a write on one replica to its event at a
/// watcher of another.
const MAX_DELIVERY_LATENCY: Duration = Duration::from_millis(50);

/// Every writer is the only one of its objects. Each write goes to the next replica. After any
/// response but success it reads the object before it writes again. Latencies are measured during
/// the first quarter, without kills; then replicas are killed.
pub(super) async fn survive(programs: &Programs, seconds: u64) -> Result<String> {
    let server = Server::builder().fsync(true).start().await?;
    let dsn = server.create_database("ark").await?;
    let replicas = Arc::new(Replicas::start(programs, &dsn).await?);
    let clock = Instant::now();
    let servers: Arc<dyn Servers> = Arc::clone(&replicas) as _;
    let load = Workload::start(servers, options()).await?;
    // Excludes cold connections and caches from the latencies.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let quiet = Window::of(Instant::now(), Duration::from_secs((seconds / 4).max(8)));
    tokio::time::sleep_until(quiet.end).await;
    let kills = kill_in_turn(&replicas, clock + Duration::from_secs(seconds)).await?;
    let (verdict, history) = load.finish(&[]).await?;
    let session = server.session("ark").await?;
    // The servers store definitions and namespaces as well.
    let logged = "select count(*) from ark.log join ark.resource on log.resource = resource.id \
                  where resource.resource = 'queries'";
    let logged = session.text(logged).await?;
    replicas.stop().await?;
    verdict.result().map_err(Error::msg)?;
    let logged: usize = logged.unwrap_or_default().parse()?;
    let changes = verdict.changes;
    ensure!(
        changes == logged,
        "watchers received {changes} of {logged} changes"
    );
    figures(&history, changes, quiet, kills)
}

fn options() -> Options {
    let scripts = (0..WRITERS).map(|writer| Script::own("replicas-", writer, OBJECTS, LIFE));
    Options {
        writers: scripts.collect(),
        pace: Some(PACE),
        watchers: WATCHERS * replica::COUNT,
        from_every_revision: false,
        readers: None,
        after_unknown: AfterUnknown::Read,
        tolerance: Tolerance::SERVERS_ARE_REPLACED,
        routing: Routing::NextForEachWrite,
        max_pause: Duration::from_millis(20),
        epochs: Epochs::One,
        drain: CATCH_UP_TIMEOUT,
    }
}

fn figures(history: &History, events: usize, quiet: Window, kills: usize) -> Result<String> {
    let (without, all) = (latencies(history, Some(quiet)), latencies(history, None));
    let (p99, p99_all) = (percentile(&without, 99), percentile(&all, 99));
    let resumed: usize = history.watches.iter().map(WatchLog::resumed).sum();
    let (unknown_outcomes, conflicts) = (history.unknown(), history.conflicts);
    let figures = format!(
        "{events} events × {} watchers, {resumed} resumed, {kills} kills, {unknown_outcomes} writes \
         with unknown outcome, {conflicts} conflicts; without kills {:.0} writes/s, delivery to \
         other replicas p50 {:.1?}, p99 {p99:.1?}; whole run p50 {:.1?}, p99 {p99_all:.1?}",
        history.watches.len(),
        quiet.rate(history),
        percentile(&without, 50),
        percentile(&all, 50),
    );
    within_limit(used(p99, MAX_DELIVERY_LATENCY), figures)
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
    tokio::time::sleep_until(end).await;
    Ok(kills)
}
