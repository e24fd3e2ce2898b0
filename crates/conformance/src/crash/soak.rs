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

use super::history::{self, History};
use super::load::{End, Watched, Watcher, WriteError, Writer, Written};
use crate::check::{Check, Stop};
use crate::client::Client;
use crate::context::{CaseContext, RunOptions};
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
pub struct Soak {
    contexts: Vec<CaseContext>,
    shared: Arc<Shared>,
    tasks: JoinSet<History>,
    watchers: JoinSet<History>,
}

/// Results of a load.
#[derive(Debug)]
pub struct SoakReport {
    /// Results of the rules of crash mode.
    pub rows: Vec<Row>,
    /// Number of acknowledged changes.
    pub acknowledged: u64,
    /// Errors returned to clients, by call and reason.
    pub errors: BTreeMap<String, u64>,
    /// The longest duration of a write, successful or not.
    pub slowest: Duration,
}

#[derive(Debug)]
struct Shared {
    /// Newest revision observed by any client.
    newest: AtomicI64,
    acknowledged: AtomicU64,
    slowest: AtomicU64,
    errors: Mutex<BTreeMap<String, u64>>,
    /// Stops writers and readers.
    stop: CancellationToken,
    /// Revision at which watchers stop.
    last: AtomicI64,
}

// === impl Soak ===

