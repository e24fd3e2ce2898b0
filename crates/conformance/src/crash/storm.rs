//! Writers and watchers at every endpoint of one store, which go on whatever happens to the store
//! behind the drivers.
//!
//! The drivers live, so that trouble must be told as such: by a typed error that says to come again,
//! never by a missing record, a revision below one that was told, or a watch that must start anew.
//! Whoever meets trouble goes on at the next endpoint.

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

/// How long the end may take: what is open is settled, and watchers read to the last change.
const DRAIN: Duration = Duration::from_secs(60);
/// Pause after trouble, and between two reads.
const PAUSE: Duration = Duration::from_millis(20);
/// Acknowledged revisions that may wait for watchers to be started at them; writers wait then.
const STARTS: usize = 64;

/// How much there is of everything.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Writers, each with keys of its own, dealt out to the endpoints.
    pub writers: usize,
    /// Watchers from the beginning, dealt out to the endpoints.
    pub watchers: usize,
    /// A watcher more, at every endpoint, from every revision that a writer was told.
    pub from_every_revision: bool,
}

/// A load under way.
pub struct Storm {
    benches: Vec<Bench>,
    shared: Arc<Shared>,
    tasks: JoinSet<Evidence>,
    watchers: JoinSet<Evidence>,
}

/// What a load came to.
#[derive(Debug)]
pub struct Aftermath {
    /// The sentences of crash mode about what was told.
    pub rows: Vec<Row>,
    /// Changes that were acknowledged.
    pub acknowledged: u64,
    /// Errors that clients met, by call and reason.
    pub troubles: BTreeMap<String, u64>,
    /// The longest that a write took, with its error if it failed.
    pub slowest: Duration,
}

#[derive(Debug)]
struct Shared {
    /// Newest revision that anybody was told.
    newest: AtomicI64,
    acknowledged: AtomicU64,
    slowest: AtomicU64,
    troubles: Mutex<BTreeMap<String, u64>>,
    /// Writers and readers stop.
    stop: CancellationToken,
    /// Watchers stop here.
    last: AtomicI64,
}

// === impl Storm ===

impl Storm {
    /// Starts everything.
    ///
    /// # Errors
    /// A sentence, if the store does not answer before there is any trouble.
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

    /// Changes that were acknowledged so far.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.shared.acknowledged.load(Ordering::Acquire)
    }

    /// Errors that clients met so far, by call and reason.
    #[must_use]
    pub fn troubles(&self) -> BTreeMap<String, u64> {
        self.shared.troubles.lock().clone()
    }

    /// Waits until so many more changes are acknowledged.
    ///
    /// # Errors
    /// A sentence, if that takes longer than `limit`.
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

    /// Stops the writers, settles what is open, lets every watcher read to the last change, and
    /// judges all that was told. The store must be well again.
    ///
    /// # Errors
    /// A sentence, if something does not come to its end.
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
    /// Counts trouble; a sentence if it is none that a client may meet while the store is in trouble.
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
        // Told to stop or not, the caller looks next.
        let _ = timeout(PAUSE, self.stop.cancelled()).await;
    }
}

/// Writes until told to stop, and settles what is open then.
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
            // Nobody takes them any more when the load ends.
            let _ = starts.send(change.revision).await;
        }
    }
    evidence.written(told);
    stepped
}

/// Asks for the current revision, and for a record that is always there.
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
            // In a range of its own: it is no part of what watchers are held against.
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

/// Follows the changes through all trouble, up to the last.
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

/// Starts a watcher at every endpoint from each revision that it is told.
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
