//! Runs against a store in memory that loses responses, events, writes or identities.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::Workload;
use crate::change::{Event, Key, Listing, Object, Revision};
use crate::client::{Action, Applied, Batch, CallError, Client, Fixed, Head, Watch, Write};
use crate::fault::Guarantee;
use crate::history::History;
use crate::options::{AfterUnknown, Options, Pace, Routing};
use crate::script::{Script, Step};
use crate::tolerance::Tolerance;
use crate::verdict::{Epochs, Verdict};

/// What the store does wrong at every seventh write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Defect {
    None,
    /// The connection breaks after the write was applied.
    LosesResponse,
    /// As [`Self::LosesResponse`], and a repetition is a new write.
    ForgetsWrite,
    /// The write is acknowledged but not stored.
    LosesWrite,
    /// No watch delivers it.
    LosesEvent,
    /// The head is an old revision.
    GoesBack,
}

#[derive(Default)]
struct Stored {
    revision: u64,
    objects: BTreeMap<Key, Object>,
    log: Vec<Event>,
    ids: HashMap<[u8; 16], Revision>,
    writes: usize,
}

struct Store {
    defect: Defect,
    stored: Mutex<Stored>,
    changed: watch::Sender<u64>,
}

struct Cursor(Arc<Store>, Revision);

struct Session(Arc<Store>);

impl Store {
    fn apply(&self, write: &Write) -> Result<Applied, CallError> {
        let mut stored = self.stored.lock();
        if let Some(revision) = stored.ids.get(&write.id) {
            return Ok(Applied {
                revision: Some(*revision),
                repeated: true,
                ..Applied::default()
            });
        }
        let current = stored.objects.get(&write.key).cloned();
        let fits = match (write.action, &current) {
            (Action::Create, None) | (Action::Patch(None), Some(_)) => true,
            (Action::Replace(at) | Action::Patch(Some(at)) | Action::Delete(at), Some(object)) => {
                object.revision == at
            }
            _ => false,
        };
        if !fits {
            return Err(CallError::Conflict(format!("{current:?}")));
        }
        stored.writes += 1;
        let defect = if stored.writes.is_multiple_of(7) {
            self.defect
        } else {
            Defect::None
        };
        let revision = Revision::new(stored.revision + 1);
        let applied = Applied {
            revision: Some(revision),
            ..Applied::default()
        };
        if defect == Defect::LosesWrite {
            // Not even the revision is used.
            return Ok(applied);
        }
        stored.revision += 1;
        let object = Object {
            revision,
            number: write.number,
            digest: write.number,
        };
        match write.action {
            Action::Delete(_) => stored.objects.remove(&write.key),
            _ => stored.objects.insert(write.key.clone(), object),
        };
        if defect != Defect::LosesEvent {
            stored.log.push(Event {
                revision,
                key: write.key.clone(),
                kind: write.action.kind(),
                number: write.number,
                digest: write.number,
                previous: Some(current.map_or(Revision::default(), |it| it.revision)),
                author: None,
            });
        }
        if defect != Defect::ForgetsWrite {
            stored.ids.insert(write.id, revision);
        }
        self.changed.send_replace(stored.revision);
        if [Defect::LosesResponse, Defect::ForgetsWrite].contains(&defect) {
            return Err(CallError::Broken("reset".to_owned()));
        }
        Ok(applied)
    }
}

#[async_trait]
impl Client for Session {
    async fn write(&self, writes: &[Write]) -> Result<Vec<Result<Applied, CallError>>, CallError> {
        Ok(writes.iter().map(|write| self.0.apply(write)).collect())
    }

    async fn read(&self, key: &Key) -> Result<Option<Object>, CallError> {
        Ok(self.0.stored.lock().objects.get(key).cloned())
    }

    async fn list(&self) -> Result<Listing, CallError> {
        let stored = self.0.stored.lock();
        Ok(Listing {
            revision: Revision::new(stored.revision),
            objects: stored.objects.clone(),
        })
    }

    async fn head(&self) -> Result<Head, CallError> {
        let stored = self.0.stored.lock();
        let old = self.0.defect == Defect::GoesBack && stored.writes > 50;
        Ok(Head {
            revision: Revision::new(if old { 1 } else { stored.revision }),
            epoch: None,
        })
    }

    async fn watch(&self, after: Revision) -> Result<Box<dyn Watch>, CallError> {
        Ok(Box::new(Cursor(Arc::clone(&self.0), after)))
    }
}

#[async_trait]
impl Watch for Cursor {
    async fn next(&mut self) -> Result<Batch, CallError> {
        let mut changed = self.0.changed.subscribe();
        let _ = changed.wait_for(|newest| *newest > self.1.get()).await;
        let stored = self.0.stored.lock();
        let after = self.1;
        self.1 = Revision::new(stored.revision);
        let events = stored.log.iter().filter(|event| event.revision > after);
        Ok(Batch {
            events: events.cloned().collect(),
            up_to_revision: self.1,
        })
    }
}

