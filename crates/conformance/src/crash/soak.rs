//! Writers and watchers at every endpoint of one store, which keep running whatever happens to the
//! store behind the drivers.
//!
//! The drivers stay up, so failures of the store must be reported as typed, retryable errors. A
//! missing record, a revision below an observed one, or a watch that must start over is a
//! violation. After an error a client continues at the next endpoint.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use backend_proto::error::from_status;
use backend_proto::v1::BackendError;
use backend_proto::v1::backend_error::Reason;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::evidence::{self, Evidence};
use super::load::{End, Trouble, Watched, Watcher, Writer, Written};
use crate::bench::{Bench, Effort};
use crate::check::{Check, Stop};
use crate::client::Client;
use crate::report::Row;
use backend_client::Endpoint;

/// Timeout of the end: open operations are settled, and watchers read to the last change.
const DRAIN: Duration = Duration::from_secs(60);
/// Pause after an error, and between two reads.
const PAUSE: Duration = Duration::from_millis(20);
/// Acknowledged revisions queued for new watchers; a full queue blocks writers.
const STARTS: usize = 64;

/// Size of the load.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Number of writers, each with its own keys, distributed over the endpoints.
    pub writers: usize,
    /// Number of watchers from the beginning, distributed over the endpoints.
    pub watchers: usize,
    /// Whether to start one more watcher, at every endpoint, from each acknowledged revision.
    pub from_every_revision: bool,
}

/// A running load.
pub struct Storm {
    benches: Vec<Bench>,
    shared: Arc<Shared>,
    tasks: JoinSet<Evidence>,
    watchers: JoinSet<Evidence>,
}

/// Results of a load.
#[derive(Debug)]
pub struct Aftermath {
    /// Results of the rules of crash mode.
    pub rows: Vec<Row>,
    /// Number of acknowledged changes.
    pub acknowledged: u64,
    /// Errors returned to clients, by call and reason.
    pub troubles: BTreeMap<String, u64>,
    /// The longest duration of a write, successful or not.
    pub slowest: Duration,
}

#[derive(Debug)]
struct Shared {
    /// Newest revision observed by any client.
    newest: AtomicI64,
    acknowledged: AtomicU64,
    slowest: AtomicU64,
    troubles: Mutex<BTreeMap<String, u64>>,
    /// Stops writers and readers.
    stop: CancellationToken,
    /// Revision at which watchers stop.
    last: AtomicI64,
}

// === impl Storm ===

impl Storm {
    /// Starts the load.
    ///
    /// # Errors
    /// If the store does not respond before any fault is injected.
    pub async fn start(endpoints: &[Endpoint], seed: u64, size: Size) -> Result<Self, String> {
        let begun = begin(endpoints, seed).await;
        let (benches, start) = begun.map_err(|stop| stop.to_string())?;
        let shared = Arc::new(Shared {
            newest: AtomicI64::new(start),
            acknowledged: AtomicU64::new(0),
            slowest: AtomicU64::new(0),
            troubles: Mutex::default(),
            stop: CancellationToken::new(),
            last: AtomicI64::new(i64::MAX),
        });
        let mut tasks = JoinSet::new();
        let mut watchers = JoinSet::new();
        let (starts, inbox) = mpsc::channel(STARTS);
        for number in 0..size.writers {
            let starts = size.from_every_revision.then(|| starts.clone());
            let at = benches.clone();
            tasks.spawn(write(Writer::new(number), at, shared.clone(), starts));
        }
        for bench in &benches {
            tasks.spawn(read(bench.clone(), shared.clone()));
        }
        for number in 0..size.watchers {
            let watcher = Watcher::new(start);
            watchers.spawn(follow(watcher, number, benches.clone(), shared.clone()));
        }
        drop(starts);
        watchers.spawn(follow_all(inbox, benches.clone(), shared.clone()));
        Ok(Self {
            benches,
            shared,
            tasks,
            watchers,
        })
    }

