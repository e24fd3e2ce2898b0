//! Moves a store from SQLite to PostgreSQL and back while clients write and watch.
//!
//! The steps are those of `docs/moving.md`, with real processes. Writers repeat a write until its
//! outcome is known. Every acknowledged write must reach an informer, which lists once and then only
//! watches, exactly once and in order, and must be in the final list.

mod gateways;
mod peak;
mod rig;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Error, Result, ensure};
use ark_bench::client::Client;
use ark_bench::objects::{ALL, Factory, collection, name};
use ark_bench::target::Programs;
use http::Method;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, sleep, timeout};
use workload::{
    AfterUnknown, Epochs, Options, Pace, Routing, Script, Servers, Step, Tolerance, Workload,
};

use self::gateways::{Gateways, rejections, retry_after};
use self::peak::Peak;
use self::rig::{Driver, Process, Rig, Run};
use crate::NAMESPACE;
use crate::retry::{used, within_limit};

/// Size of an object as served, in bytes.
const OBJECT_BYTES: usize = 2_600;
/// Default of the writes offered per second.
pub(super) const RATE: usize = 100;
/// Writes per second that must be acknowledged, pauses included.
const MIN_RATE: f64 = 50.0;
/// Limit of both moves together: the time that `arkctl copy` runs.
const MAX_DURATION: Duration = Duration::from_secs(60);
/// Limit of the time without writes in one move. The new gateway reads everything while `arkctl`
/// compares both stores, and all of them share the processors with the clients.
const MAX_PAUSE: Duration = Duration::from_secs(20);
/// Limit of SQLite's write-ahead log while records arrive in random order of revision: the log of
/// one call, which writes several pages for each record.
const MAX_WAL_BYTES: u64 = 192 << 20;
/// Time that clients continue between the moves and after them.
const PAUSE_BETWEEN_MOVES: Duration = Duration::from_secs(3);
/// Timeout of every other wait.
const WAIT_TIMEOUT: Duration = Duration::from_secs(60);
/// Time within which every open write must be settled, longer than any move.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(120);
/// Number of writers. Each is the only one of its objects, so that it knows their expected state.
const WRITERS: usize = 8;
/// Objects that a writer creates, replaces and deletes.
const OWN: usize = 50;
/// Life of such an object after its creation.
const LIFE: &[Step] = &[Step::Replace, Step::Delete];

/// Size and write rate of the moved store.
pub(super) struct Load {
    pub(super) objects: usize,
    /// Writes per second.
    pub(super) rate: usize,
}

/// Figures of one move.
struct Moved {
    /// Total time of the two runs of `arkctl copy`.
    copies: Duration,
    /// From the fence to the first write that the target accepted.
    rejected: Duration,
}

/// The clients and their servers.
struct Environment<'a> {
    rig: Rig<'a>,
    gateways: Arc<Gateways>,
    load: Workload,
}

/// Moves `load.objects` objects there and back.
pub(super) async fn moves(programs: &Programs, load: &Load) -> Result<String> {
    let scratch = tempfile::tempdir()?;
    let result = there_and_back(programs, scratch.path().to_owned(), load).await;
    if result.is_err() {
        println!(
            "  logs and databases remain in {}",
            scratch.keep().display()
        );
    }
    result
}

async fn there_and_back(programs: &Programs, folder: PathBuf, load: &Load) -> Result<String> {
    let Load { objects, rate } = *load;
    let rig = Rig::new(programs, &folder);
    let begun = Instant::now();
    let first = rig.sqlite("one").await?;
    let (gateway, kubeconfig) = rig.first_gateway(&first.address)?;
    let gateways = Gateways::new(kubeconfig)?;
    fill(&gateways, objects).await?;
    println!("  {objects} objects after {:.1?}", begun.elapsed());

    let servers: Arc<dyn Servers> = Arc::clone(&gateways) as _;
    let writing = Instant::now();
    let mut environment = Environment {
        rig,
        gateways,
        load: Workload::start(servers, options(objects, rate)).await?,
    };
    sleep(PAUSE_BETWEEN_MOVES).await;

    let second = environment.rig.postgres("two").await?;
    let (gateway, there) = environment
        .move_store(first, gateway, &second, "gateway-2")
        .await?;
    let third = environment.rig.sqlite("three").await?;
    let (gateway, back) = environment
        .move_store(second, gateway, &third, "gateway-3")
        .await?;

    environment.load.stop_writers().await?;
    let writes = environment.load.acknowledged();
    let rate = writes as f64 / writing.elapsed().as_secs_f64();
    let (verdict, history) = environment.load.finish(&[]).await?;
    drop(gateway);
    third.process.stop()?;
    verdict.result().map_err(Error::msg)?;
    let watches = history.watches.first().map_or(0, |log| log.watches);
    let copies = there.copies + back.copies;
    let figures = format!(
        "copies {:.1} s; writes rejected for {:.1} s and {:.1} s; {objects} objects, {writes} writes \
         at {rate:.0}/s, each delivered once to an informer in {watches} watches",
        copies.as_secs_f64(),
        there.rejected.as_secs_f64(),
        back.rejected.as_secs_f64(),
    );
    let paused = used(there.rejected.max(back.rejected), MAX_PAUSE);
    let share = used(copies, MAX_DURATION).max(paused).max(MIN_RATE / rate);
    within_limit(share, figures)
}

