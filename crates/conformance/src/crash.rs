//! Kills under load, and the guarantees after each restart (R3, R4, R5, V5, W5).
//!
//! Each writer changes its own keys, so that every operation must be applied; watchers resume where
//! they were. All responses are recorded, and at the end checked against the content of the store.

pub mod process;
pub mod soak;

mod history;
mod load;

use std::time::{Duration, Instant};

use async_trait::async_trait;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use self::history::History;
use self::load::{Watcher, Writer};
use crate::check::{Check, Stop, ensure};
use crate::client::Client;
use crate::context::{CaseContext, RunOptions};
use crate::report::Row;
use backend_client::Endpoint;

const WRITERS: usize = 6;
const WATCHERS: usize = 3;

/// Timeout of a start, until the driver serves.
const READY: Duration = Duration::from_secs(60);
/// Timeout of clients to detect the kill, and to read to the end.
const DRAIN: Duration = Duration::from_secs(60);
/// Range of the time of a kill, in milliseconds after the load began.
const KILL_AFTER_MS: std::ops::Range<u64> = 30..300;
/// Every this many rounds, history is compacted shortly before the kill.
const COMPACT_EVERY: usize = 5;

/// A driver process that can be killed.
#[async_trait]
pub trait ProcessUnderTest: Send {
    /// Starts the process, without waiting until it serves.
    async fn start(&mut self) -> Result<(), String>;

    /// Returns a message if the process ended by itself.
    fn ended(&mut self) -> Option<String>;

    /// Kills the process and all its children with SIGKILL, as a power failure would.
    async fn kill(&mut self) -> Result<(), String>;
}

/// Number of kills, and their seed.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Number of kills.
    pub kills: usize,
    /// Seed of the random times.
    pub seed: u64,
}

/// Waits until the driver at `endpoint` responds.
///
/// # Errors
/// If it ends or does not respond in time.
pub async fn ready(
    driver_process: &mut dyn ProcessUnderTest,
    endpoint: &Endpoint,
) -> Result<(), String> {
    let deadline = Instant::now() + READY;
    loop {
        // A channel delays reconnecting after a failure, so each attempt uses a new one.
        let response = timeout(READY, Client::new(endpoint).current()).await;
        if matches!(response, Ok(Ok(_))) {
            return Ok(());
        }
        if let Some(why) = driver_process.ended() {
            return Err(why);
        }
        if Instant::now() > deadline {
            return Err(format!("no response within {} s", READY.as_secs()));
        }
        sleep(Duration::from_millis(5)).await;
    }
}

/// Kills the driver repeatedly under load; it must be stopped before, and is left running.
pub async fn run(
    driver_process: &mut dyn ProcessUnderTest,
    endpoint: &Endpoint,
    plan: Plan,
    mut on_row: impl FnMut(&Row),
) -> Vec<Row> {
    let started = Instant::now();
    let driven = drive(driver_process, endpoint, plan).await;
    let mut rows = Vec::new();
    let mut tell = |row: Row| {
        on_row(&row);
        rows.push(row);
    };
    match driven {
        Ok(history) => {
            tell(Row::new(BACK, started, Ok(())));
            for (id, rule) in history::RULES {
                tell(Row::new(id, Instant::now(), rule(&history)));
            }
        }
        Err(stop) => {
            tell(Row::new(BACK, started, Err(stop)));
            for (id, _) in history::RULES {
                let skipped = Stop::Skipped("the kills were not finished".to_owned());
                tell(Row::new(id, Instant::now(), Err(skipped)));
            }
        }
    }
    rows
}

/// The first rule of crash mode; the others are [`history::RULES`].
const BACK: &str = "C1-comes-back-after-every-kill";

/// Returns the ids and rules of crash mode.
#[must_use]
pub fn rules() -> Vec<(&'static str, &'static str)> {
    let [lost, reused, back, resumed, settled] = history::RULES.map(|(id, _)| id);
    vec![
        (
            BACK,
            "A driver that was killed under load serves again when it is started.",
        ),
        (
            lost,
            "After kill -9 every acknowledged change is there (R5).",
        ),
        (reused, "No revision is given to two changes (R4)."),
        (
            back,
            "The current revision is never below an observed one (R3).",
        ),
        (
            resumed,
            "A watcher that resumes from its last revision sees every change once and in order \
             (V1 to V8).",
        ),
        (
            settled,
            "An operation whose answer the kill swallowed is applied once, and its op_id tells \
             (W5).",
        ),
    ]
}