    /// Number of acknowledged changes so far.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.shared.acknowledged.load(Ordering::Acquire)
    }

    /// Errors returned to clients so far, by call and reason.
    #[must_use]
    pub fn troubles(&self) -> BTreeMap<String, u64> {
        self.shared.troubles.lock().clone()
    }

    /// Waits until `more` further changes are acknowledged.
    ///
    /// # Errors
    /// If that takes longer than `limit`.
    pub async fn progress(&self, more: u64, limit: Duration) -> Result<(), String> {
        let due = self.acknowledged() + more;
        let reached = async {
            while self.acknowledged() < due {
                sleep(Duration::from_millis(2)).await;
            }
        };
        let late = |_| {
            format!(
                "{more} changes took more than {limit:?}: {:?}",
                self.troubles()
            )
        };
        timeout(limit, reached).await.map_err(late)
    }

    /// Stops the writers, settles open operations, lets every watcher read to the last change, and
    /// checks all rules. The store must be available again.
    ///
    /// # Errors
    /// If a client does not finish in time.
    pub async fn finish(mut self) -> Result<Aftermath, String> {
        self.shared.stop.cancel();
        let mut evidence = Evidence::default();
        let ended = async {
            drain(&mut self.tasks, &mut evidence).await?;
            let listed = self.benches[0]
                .connect()
                .list(self.benches[0].all(0))
                .await?;
            self.shared
                .last
                .store(listed.header.revision, Ordering::Release);
            evidence.stored(listed);
            drain(&mut self.watchers, &mut evidence).await
        };
        let ended: Check = ended.await;
        ended.map_err(|stop| format!("{stop}; {:?}", self.troubles()))?;
        let judged = evidence::SENTENCES.iter();
        let rows = judged.map(|(id, judge)| Row::new(id, Instant::now(), judge(&evidence)));
        Ok(Aftermath {
            rows: rows.collect(),
            acknowledged: self.acknowledged(),
            troubles: self.troubles(),
            slowest: Duration::from_micros(self.shared.slowest.load(Ordering::Acquire)),
        })
    }
}

async fn begin(endpoints: &[Endpoint], seed: u64) -> Check<(Vec<Bench>, i64)> {
    let first = endpoints.first();
    let first = first.ok_or_else(|| Stop::Failed("a storm needs an endpoint".to_owned()))?;
    let described = Client::new(first).describe().await?;
    let bench = Bench::new(first, &described, Effort { seed, long: false });
    let start = bench.client.current().await?.revision;
    let benches = endpoints.iter().map(|endpoint| bench.at(endpoint));
    Ok((benches.collect(), start))
}

async fn drain(tasks: &mut JoinSet<Evidence>, evidence: &mut Evidence) -> Check {
    let all = async {
        while let Some(ended) = tasks.join_next().await {
            let ended = ended.map_err(|error| Stop::Failed(format!("a client: {error}")))?;
            evidence.join(ended);
        }
        Ok(())
    };
    let late = |_| Stop::Failed(format!("clients do not end within {} s", DRAIN.as_secs()));
    timeout(DRAIN, all).await.map_err(late)?
}

// === impl Shared ===

impl Shared {
    /// Counts an error; returns a message if clients must not get it during a fault.
    fn meets(&self, call: &str, told: Option<&BackendError>) -> Option<String> {
        let reason = told.map(BackendError::reason);
        let name = reason.map_or("untyped", |reason| reason.as_str_name());
        *self
            .troubles
            .lock()
            .entry(format!("{call}: {name}"))
            .or_default() += 1;
        match (reason, told) {
            (Some(Reason::NotReady | Reason::Overloaded), Some(error)) => {
                let advised = error.retry_after_ms > 0;
                (!advised).then(|| format!("a {call} says nothing of a retry: {}", error.message))
            }
            (_, Some(error)) => Some(format!("a {call} met {name}: {}", error.message)),
            (_, None) => Some(format!("a {call} broke without a typed error")),
        }
    }

    fn tell(&self, revision: i64) {
        self.newest.fetch_max(revision, Ordering::AcqRel);
    }

    async fn pause(&self) {
        // The caller checks for the stop itself.
        let _ = timeout(PAUSE, self.stop.cancelled()).await;
    }
}

