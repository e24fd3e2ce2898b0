//! Sidecars on one database, writers and watchers at each, and what must hold at the end.

use std::time::Duration;

use backend_proto::error::from_status;
use backend_proto::v1::Header;
use backend_proto::v1::backend_error::Reason;
use backend_proto::v1::op_result::Verdict;
use conformance::{Bench, Client, Effort};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::ledger::Ledger;
use crate::load::Load;
use crate::sidecar::{DEADLINE, Sidecar, eventually};
use crate::watcher::Watcher;

/// Writes that show that writing goes on.
const SOME: usize = 60;

/// How often each sidecar is asked where the store stands.
const GLANCE: Duration = Duration::from_millis(3);

const EFFORT: Effort = Effort {
    seed: 1,
    long: false,
};

/// A store in use.
pub(crate) struct Scene {
    pub(crate) ledger: Ledger,
    pub(crate) benches: Vec<Bench>,
    sidecars: Vec<Sidecar>,
    load: Load,
    watchers: JoinSet<Watcher>,
    target: watch::Sender<i64>,
    glances: JoinSet<()>,
    stop: CancellationToken,
}

/// What watchers came to.
pub(crate) struct Ends {
    /// Why watches ended, per watcher.
    pub(crate) reasons: Vec<Vec<Reason>>,
    /// Lists that each watcher needed.
    pub(crate) lists: Vec<usize>,
}

// === impl Scene ===

