//! Kills under load, and the guarantees after each restart (R3, R4, R5, V5, W5).
//!
//! The load and the verdict are those of the `workload` crate; [`grpc`] connects it to the Backend
//! protocol. Writers and watchers continue after each restart where they were.

pub mod grpc;
pub mod soak;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::time::sleep;
use workload::{
    AfterUnknown, Epochs, Guarantee, Key, Options, Routing, RunError, Script, Servers, Step,
    Tolerance, Verdict, Workload,
};

use self::grpc::Drivers;
use crate::check::{Check, Stop};
use crate::client::Client;
use crate::context::{CaseContext, RunOptions};
use crate::process::{ProcessUnderTest, ready};
use crate::report::Row;
use backend_client::Endpoint;

const WRITERS: usize = 6;
const WATCHERS: usize = 3;
/// Keys per writer.
const KEYS: usize = 8;
/// Life of a key: created, updated twice, deleted.
const LIFE: &[Step] = &[Step::Replace, Step::Replace, Step::Delete];

/// Deadline of clients to settle what a kill left open, and to read to the end.
const DRAIN: Duration = Duration::from_secs(60);
/// Range of the time of a kill, in milliseconds after open writes were settled.
const KILL_AFTER_MS: std::ops::Range<u64> = 30..300;
/// Every this many rounds, history is compacted shortly before the kill.
const COMPACT_EVERY: usize = 5;

/// Number of kills, and their seed.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Number of kills.
    pub kills: usize,
    /// Seed of the random times.
    pub seed: u64,
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
        Ok(verdict) => {
            tell(Row::new(BACK, started, Ok(())));
            self::rows(&verdict).into_iter().for_each(tell);
        }
        Err(stop) => {
            tell(Row::new(BACK, started, Err(stop)));
            for (id, _) in RULES {
                let skipped = Stop::Skipped("the kills were not finished".to_owned());
                tell(Row::new(id, Instant::now(), Err(skipped)));
            }
        }
    }
    rows
}

/// The first rule of crash mode; the others are [`RULES`].
const BACK: &str = "C1-serves-after-every-kill";

/// Rules of a verdict.
const RULES: [(&str, Guarantee); 5] = [
    ("C2-nothing-acknowledged-is-lost", Guarantee::NothingLost),
    ("C3-no-revision-is-used-twice", Guarantee::RevisionsUnique),
    (
        "C4-the-revision-never-decreases",
        Guarantee::RevisionsMonotonic,
    ),
    (
        "C5-watchers-resume-without-gap-or-repeat",
        Guarantee::WatchesComplete,
    ),
    (
        "C6-op-ids-settle-unknown-outcomes",
        Guarantee::OutcomesKnown,
    ),
];

/// The rows of a verdict.
fn rows(verdict: &Verdict) -> Vec<Row> {
    let rules = RULES.iter();
    rules
        .map(|(id, guarantee)| Row::of(id, Instant::now(), verdict.check(*guarantee)))
        .collect()
}

/// Returns the ids and rules of crash mode.
#[must_use]
pub fn rules() -> Vec<(&'static str, &'static str)> {
    let [lost, reused, back, resumed, settled] = RULES.map(|(id, _)| id);
    vec![
        (
            BACK,
            "A driver that was killed under load serves again when it is started.",
        ),
        (
            lost,
            "After SIGKILL every acknowledged change is stored (R5).",
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
            "An operation whose response was lost by the kill is applied at most once, and returns \
             its result by its op_id (W5).",
        ),
    ]
}

/// Keys and lives of the writers.
fn scripts(writers: usize) -> Vec<Script> {
    let scripts = (0..writers).map(|writer| Script {
        own: (0..KEYS)
            .map(|key| Key::from(format!("w{writer}/k{key}")))
            .collect(),
        life: LIFE,
        existing: Vec::new(),
        // Every second writer sends two operations per request.
        batch: 1 + writer % 2,
    });
    scripts.collect()
}

fn options() -> Options {
    Options {
        writers: scripts(WRITERS),
        pace: None,
        watchers: WATCHERS,
        from_every_revision: false,
        readers: None,
        after_unknown: AfterUnknown::RepeatById,
        tolerance: Tolerance::SERVERS_ARE_KILLED,
        routing: Routing::Pinned,
        max_pause: Duration::from_millis(20),
        epochs: Epochs::One,
        drain: DRAIN,
    }
}

impl From<RunError> for Stop {
    fn from(error: RunError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Runs all rounds.
async fn drive(
    driver_process: &mut dyn ProcessUnderTest,
    endpoint: &Endpoint,
    plan: Plan,
) -> Check<Verdict> {
    let failed = |what: &str, why: String| Stop::Failed(format!("{what}: {why}"));
    let mut random = StdRng::seed_from_u64(plan.seed);
    let mut running: Option<(Workload, CaseContext)> = None;
    for kill in 0..=plan.kills {
        let at = format!("start {kill} of {}", plan.kills);
        // While the driver is down: every open operation is settled before this revision is
        // compacted, and every later one has a greater revision.
        let oldest = running.as_ref().map(|(it, _)| it.slowest_position());
        driver_process
            .start()
            .await
            .map_err(|why| failed(&at, why))?;
        ready(driver_process, endpoint)
            .await
            .map_err(|why| failed(&at, why))?;
        let (workload, context) = match running.take() {
            Some(running) => running,
            None => begin(endpoint, plan.seed).await?,
        };
        let observed = workload.observed();
        let head = Client::new(endpoint).current().await?;
        workload.ledger().head(observed, &grpc::head(&head));
        workload.release();
        workload.settle(DRAIN).await?;
        if kill == plan.kills {
            let (verdict, _) = workload.finish(&[]).await?;
            return Ok(verdict);
        }
        let moment = Duration::from_millis(random.random_range(KILL_AFTER_MS));
        if let Some(oldest) = oldest.filter(|_| kill % COMPACT_EVERY == COMPACT_EVERY - 1) {
            sleep(moment / 2).await;
            // The kill may come before the response.
            let _ =
                tokio::time::timeout(moment / 2, context.connect().compact(grpc::number(oldest)))
                    .await;
        } else {
            sleep(moment).await;
        }
        workload.hold();
        let killed = driver_process.kill().await;
        killed.map_err(|why| failed(&format!("kill {kill}"), why))?;
        running = Some((workload, context));
    }
    Err(Stop::Failed("a plan without a last start".to_owned()))
}

async fn begin(endpoint: &Endpoint, seed: u64) -> Check<(Workload, CaseContext)> {
    let described = Client::new(endpoint).describe().await?;
    let context = CaseContext::new(endpoint, &described, RunOptions { seed, long: false });
    let drivers: Arc<dyn Servers> = Arc::new(Drivers::new(vec![context.clone()]));
    let workload = Workload::start(drivers, options()).await?;
    Ok((workload, context))
}