/// One informer, and writers that patch the first objects and have own ones.
fn options(objects: usize, rate: usize) -> Options {
    let scripts = (0..WRITERS).map(|writer| {
        let existing = (writer..objects).step_by(WRITERS);
        Script {
            existing: existing
                .map(|number| name("query", number).into())
                .collect(),
            ..Script::own("live-", writer, OWN, LIFE)
        }
    });
    Options {
        writers: scripts.collect(),
        pace: Some(Pace {
            interval: Duration::from_secs_f64(WRITERS as f64 / rate as f64),
            missed: MissedTickBehavior::Delay,
        }),
        watchers: 1,
        from_every_revision: false,
        readers: None,
        after_unknown: AfterUnknown::RepeatAndRead,
        tolerance: Tolerance::SERVERS_ARE_REPLACED,
        routing: Routing::NextAfterError,
        max_pause: Duration::from_secs(5),
        epochs: Epochs::One,
        drain: DRAIN_TIMEOUT,
    }
}

/// Creates the objects in random order of name, as in a store after long use, so that the order of
/// names differs from that of revisions.
async fn fill(gateways: &Gateways, objects: usize) -> Result<()> {
    let client = gateways.connect(gateways.first(), 8).await?;
    let client = Arc::new(client);
    let factory = Factory::calibrate(&client, NAMESPACE, OBJECT_BYTES).await?;
    let step = stride(objects);
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers = JoinSet::new();
    for lane in 0..128 {
        let (client, factory, next) = (Arc::clone(&client), factory.clone(), Arc::clone(&next));
        workers.spawn(async move {
            loop {
                let turn = next.fetch_add(1, Ordering::Relaxed);
                if turn >= objects {
                    return Ok::<_, anyhow::Error>(());
                }
                let number = turn * step % objects;
                let body = factory.query(&name("query", number), number);
                let path = collection(NAMESPACE);
                let kind = "application/json";
                client.write(lane, Method::POST, &path, kind, body).await?;
            }
        });
    }
    while let Some(done) = workers.join_next().await {
        done??;
    }
    Ok(())
}

/// A step that is coprime to `places`, so that a cyclic walk visits every place.
fn stride(places: usize) -> usize {
    const fn gcd(a: usize, b: usize) -> usize {
        if b == 0 { a } else { gcd(b, a % b) }
    }
    let mut step = places * 618 / 1000;
    while gcd(places, step) != 1 {
        step += 1;
    }
    step
}