impl Scene {
    /// Two sidecars under load, some writes later.
    pub(crate) async fn start(dsn: &str) -> Self {
        let ledger = Ledger::default();
        let (first, second) = tokio::join!(Sidecar::start(dsn), Sidecar::start(dsn));
        let sidecars = vec![first, second];
        let benches = workplaces(&sidecars).await;
        let (target, reached) = watch::channel(i64::MAX);
        let mut scene = Self {
            load: Load::start(&benches, &ledger),
            ledger,
            benches,
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
        for bench in &self.benches {
            let watcher = Watcher::new(bench, &self.ledger, target.clone());
            self.watchers.spawn(watcher.work());
            let (client, ledger) = (bench.connect(), self.ledger.clone());
            let stop = self.stop.clone();
            self.glances.spawn(async move {
                while !stop.is_cancelled() {
                    if let Ok(header) = client.current().await {
                        ledger.header(&header);
                    }
                    sleep(GLANCE).await;
                }
            });
        }
    }

    /// Stops the sidecars, and starts others which remember nothing; their clients go on.
    pub(crate) async fn restart(&mut self, dsn: &str, between: impl AsyncFnOnce()) {
        let mut folders = Vec::new();
        for sidecar in self.sidecars.drain(..) {
            folders.push(sidecar.stop().await);
        }
        between().await;
        let starting = folders.into_iter().map(|it| Sidecar::start_in(it, dsn));
        self.sidecars = futures_util::future::join_all(starting).await;
    }

    /// Waits until more writes were acknowledged, in the newest epoch.
    pub(crate) async fn writes(&self) {
        let epoch = self.header(0).await.epoch;
        let before = self.ledger.writes_in(epoch);
        eventually("writes go on", async || {
            self.ledger.writes_in(epoch) >= before + SOME
        })
        .await;
    }

    /// Where a sidecar says that the store stands, as soon as it can.
    pub(crate) async fn header(&self, place: usize) -> Header {
        let begin = std::time::Instant::now();
        loop {
            match self.benches[place].client.current().await {
                Ok(header) => {
                    self.ledger.header(&header);
                    return header;
                }
                Err(error) => assert!(begin.elapsed() < DEADLINE, "{error}"),
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until all sidecars are in one epoch after this, and work in it.
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

    /// Waits until all sidecars are where everything up to a revision is gone, and work there. If all
    /// who saw it have forgotten it, the epoch may have the number of one that was lost.
    pub(crate) async fn begun_above(&self, old: i64) -> Header {
        eventually("all sidecars are above what anybody was told", async || {
            let first = self.header(0).await;
            let second = self.header(1).await;
            let lower = first.compact_revision.min(second.compact_revision);
            lower > old && first.epoch == second.epoch
        })
        .await;
        self.writes().await;
        self.header(0).await
    }

    /// Waits until the sidecars' own readers of the log know of an epoch.
    pub(crate) async fn published(&self, place: usize, old: i64) -> Status {
        let begin = std::time::Instant::now();
        let bench = &self.benches[place];
        loop {
            let opened = bench.client.try_watch(bench.after(old)).await;
            let ended = match opened.expect("a sound watch") {
                Ok(mut stream) => loop {
                    if let Err(end) = stream.next().await.expect("a sound watch") {
                        break end;
                    }
                },
                Err(refused) => refused,
            };
            // A watch that began in the last moment of an epoch ends with it.
            if reason(&ended) == Reason::Compacted {
                return ended;
            }
            assert!(begin.elapsed() < DEADLINE, "{ended}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Stops the writers; everything must fit together. The DSN is for a sidecar that remembers
    /// nothing.
    pub(crate) async fn finish(mut self, dsn: &str) -> Ends {
        self.load.stop().await;
        self.stop.cancel();
        while self.glances.join_next().await.is_some() {}
        let head = self.header(0).await;
        assert_eq!(head, self.header(1).await, "both sidecars");
        let late = Sidecar::start(dsn).await;
        let bench = self.benches[0].at(&late.endpoint());
        let header = bench.client.current().await.expect("an answer");
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
        for bench in self.benches.iter().chain([&bench]) {
            let listed = bench.client.try_list(bench.all(0)).await;
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
            // Nothing is typed while a sidecar is not there.
            let typed = known.contains(reason) || *reason == Reason::Unspecified;
            assert!(typed, "{:?}", ends.reasons);
        }
        self.ledger.check();
        late.stop().await;
        for sidecar in self.sidecars {
            sidecar.stop().await;
        }
        ends
    }

    /// What a revision of an earlier epoch is good for: nothing but a clear refusal, whoever is
    /// asked.
    pub(crate) async fn history_is_gone(&self, old: i64, header: &Header) {
        assert!(header.compact_revision > old, "{header:?} after {old}");
        for (place, bench) in self.benches.iter().enumerate() {
            self.published(place, old).await;
            let listed = bench.client.try_list(bench.all(old)).await;
            let refused = listed.expect("a sound list").expect_err("an old list");
            assert_eq!(reason(&refused), Reason::Compacted, "{refused}");
            let got = bench.client.get(&bench.key("any/any"), old).await;
            let refused = got.expect_err("an old get");
            assert_eq!(reason(&refused), Reason::Compacted, "{refused}");
        }
    }

    /// A write of our own through a sidecar; its revision.
    pub(crate) async fn create(&self, place: usize, path: &str) -> i64 {
        let bench = &self.benches[place];
        let op = bench.create(path, "an acknowledged value");
        match bench.client.verdict(op).await {
            Ok(Verdict::Applied(applied)) => applied.revision,
            other => panic!("{other:?}"),
        }
    }

    /// Workplaces with a kind of their own.
    pub(crate) async fn kind(&self) -> Vec<Bench> {
        workplaces(&self.sidecars).await
    }

    /// Whether every sidecar shows a key, by get and by list.
    pub(crate) async fn shows(&self, path: &str) -> bool {
        let mut shown = Vec::new();
        for bench in &self.benches {
            let got = bench.client.get(&bench.key(path), 0).await;
            shown.push(got.expect("an answer").record.is_some());
            let listed = bench.client.try_list(bench.all(0)).await;
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

/// A workplace at each sidecar, with the same keys.
pub(crate) async fn workplaces(sidecars: &[Sidecar]) -> Vec<Bench> {
    let endpoint = sidecars[0].endpoint();
    let described = Client::new(&endpoint).describe().await;
    let model = Bench::new(&endpoint, &described.expect("an answer"), EFFORT);
    let sidecars = sidecars.iter();
    sidecars.map(|it| model.at(&it.endpoint())).collect()
}
