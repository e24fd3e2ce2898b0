//! Sidecars on one database, with writers and watchers at each, and the final assertions.

use std::time::Duration;

use backend_proto::error::from_status;
use backend_proto::v1::Header;
use backend_proto::v1::backend_error::Reason;
use backend_proto::v1::op_result::Verdict;
use conformance::{CaseContext, Client, RunOptions};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::ledger::Ledger;
use crate::load::Load;
use crate::sidecar::{DEADLINE, Sidecar, eventually};
use crate::watcher::Watcher;

/// Number of writes that counts as progress.
const PROGRESS_WRITES: usize = 60;

/// Interval at which each sidecar's header is read.
const HEADER_INTERVAL: Duration = Duration::from_millis(3);

const RUN_OPTIONS: RunOptions = RunOptions {
    seed: 1,
    long: false,
};

/// A store under load.
pub(crate) struct Scene {
    pub(crate) ledger: Ledger,
    pub(crate) contexts: Vec<CaseContext>,
    sidecars: Vec<Sidecar>,
    load: Load,
    watchers: JoinSet<Watcher>,
    target: watch::Sender<i64>,
    glances: JoinSet<()>,
    stop: CancellationToken,
}

/// Results of the watchers.
pub(crate) struct Ends {
    /// Reasons why watches ended, per watcher.
    pub(crate) reasons: Vec<Vec<Reason>>,
    /// Number of lists per watcher.
    pub(crate) lists: Vec<usize>,
}

// === impl Scene ===

impl Scene {
    /// Starts two sidecars under load, and waits for some writes.
    pub(crate) async fn start(dsn: &str) -> Self {
        let ledger = Ledger::default();
        let (first, second) = tokio::join!(Sidecar::start(dsn), Sidecar::start(dsn));
        let sidecars = vec![first, second];
        let contexts = contexts(&sidecars).await;
        let (target, reached) = watch::channel(i64::MAX);
        let mut scene = Self {
            load: Load::start(&contexts, &ledger),
            ledger,
            contexts,
            sidecars,
            watchers: JoinSet::new(),
            target,
            glances: JoinSet::new(),
            stop: CancellationToken::new(),
        };
        scene.look_on(&reached);
        scene.writes().await;
        scene
    }

    fn look_on(&mut self, target: &watch::Receiver<i64>) {
        for context in &self.contexts {
            let watcher = Watcher::new(context, &self.ledger, target.clone());
            self.watchers.spawn(watcher.work());
            let (client, ledger) = (context.connect(), self.ledger.clone());
            let stop = self.stop.clone();
            self.glances.spawn(async move {
                while !stop.is_cancelled() {
                    if let Ok(header) = client.current().await {
                        ledger.header(&header);
                    }
                    sleep(HEADER_INTERVAL).await;
                }
            });
        }
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
        let before = self.ledger.writes_in(epoch);
        eventually("writes go on", async || {
            self.ledger.writes_in(epoch) >= before + PROGRESS_WRITES
        })
        .await;
    }

    /// Returns the header at a sidecar, with retries.
    pub(crate) async fn header(&self, place: usize) -> Header {
        let begin = std::time::Instant::now();
        loop {
            match self.contexts[place].client.current().await {
                Ok(header) => {
                    self.ledger.header(&header);
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
        self.load.stop().await;
        self.stop.cancel();
        while self.glances.join_next().await.is_some() {}
        let head = self.header(0).await;
        assert_eq!(head, self.header(1).await, "both sidecars");
        let fresh_sidecar = Sidecar::start(dsn).await;
        let context = self.contexts[0].at(&fresh_sidecar.endpoint());
        let header = context.client.current().await.expect("an answer");
        assert_eq!(header, head, "a sidecar that starts only now");
        assert!(self.ledger.newest() <= head.revision, "{head:?}");
        self.target.send_replace(head.revision);
        let mut ends = Ends {
            reasons: Vec::new(),
            lists: Vec::new(),
        };
        let watched = tokio::time::timeout(DEADLINE, async {
            let mut watched = Vec::new();
            while let Some(watcher) = self.watchers.join_next().await {
                watched.push(watcher.expect("a watcher"));
            }
            watched
        });
        let watched = watched.await.expect("watchers that see everything");
        for context in self.contexts.iter().chain([&context]) {
            let listed = context.client.try_list(context.all(0)).await;
            let listed = listed.expect("a sound list").expect("a list");
            for watcher in &watched {
                watcher.matches(&listed);
            }
        }
        for watcher in watched {
            ends.reasons.push(watcher.ends);
            ends.lists.push(watcher.lists);
        }
        let known = [Reason::NotReady, Reason::EpochChanged, Reason::Compacted];
        for reason in ends.reasons.iter().flatten() {
            // Errors are untyped while a sidecar is down.
            let typed = known.contains(reason) || *reason == Reason::Unspecified;
            assert!(typed, "{:?}", ends.reasons);
        }
        self.ledger.check();
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