impl Soak {
    /// Starts the load.
    ///
    /// # Errors
    /// If the store does not respond before any fault is injected.
    pub async fn start(endpoints: &[Endpoint], seed: u64, size: Size) -> Result<Self, String> {
        let started = begin(endpoints, seed).await;
        let (contexts, start) = started.map_err(|stop| stop.to_string())?;
        let shared = Arc::new(Shared {
            newest: AtomicI64::new(start),
            acknowledged: AtomicU64::new(0),
            slowest: AtomicU64::new(0),
            errors: Mutex::default(),
            stop: CancellationToken::new(),
            last: AtomicI64::new(i64::MAX),
        });
        let mut tasks = JoinSet::new();
        let mut watchers = JoinSet::new();
        let (starts, inbox) = mpsc::channel(STARTS);
        for number in 0..size.writers {
            let starts = size.from_every_revision.then(|| starts.clone());
            let at = contexts.clone();
            tasks.spawn(write(Writer::new(number), at, shared.clone(), starts));
        }
        for context in &contexts {
            tasks.spawn(read(context.clone(), shared.clone()));
        }
        for number in 0..size.watchers {
            let watcher = Watcher::new(start);
            watchers.spawn(follow(watcher, number, contexts.clone(), shared.clone()));
        }
        drop(starts);
        watchers.spawn(follow_all(inbox, contexts.clone(), shared.clone()));
        Ok(Self {
            contexts,
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
    pub fn errors(&self) -> BTreeMap<String, u64> {
        self.shared.errors.lock().clone()
    }

    /// Waits until `more` further changes are acknowledged.
    ///
    /// # Errors
    /// If that takes longer than `limit`.
    pub async fn progress(&self, more: u64, limit: Duration) -> Result<(), String> {
        let expected = self.acknowledged() + more;
        let reached = async {
            while self.acknowledged() < expected {
                sleep(Duration::from_millis(2)).await;
            }
        };
        let timed_out = |_| {
            format!(
                "{more} changes took more than {limit:?}: {:?}",
                self.errors()
            )
        };
        timeout(limit, reached).await.map_err(timed_out)
    }

    /// Stops the writers, settles open operations, lets every watcher read to the last change, and
    /// checks all rules. The store must be available again.
    ///
    /// # Errors
    /// If a client does not finish in time.
    pub async fn finish(mut self) -> Result<SoakReport, String> {
        self.shared.stop.cancel();
        let mut history = History::default();
        let ended = async {
            drain(&mut self.tasks, &mut history).await?;
            let listed = self.contexts[0]
                .connect()
                .list(self.contexts[0].all(0))
                .await?;
            self.shared
                .last
                .store(listed.header.revision, Ordering::Release);
            history.stored(listed);
            drain(&mut self.watchers, &mut history).await
        };
        let ended: Check = ended.await;
        ended.map_err(|stop| format!("{stop}; {:?}", self.errors()))?;
        let rules = history::RULES.iter();
        let rows = rules.map(|(id, rule)| Row::new(id, Instant::now(), rule(&history)));
        Ok(SoakReport {
            rows: rows.collect(),
            acknowledged: self.acknowledged(),
            errors: self.errors(),
            slowest: Duration::from_micros(self.shared.slowest.load(Ordering::Acquire)),
        })
    }
}

async fn begin(endpoints: &[Endpoint], seed: u64) -> Check<(Vec<CaseContext>, i64)> {
    let first = endpoints.first();
    let first = first.ok_or_else(|| Stop::Failed("a soak needs an endpoint".to_owned()))?;
    let described = Client::new(first).describe().await?;
    let context = CaseContext::new(first, &described, RunOptions { seed, long: false });
    let start = context.client.current().await?.revision;
    let contexts = endpoints.iter().map(|endpoint| context.at(endpoint));
    Ok((contexts.collect(), start))
}

async fn drain(tasks: &mut JoinSet<History>, history: &mut History) -> Check {
    let all = async {
        while let Some(ended) = tasks.join_next().await {
            let ended = ended.map_err(|error| Stop::Failed(format!("a client: {error}")))?;
            history.join(ended);
        }
        Ok(())
    };
    let timed_out = |_| Stop::Failed(format!("clients do not end within {} s", DRAIN.as_secs()));
    timeout(DRAIN, all).await.map_err(timed_out)?
}

// === impl Shared ===

impl Shared {
    /// Counts an error; returns a message if clients must not get it during a fault.
    fn meets(&self, call: &str, known: Option<&BackendError>) -> Option<String> {
        let reason = known.map(BackendError::reason);
        let name = reason.map_or("untyped", |reason| reason.as_str_name());
        *self
            .errors
            .lock()
            .entry(format!("{call}: {name}"))
            .or_default() += 1;
        match (reason, known) {
            (Some(Reason::NotReady | Reason::Overloaded), Some(error)) => {
                let advised = error.retry_after_ms > 0;
                (!advised)
                    .then(|| format!("a {call} error without a retry hint: {}", error.message))
            }
            (_, Some(error)) => Some(format!("a {call} met {name}: {}", error.message)),
            (_, None) => Some(format!("a {call} broke without a typed error")),
        }
    }

    fn observe(&self, revision: i64) {
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
    contexts: Vec<CaseContext>,
    shared: Arc<Shared>,
    starts: Option<mpsc::Sender<i64>>,
) -> History {
    let mut history = History::default();
    let mut at = writer.number();
    let mut client = contexts[at % contexts.len()].connect();
    while writer.has_open() || !shared.stop.is_cancelled() {
        let context = &contexts[at % contexts.len()];
        let before = history.changes();
        let started = Instant::now();
        let done = if writer.has_open() {
            writer.try_settle(&client, &mut history).await
        } else {
            step(&mut writer, context, &client, &mut history, starts.as_ref()).await
        };
        let took = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        shared.slowest.fetch_max(took, Ordering::AcqRel);
        shared.observe(history.newest());
        let made = history.changes() - before;
        shared.acknowledged.fetch_add(made as u64, Ordering::AcqRel);
        if let Err(failure) = done {
            if let Some(problem) = shared.meets("write", failure.typed().as_ref()) {
                history.lost(problem);
            }
            at += 1;
            client = contexts[at % contexts.len()].connect();
            sleep(PAUSE).await;
        }
    }
    history
}

async fn step(
    writer: &mut Writer,
    context: &CaseContext,
    client: &Client,
    history: &mut History,
    starts: Option<&mpsc::Sender<i64>>,
) -> Result<(), WriteError> {
    let mut known = Written::default();
    let stepped = writer.step(context, client, &mut known).await;
    if let Some(starts) = starts {
        for change in &known.changes {
            // The receiver is gone when the load ends.
            let _ = starts.send(change.revision).await;
        }
    }
    history.written(known);
    stepped
}

/// Reads the current revision, and a record that always exists.
async fn read(context: CaseContext, shared: Arc<Shared>) -> History {
    let mut history = History::default();
    let client = context.connect();
    let witness = format!("witness/{}", uuid::Uuid::new_v4().simple());
    let mut written = false;
    while !shared.stop.is_cancelled() {
        let known = shared.newest.load(Ordering::Acquire);
        let outcome = if written {
            look(&context, &client, &witness, known, &mut history).await
        } else {
            // A separate resource, which the watchers' checks do not cover.
            let mut op = context.create(&witness, "here");
            if let Some(key) = &mut op.key {
                "witnesses".clone_into(&mut key.resource);
            }
            let created = client.write(vec![op]).await;
            created.map(|_| written = true)
        };
        if let Err(status) = outcome
            && let Some(problem) = shared.meets("read", from_status(&status).as_ref())
        {
            history.lost(problem);
        }
        shared.pause().await;
    }
    history
}

async fn look(
    context: &CaseContext,
    client: &Client,
    witness: &str,
    known: i64,
    history: &mut History,
) -> Result<(), Status> {
    let request = crate::client::timed(backend_proto::v1::CurrentRevisionRequest {});
    let response = client.raw().current_revision(request).await?.into_inner();
    let head = response.header.map_or(0, |header| header.revision);
    history.read(known, head);
    let mut key = context.key(witness);
    "witnesses".clone_into(&mut key.resource);
    let found = client.get(&key, 0).await?;
    if found.record.is_none() {
        history.lost("a record that exists was not found".to_owned());
    }
    Ok(())
}

/// Watches through all faults, up to the last revision.
async fn follow(
    mut watcher: Watcher,
    first: usize,
    contexts: Vec<CaseContext>,
    shared: Arc<Shared>,
) -> History {
    let mut history = History::default();
    let last = || shared.last.load(Ordering::Acquire);
    let mut problem = None;
    let mut at = first;
    while problem.is_none() && watcher.up_to_revision() < last() {
        let context = &contexts[at % contexts.len()];
        match watcher.follow(context, last).await {
            Ok(End::Reached) => {}
            Ok(End::Refused(status) | End::Broke(status)) => {
                problem = shared.meets("watch", from_status(&status).as_ref());
                at += 1;
                sleep(PAUSE).await;
            }
            Err(stop) => problem = Some(stop.to_string()),
        }
    }
    let up_to_revision = watcher.up_to_revision();
    history.watched(Watched {
        up_to_revision,
        problem,
    });
    history.finished(watcher);
    history
}

/// Starts a watcher at every endpoint from each received revision.
async fn follow_all(
    mut starts: mpsc::Receiver<i64>,
    contexts: Vec<CaseContext>,
    shared: Arc<Shared>,
) -> History {
    let mut history = History::default();
    let mut watchers = JoinSet::new();
    while let Some(start) = starts.recv().await {
        for first in 0..contexts.len() {
            let watcher = Watcher::starting_at(start);
            watchers.spawn(follow(watcher, first, contexts.clone(), shared.clone()));
        }
    }
    for ended in watchers.join_all().await {
        history.join(ended);
    }
    history
}
