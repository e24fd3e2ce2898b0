//! Sidecars on one database, with writers and watchers at each, and the final assertions.

use std::sync::Arc;
use std::time::Duration;

use backend_proto::error::from_status;
use backend_proto::v1::Header;
use backend_proto::v1::backend_error::Reason;
use backend_proto::v1::op_result::Verdict;
use conformance::crash::grpc::{self, Drivers, Session};
use conformance::{CaseContext, Client, RunOptions};
use tokio::time::{MissedTickBehavior, sleep};
use tonic::Status;
use workload::{
    AfterUnknown, Epochs, Ledger, Options, Pace, Revision, Routing, Script, Step, Tolerance,
    Workload,
};

use crate::sidecar::{DEADLINE, Sidecar, eventually};

/// Number of writes that counts as progress.
const PROGRESS_WRITES: usize = 60;

/// Interval at which each sidecar's header is read.
const HEADER_INTERVAL: Duration = Duration::from_millis(3);

/// Writers of both sidecars, and keys of each.
const WRITERS: usize = 6;
const KEYS: usize = 6;
/// Life of a key after its creation.
const LIFE: &[Step] = &[Step::Replace, Step::Replace, Step::Replace, Step::Delete];
/// Pause between two writes of a writer.
const PACE: Pace = Pace {
    interval: Duration::from_millis(5),
    missed: MissedTickBehavior::Delay,
};

const RUN_OPTIONS: RunOptions = RunOptions {
    seed: 1,
    long: false,
};

/// A store under load.
pub(crate) struct Scene {
    pub(crate) observed: Observed,
    pub(crate) contexts: Vec<CaseContext>,
    sidecars: Vec<Sidecar>,
    load: Workload,
}

/// Revisions that any client has observed.
#[derive(Clone)]
pub(crate) struct Observed(Ledger);

/// Results of the watchers.
pub(crate) struct Ends {
    /// Reasons why watches ended, per watcher.
    pub(crate) reasons: Vec<Vec<String>>,
    /// Number of lists per watcher.
    pub(crate) lists: Vec<usize>,
}

// === impl Observed ===

impl Observed {
    /// All observed epochs.
    pub(crate) fn epochs(&self) -> Vec<i64> {
        let epochs = |history: &mut workload::History| history.epochs.clone();
        self.0.with(epochs).into_iter().map(grpc::number).collect()
    }

    /// Newest observed revision.
    pub(crate) fn newest(&self) -> i64 {
        grpc::number(self.0.newest())
    }

    /// Number of acknowledged writes in an epoch.
    fn writes_in(&self, epoch: i64) -> usize {
        self.0
            .with(|history| history.writes_in(grpc::revision(epoch)))
    }

    fn header(&self, header: &Header) {
        self.0.head(Revision::default(), &grpc::head(header));
    }
}

// === impl Scene ===

impl Scene {
    /// Starts two sidecars under load, and waits for some writes.
    pub(crate) async fn start(dsn: &str) -> Self {
        let (first, second) = tokio::join!(Sidecar::start(dsn), Sidecar::start(dsn));
        let sidecars = vec![first, second];
        let contexts = contexts(&sidecars).await;
        let drivers = Arc::new(Drivers::new(contexts.clone()));
        let load = Workload::start(drivers, options()).await;
        let load = load.expect("a store that answers");
        let scene = Self {
            observed: Observed(load.ledger().clone()),
            contexts,
            sidecars,
            load,
        };
        scene.writes().await;
        scene
    }

    /// Replaces the sidecars by new ones without observed state; their clients continue.
    pub(crate) async fn restart(&mut self, dsn: &str, between: impl AsyncFnOnce()) {
        let mut folders = Vec::new();
        for sidecar in self.sidecars.drain(..) {
            folders.push(sidecar.stop().await);
        }
        between().await;
        let starting = folders.into_iter().map(|it| Sidecar::start_in(it, dsn));
        self.sidecars = futures_util::future::join_all(starting).await;
    }

    /// Waits for further acknowledged writes in the newest epoch.
    pub(crate) async fn writes(&self) {
        let epoch = self.header(0).await.epoch;
        let before = self.observed.writes_in(epoch);
        eventually("writes go on", async || {
            self.observed.writes_in(epoch) >= before + PROGRESS_WRITES
        })
        .await;
    }