/// Writes until stopped, then settles open operations.
async fn write(
    mut writer: Writer,
    benches: Vec<Bench>,
    shared: Arc<Shared>,
    starts: Option<mpsc::Sender<i64>>,
) -> Evidence {
    let mut evidence = Evidence::default();
    let mut at = writer.number();
    let mut client = benches[at % benches.len()].connect();
    while writer.has_open() || !shared.stop.is_cancelled() {
        let bench = &benches[at % benches.len()];
        let before = evidence.changes();
        let begun = Instant::now();
        let done = if writer.has_open() {
            writer.try_settle(&client, &mut evidence).await
        } else {
            step(&mut writer, bench, &client, &mut evidence, starts.as_ref()).await
        };
        let took = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        shared.slowest.fetch_max(took, Ordering::AcqRel);
        shared.tell(evidence.newest());
        let made = evidence.changes() - before;
        shared.acknowledged.fetch_add(made as u64, Ordering::AcqRel);
        if let Err(trouble) = done {
            if let Some(problem) = shared.meets("write", trouble.told().as_ref()) {
                evidence.lost(problem);
            }
            at += 1;
            client = benches[at % benches.len()].connect();
            sleep(PAUSE).await;
        }
    }
    evidence
}

async fn step(
    writer: &mut Writer,
    bench: &Bench,
    client: &Client,
    evidence: &mut Evidence,
    starts: Option<&mpsc::Sender<i64>>,
) -> Result<(), Trouble> {
    let mut told = Written::default();
    let stepped = writer.step(bench, client, &mut told).await;
    if let Some(starts) = starts {
        for change in &told.changes {
            // The receiver is gone when the load ends.
            let _ = starts.send(change.revision).await;
        }
    }
    evidence.written(told);
    stepped
}

/// Reads the current revision, and a record that always exists.
async fn read(bench: Bench, shared: Arc<Shared>) -> Evidence {
    let mut evidence = Evidence::default();
    let client = bench.connect();
    let witness = format!("witness/{}", uuid::Uuid::new_v4().simple());
    let mut written = false;
    while !shared.stop.is_cancelled() {
        let told = shared.newest.load(Ordering::Acquire);
        let outcome = if written {
            look(&bench, &client, &witness, told, &mut evidence).await
        } else {
            // A separate resource, which the watchers' checks do not cover.
            let mut op = bench.create(&witness, "here");
            if let Some(key) = &mut op.key {
                "witnesses".clone_into(&mut key.resource);
            }
            let created = client.write(vec![op]).await;
            created.map(|_| written = true)
        };
        if let Err(status) = outcome
            && let Some(problem) = shared.meets("read", from_status(&status).as_ref())
        {
            evidence.lost(problem);
        }
        shared.pause().await;
    }
    evidence
}

async fn look(
    bench: &Bench,
    client: &Client,
    witness: &str,
    told: i64,
    evidence: &mut Evidence,
) -> Result<(), Status> {
    let request = crate::client::timed(backend_proto::v1::CurrentRevisionRequest {});
    let response = client.raw().current_revision(request).await?.into_inner();
    let head = response.header.map_or(0, |header| header.revision);
    evidence.read(told, head);
    let mut key = bench.key(witness);
    "witnesses".clone_into(&mut key.resource);
    let found = client.get(&key, 0).await?;
    if found.record.is_none() {
        evidence.lost("a record that exists was not found".to_owned());
    }
    Ok(())
}

/// Watches through all faults, up to the last revision.
async fn follow(
    mut watcher: Watcher,
    first: usize,
    benches: Vec<Bench>,
    shared: Arc<Shared>,
) -> Evidence {
    let mut evidence = Evidence::default();
    let last = || shared.last.load(Ordering::Acquire);
    let mut problem = None;
    let mut at = first;
    while problem.is_none() && watcher.through() < last() {
        let bench = &benches[at % benches.len()];
        match watcher.follow(bench, last).await {
            Ok(End::Reached) => {}
            Ok(End::Refused(status) | End::Broke(status)) => {
                problem = shared.meets("watch", from_status(&status).as_ref());
                at += 1;
                sleep(PAUSE).await;
            }
            Err(stop) => problem = Some(stop.to_string()),
        }
    }
    let through = watcher.through();
    evidence.watched(Watched { through, problem });
    evidence.finished(watcher);
    evidence
}

/// Starts a watcher at every endpoint from each received revision.
async fn follow_all(
    mut starts: mpsc::Receiver<i64>,
    benches: Vec<Bench>,
    shared: Arc<Shared>,
) -> Evidence {
    let mut evidence = Evidence::default();
    let mut watchers = JoinSet::new();
    while let Some(start) = starts.recv().await {
        for first in 0..benches.len() {
            let watcher = Watcher::late(start);
            watchers.spawn(follow(watcher, first, benches.clone(), shared.clone()));
        }
    }
    for ended in watchers.join_all().await {
        evidence.join(ended);
    }
    evidence
}