impl Environment<'_> {
    /// Moves a store and its clients, then stops the source's servers.
    async fn move_store(
        &self,
        source: Driver,
        gateway: Process,
        target: &Driver,
        name: &str,
    ) -> Result<(Process, Moved)> {
        let begun = Instant::now();
        let wal = target.wal.clone().map(Peak::watch);
        let (from, to) = (&source.address[..], &target.address[..]);
        let copy = ["copy", "--from", from, "--to", to, "--live"];
        self.rig
            .arkctl(&[&copy[..], &["--dry-run"]].concat())
            .await?;
        let near = [&copy[..], &["--no-cut-over"]].concat();
        let near = self.rig.arkctl(&near).await?;
        let (next, authority) = self.rig.gateway(name, to).await?;
        let response = self.check_not_ready(&authority).await?;
        self.gateways.add(authority.clone())?;
        let over = self.rig.arkctl(&copy).await?;
        let (fenced, line) = over.line("the source is fenced at revision")?;
        let cut = number(line)?;
        let accepted = || self.load.newest_acknowledged().get() > cut;
        let what = format!("no write after revision {cut}");
        self.load.until(&what, WAIT_TIMEOUT, accepted).await?;
        let rejected = fenced.elapsed();
        self.ready(&authority).await?;
        let at_cut = cut.to_string();
        let verify = [
            "verify",
            "--at",
            to,
            "--against",
            from,
            "--revision",
            &at_cut,
        ];
        let verified = self.rig.arkctl(&verify).await?;
        let peak = match wal {
            Some(wal) => Some(wal.stop().await?),
            None => None,
        };
        gateway.stop()?;
        self.gateways.remove_first();
        source.process.stop()?;
        sleep(PAUSE_BETWEEN_MOVES).await;
        let text = self.format_figures(&near, &over, &verified, begun, rejected, peak)?;
        println!("  moved to {name} (response before readiness: {response}): {text}");
        let log = peak.unwrap_or(0);
        ensure!(
            log <= MAX_WAL_BYTES,
            "the write-ahead log grew to {log} bytes, limit {MAX_WAL_BYTES}"
        );
        let copies = near.took + over.took;
        Ok((next, Moved { copies, rejected }))
    }

    /// The figures of a move.
    fn format_figures(
        &self,
        near: &Run,
        over: &Run,
        verified: &Run,
        begun: Instant,
        rejected: Duration,
        peak: Option<u64>,
    ) -> Result<String> {
        let (_, copied) = near.last("copied ")?;
        let (fenced, _) = over.line("the source is fenced at revision")?;
        let (_, has) = over.line("the target has everything")?;
        let (count, texts) = rejections(&self.load, begun, fenced);
        let wal = peak.map_or(String::new(), |peak| {
            format!("; WAL peak {} MiB", peak >> 20)
        });
        if let Some(peak) = peak {
            ensure!(
                peak <= MAX_WAL_BYTES,
                "the write-ahead log grew to {peak} bytes"
            );
        }
        Ok(format!(
            "near {:.1} s ({copied}), cut over {:.1} s, compared again {:.1} s; {has}; writes \
             rejected for {:.2} s; {count} rejections: {texts}{wal}",
            near.took.as_secs_f64(),
            over.took.as_secs_f64(),
            verified.took.as_secs_f64(),
            rejected.as_secs_f64(),
        ))
    }

    /// Checks that a gateway whose store is being filled serves nothing; returns its message.
    async fn check_not_ready(&self, authority: &str) -> Result<String> {
        let client = self.connect(authority).await?;
        let ready = client.get(0, "/readyz").await;
        ensure!(
            ready.is_err(),
            "a gateway is ready while its store is being filled"
        );
        let response = client
            .open(0, Method::GET, ALL, &[], bytes::Bytes::new())
            .await?;
        let status = response.status();
        let after = retry_after(&response);
        ensure!(!status.is_success(), "a gateway serves an unfinished copy");
        Ok(format!("{status} to a list, Retry-After {after:?}"))
    }

    /// Waits until a gateway is ready.
    async fn ready(&self, authority: &str) -> Result<()> {
        let client = self.connect(authority).await?;
        let ready = async {
            while client.get(0, "/readyz").await.is_err() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(WAIT_TIMEOUT, ready)
            .await
            .context("timeout while waiting for a gateway to be ready")
    }

    async fn connect(&self, authority: &str) -> Result<Client> {
        let begun = Instant::now();
        loop {
            match self.gateways.connect(authority.to_owned(), 1).await {
                Err(error) if begun.elapsed() > WAIT_TIMEOUT => return Err(error),
                Err(_) => sleep(Duration::from_millis(20)).await,
                Ok(client) => return Ok(client),
            }
        }
    }
}

/// The last number of a line.
fn number(line: &str) -> Result<u64> {
    let digits = line.rsplit(' ').next().context("no number")?;
    digits.parse().with_context(|| line.to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{number, stride};

    #[test]
    fn stride_visits_every_place() {
        for places in [10, 1_000, 20_000, 100_000] {
            let step = stride(places);
            let all: BTreeSet<usize> = (0..places).map(|turn| turn * step % places).collect();
            assert_eq!(all.len(), places);
        }
    }

    #[test]
    fn number_is_the_last_word_of_the_line() {
        assert_eq!(number("the source is fenced at revision 7").ok(), Some(7));
        assert_eq!(number("at 7 sharp").ok(), None);
    }
}