    /// Returns the header at a sidecar, with retries.
    pub(crate) async fn header(&self, place: usize) -> Header {
        let begin = std::time::Instant::now();
        loop {
            match self.contexts[place].client.current().await {
                Ok(header) => {
                    self.observed.header(&header);
                    return header;
                }
                Err(error) => assert!(begin.elapsed() < DEADLINE, "{error}"),
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until all sidecars serve one later epoch, and accept writes in it.
    pub(crate) async fn epoch_after(&self, before: i64) -> Header {
        eventually("all sidecars are in a later epoch", async || {
            let first = self.header(0).await.epoch;
            let second = self.header(1).await.epoch;
            first > before && first == second
        })
        .await;
        self.writes().await;
        self.header(0).await
    }

    /// Waits until all sidecars serve a state in which revisions up to `old` are compacted, and
    /// accept writes. If no process remembers the lost epoch, the new one may have the same number.
    pub(crate) async fn begun_above(&self, old: i64) -> Header {
        eventually(
            "all sidecars are above every observed revision",
            async || {
                let first = self.header(0).await;
                let second = self.header(1).await;
                let lower = first.compact_revision.min(second.compact_revision);
                lower > old && first.epoch == second.epoch
            },
        )
        .await;
        self.writes().await;
        self.header(0).await
    }

    /// Waits until the log follower of a sidecar has published an epoch.
    pub(crate) async fn published(&self, place: usize, old: i64) -> Status {
        let begin = std::time::Instant::now();
        let context = &self.contexts[place];
        loop {
            let opened = context.client.try_watch(context.after(old)).await;
            let ended = match opened.expect("a sound watch") {
                Ok(mut stream) => loop {
                    if let Err(end) = stream.next().await.expect("a sound watch") {
                        break end;
                    }
                },
                Err(rejected) => rejected,
            };
            // A watch that began just before the epoch ended gets its error.
            if reason(&ended) == Reason::Compacted {
                return ended;
            }
            assert!(begin.elapsed() < DEADLINE, "{ended}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Stops the writers and checks that all observations are consistent; `dsn` is for a sidecar
    /// without observed state.
    pub(crate) async fn finish(mut self, dsn: &str) -> Ends {
        self.load.stop_writers().await.expect("writers that end");
        let head = self.header(0).await;
        assert_eq!(head, self.header(1).await, "both sidecars");
        let fresh_sidecar = Sidecar::start(dsn).await;
        let context = self.contexts[0].at(&fresh_sidecar.endpoint());
        let header = context.client.current().await.expect("an answer");
        assert_eq!(header, head, "a sidecar that starts only now");
        assert!(self.observed.newest() <= head.revision, "{head:?}");
        let finished = self.load.finish(&[Arc::new(Session::new(&context))]).await;
        let (verdict, history) = finished.expect("watchers that see everything");
        assert!(verdict.is_clean(), "{verdict}");
        let watches = history.watches.iter();
        let (lists, reasons) = watches
            .map(|log| (log.segments.len(), log.ends.clone()))
            .unzip();
        let ends = Ends { reasons, lists };
        let known = [Reason::NotReady, Reason::EpochChanged, Reason::Compacted];
        let known = known.map(|reason| reason.as_str_name());
        for reason in ends.reasons.iter().flatten() {
            // Errors are untyped while a sidecar is down.
            let typed = known.contains(&reason.as_str()) || reason == "untyped";
            assert!(typed, "{:?}", ends.reasons);
        }
        fresh_sidecar.stop().await;
        for sidecar in self.sidecars {
            sidecar.stop().await;
        }
        ends
    }

    /// Asserts that every call with a revision of an earlier epoch is rejected at every sidecar.
    pub(crate) async fn history_is_gone(&self, old: i64, header: &Header) {
        assert!(header.compact_revision > old, "{header:?} after {old}");
        for (place, context) in self.contexts.iter().enumerate() {
            self.published(place, old).await;
            let listed = context.client.try_list(context.all(old)).await;
            let rejected = listed.expect("a sound list").expect_err("an old list");
            assert_eq!(reason(&rejected), Reason::Compacted, "{rejected}");
            let got = context.client.get(&context.key("any/any"), old).await;
            let rejected = got.expect_err("an old get");
            assert_eq!(reason(&rejected), Reason::Compacted, "{rejected}");
        }
    }

    /// Creates a record through a sidecar; returns its revision.
    pub(crate) async fn create(&self, place: usize, path: &str) -> i64 {
        let context = &self.contexts[place];
        self.load.ledger().expect_foreign(path);
        let op = context.create(path, "an acknowledged value");
        match context.client.verdict(op).await {
            Ok(Verdict::Applied(applied)) => applied.revision,
            other => panic!("{other:?}"),
        }
    }

    /// Returns contexts with a new resource.
    pub(crate) async fn kind(&self) -> Vec<CaseContext> {
        contexts(&self.sidecars).await
    }

    /// Whether every sidecar returns a key, by get and by list.
    pub(crate) async fn shows(&self, path: &str) -> bool {
        let mut shown = Vec::new();
        for context in &self.contexts {
            let got = context.client.get(&context.key(path), 0).await;
            shown.push(got.expect("an answer").record.is_some());
            let listed = context.client.try_list(context.all(0)).await;
            let listed = listed.expect("a sound list").expect("a list");
            let mut keys = listed.records.iter().filter_map(|it| it.key.clone());
            shown.push(keys.any(|key| conformance::path_of(&key) == path));
        }
        assert!(
            shown.iter().all(|it| *it == shown[0]),
            "{path} is shown by some: {shown:?}"
        );
        shown[0]
    }
}

/// Writers that read the current state after any error, as controllers do; a watcher and a reader
/// of the header at each sidecar.
fn options() -> Options {
    let scripts = (0..WRITERS).map(|writer| Script {
        own: (0..KEYS)
            .map(|key| format!("w{writer}/k{key}").into())
            .collect(),
        life: LIFE,
        existing: Vec::new(),
        batch: 1,
    });
    Options {
        writers: scripts.collect(),
        pace: Some(PACE),
        watchers: 2,
        from_every_revision: false,
        readers: Some(HEADER_INTERVAL),
        after_unknown: AfterUnknown::Read,
        tolerance: Tolerance::COMMITS_ARE_LOST,
        routing: Routing::Pinned,
        max_pause: Duration::from_millis(50),
        epochs: Epochs::Observed,
        drain: DEADLINE,
    }
}

pub(crate) fn reason(status: &Status) -> Reason {
    from_status(status).map_or(Reason::Unspecified, |error| error.reason())
}

/// Returns a context per sidecar, with the same keys.
pub(crate) async fn contexts(sidecars: &[Sidecar]) -> Vec<CaseContext> {
    let endpoint = sidecars[0].endpoint();
    let described = Client::new(&endpoint).describe().await;
    let model = CaseContext::new(&endpoint, &described.expect("an answer"), RUN_OPTIONS);
    let sidecars = sidecars.iter();
    sidecars.map(|it| model.at(&it.endpoint())).collect()
}