fn options(after_unknown: AfterUnknown) -> Options {
    let life = &[Step::Replace, Step::Patch, Step::Delete];
    Options {
        writers: (0..3)
            .map(|writer| Script::own("w", writer, 4, life))
            .collect(),
        pace: Some(Pace {
            interval: Duration::from_millis(10),
            missed: MissedTickBehavior::Delay,
        }),
        watchers: 2,
        from_every_revision: false,
        readers: Some(Duration::from_millis(10)),
        after_unknown,
        tolerance: Tolerance::SERVERS_ARE_KILLED,
        routing: Routing::NextAfterError,
        max_pause: Duration::from_millis(20),
        epochs: Epochs::One,
        drain: Duration::from_secs(10),
    }
}

async fn run(defect: Defect, options: Options) -> (Verdict, History) {
    let store = Arc::new(Store {
        defect,
        stored: Mutex::default(),
        changed: watch::Sender::new(0),
    });
    let clients = (0..2).map(|_| Arc::new(Session(Arc::clone(&store))) as Arc<dyn Client>);
    let servers = Arc::new(Fixed::new(clients.collect()));
    let workload = Workload::start(servers, options).await.expect("a list");
    let limit = Duration::from_secs(60);
    // Writers that find too many faults end early.
    let progress = workload.progress(200, limit).await;
    assert!(progress.is_ok() || defect != Defect::None, "{progress:?}");
    workload.finish(&[]).await.expect("clients that end")
}

const MODES: [AfterUnknown; 3] = [
    AfterUnknown::RepeatById,
    AfterUnknown::RepeatAndRead,
    AfterUnknown::Read,
];

#[tokio::test(start_paused = true)]
async fn sound_store_passes_even_if_responses_are_lost() {
    for mode in MODES {
        for defect in [Defect::None, Defect::LosesResponse] {
            for from_every_revision in [false, true] {
                let options = Options {
                    from_every_revision,
                    ..options(mode)
                };
                let (verdict, history) = run(defect, options).await;
                assert!(verdict.is_clean(), "{mode:?}, {defect:?}: {verdict}");
                assert!(verdict.acknowledged >= 200, "{verdict}");
                let unknown = defect == Defect::LosesResponse && mode == AfterUnknown::Read;
                assert_eq!(history.unknown() > 0, unknown, "{mode:?}, {defect:?}");
                assert_eq!(history.watches.len() > 2, from_every_revision);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_defect_of_a_store_violates_its_guarantee() {
    let rows = [
        (Defect::LosesWrite, Guarantee::NothingLost),
        (Defect::LosesWrite, Guarantee::RevisionsUnique),
        (Defect::LosesEvent, Guarantee::WatchesComplete),
        (Defect::LosesEvent, Guarantee::NothingLost),
        (Defect::GoesBack, Guarantee::RevisionsMonotonic),
    ];
    for (defect, guarantee) in rows {
        for mode in MODES {
            let (verdict, _) = run(defect, options(mode)).await;
            assert!(
                verdict.check(guarantee).is_err(),
                "{defect:?}, {mode:?}: {verdict}"
            );
        }
    }
    let forgetful = run(Defect::ForgetsWrite, options(AfterUnknown::RepeatById)).await;
    let conflict = forgetful.0.check(Guarantee::NothingLost);
    assert!(conflict.is_err(), "{}", forgetful.0);
}

#[tokio::test(start_paused = true)]
async fn errors_that_a_run_does_not_justify_are_faults() {
    let strict = Options {
        tolerance: Tolerance::SERVERS_STAY_UP,
        ..options(AfterUnknown::Read)
    };
    let (verdict, _) = run(Defect::LosesResponse, strict).await;
    let text = verdict.to_string();
    assert!(
        text.contains("a write failed: connection failed: reset"),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn held_clients_continue_after_release() {
    let store = Arc::new(Store {
        defect: Defect::LosesResponse,
        stored: Mutex::default(),
        changed: watch::Sender::new(0),
    });
    let client: Arc<dyn Client> = Arc::new(Session(Arc::clone(&store)));
    let servers = Arc::new(Fixed::new(vec![client]));
    let started = Workload::start(servers, options(AfterUnknown::RepeatById)).await;
    let workload = started.expect("a list");
    workload.hold();
    // Every writer gets an error sooner or later, and waits.
    let stuck = workload.progress(1000, Duration::from_secs(5)).await;
    assert!(stuck.expect_err("held").to_string().contains("1000 writes"));
    workload.release();
    workload
        .settle(Duration::from_secs(5))
        .await
        .expect("all settled");
    let progress = workload.progress(100, Duration::from_secs(5)).await;
    progress.expect("writers go on");
    let (verdict, _) = workload.finish(&[]).await.expect("clients that end");
    assert!(verdict.is_clean(), "{verdict}");
}