/// Runs all rounds.
async fn drive(
    driver_process: &mut dyn ProcessUnderTest,
    endpoint: &Endpoint,
    plan: Plan,
) -> Check<History> {
    let failed = |what: &str, why: String| Stop::Failed(format!("{what}: {why}"));
    let mut random = StdRng::seed_from_u64(plan.seed);
    let mut history = History::default();
    let mut clients: Option<Clients> = None;
    let mut kill = 0;
    loop {
        let at = format!("start {kill} of {}", plan.kills);
        driver_process
            .start()
            .await
            .map_err(|why| failed(&at, why))?;
        ready(driver_process, endpoint)
            .await
            .map_err(|why| failed(&at, why))?;
        let mut at_work = match clients.take() {
            Some(clients) => clients,
            None => Clients::new(endpoint, plan.seed).await?,
        };
        at_work.settle(&mut history).await?;
        if kill == plan.kills {
            at_work.finish(&mut history).await?;
            return Ok(history);
        }
        let moment = Duration::from_millis(random.random_range(KILL_AFTER_MS));
        let compact = kill % COMPACT_EVERY == COMPACT_EVERY - 1;
        let working = at_work.work(&mut history, compact.then_some(moment / 2));
        let killing = async {
            sleep(moment).await;
            driver_process.kill().await
        };
        let (worked, killed) = tokio::join!(working, killing);
        killed.map_err(|why| failed(&format!("kill {kill}"), why))?;
        clients = Some(worked?);
        kill += 1;
    }
}

/// The writers and watchers with their state.
struct Clients {
    context: CaseContext,
    writers: Vec<Writer>,
    watchers: Vec<Watcher>,
}

impl Clients {
    async fn new(endpoint: &Endpoint, seed: u64) -> Check<Self> {
        let run_options = RunOptions { seed, long: false };
        let described = Client::new(endpoint).describe().await?;
        let context = CaseContext::new(endpoint, &described, run_options);
        let start = context.client.current().await?.revision;
        Ok(Self {
            writers: (0..WRITERS).map(Writer::new).collect(),
            watchers: (0..WATCHERS).map(|_| Watcher::new(start)).collect(),
            context,
        })
    }

    /// Checks right after a start: the store has all observed revisions, and repeated operations
    /// return their outcome.
    async fn settle(&mut self, history: &mut History) -> Check {
        let client = self.context.connect();
        history.restarted(client.current().await?.revision);
        for writer in &mut self.writers {
            writer.settle(&client, history).await?;
        }
        Ok(())
    }

    /// Runs the load until the driver is gone.
    async fn work(mut self, history: &mut History, compact: Option<Duration>) -> Check<Self> {
        let mut writers = JoinSet::new();
        for writer in self.writers.drain(..) {
            writers.spawn(writer.work(self.context.clone()));
        }
        // Compact up to the slowest watcher's position; unsettled operations have later revisions.
        let oldest = self
            .watchers
            .iter()
            .map(Watcher::up_to_revision)
            .min()
            .unwrap_or(0);
        let mut watchers = JoinSet::new();
        for watcher in self.watchers.drain(..) {
            watchers.spawn(watcher.work(self.context.clone()));
        }
        let compaction = async {
            if let Some(after) = compact {
                sleep(after).await;
                // The kill may come before the response.
                let _ = self.context.connect().compact(oldest).await;
            }
        };
        let all = async { tokio::join!(writers.join_all(), watchers.join_all(), compaction) };
        let timed_out = |_| Stop::Failed("clients hang after the driver was killed".to_owned());
        let (written, watched, ()) = timeout(DRAIN, all).await.map_err(timed_out)?;
        for (writer, results) in written {
            history.written(results);
            self.writers.push(writer);
        }
        for (watcher, results) in watched {
            history.watched(results);
            self.watchers.push(watcher);
        }
        self.writers.sort_by_key(Writer::number);
        Ok(self)
    }

    /// Reads to the end, and records the content of the store.
    async fn finish(self, history: &mut History) -> Check {
        let client = self.context.connect();
        let listed = client.list(self.context.all(0)).await?;
        let head = listed.header.revision;
        for watcher in self.watchers {
            let timed_out = |_| Stop::Failed("a watcher never reaches the end".to_owned());
            let read = watcher.finish(&self.context, head);
            let (watcher, results) = timeout(DRAIN, read).await.map_err(timed_out)?;
            history.watched(results);
            history.finished(watcher);
        }
        ensure!(
            history.changes() > 0,
            "nothing was acknowledged: the load is no load"
        );
        history.stored(listed);
        Ok(())
    }
}
