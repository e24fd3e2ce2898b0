//! Random histories of stores that are created, restored, imported and moved while the clock jumps,
//! for any driver that can be opened in the test process.
//!
//! A driver's tests implement [`Stores`] and call [`walk`] with several seeds. The suite over a
//! socket cannot set a driver's clock; this module can.

mod last;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use backend_proto::limits::MAX_REVISION;
use backend_proto::v1::op::Action;
use backend_proto::v1::{Header, Key, Op, Range, Record};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use sidecar::driver::{Driver, ImportOptions, ImportPart, ListPart, ListQuery};
use tokio::sync::mpsc;

pub use self::last::write_to_the_last_revision;

/// Milliseconds from 1970 to 2026 and from 1970 to 2091.
const YEAR_2026: i64 = 1_767_225_600_000;
const YEAR_2091: i64 = 3_818_448_000_000;
const DAY: i64 = 86_400_000;

/// Steps per history.
const STEPS: usize = 24;

/// A source of stores.
#[async_trait]
pub trait Stores: Send {
    /// A store with its resources.
    type Store: Send;

    /// Creates an empty store whose epochs are numbered by `clock`.
    async fn make(&mut self, clock: fn() -> SystemTime) -> Self::Store;

    /// Opens a copy of a store that is marked as restored: it begins a new epoch. The original
    /// continues to serve, if necessary after reopening.
    async fn restore(&mut self, from: &mut Self::Store, clock: fn() -> SystemTime) -> Self::Store;

    /// Returns the store's driver.
    fn driver(&self, store: &Self::Store) -> Arc<dyn Driver>;
}

/// The clock of [`walk`] in milliseconds since 1970.
static CLOCK: AtomicI64 = AtomicI64::new(0);

/// Clock of the drivers in [`walk`]. Global, so one process runs one history at a time.
fn clock() -> SystemTime {
    let millis = CLOCK.load(Ordering::SeqCst);
    UNIX_EPOCH + Duration::from_millis(u64::try_from(millis).unwrap_or_default())
}

/// How a history sets the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The clock advances within one day. Then no revision is issued twice, whatever a restore
    /// lost.
    OneDay,
    /// The clock is set to any time from 1970 to 2091. Then revisions stay below 2^53.
    Jumps,
}

/// Runs the history of a seed.
///
/// # Panics
/// If a store violates the rules of revisions.
pub async fn walk<S: Stores>(mut stores: S, seed: u64, mode: Clock) {
    let mut random = StdRng::seed_from_u64(seed);
    CLOCK.store(
        random.random_range(YEAR_2026..YEAR_2091 - DAY),
        Ordering::SeqCst,
    );
    let mut walk = Walk {
        issued: BTreeMap::new(),
        mode,
        seed,
    };
    let mut serving = stores.make(clock).await;
    let mut backup = stores.restore(&mut serving, clock).await;
    for step in 0..STEPS {
        walk.turn(&mut random);
        // Choose what replaces the serving store.
        match random.random_range(0..9) {
            0 => serving = stores.make(clock).await,
            1 => serving = stores.restore(&mut serving, clock).await,
            // Everything since the backup is lost.
            2 | 3 => serving = stores.restore(&mut backup, clock).await,
            4 => backup = stores.restore(&mut serving, clock).await,
            turn @ (5 | 6) => {
                let driver = stores.driver(&serving);
                serving = walk.import(&mut stores, &*driver, turn == 5).await;
            }
            _ => {}
        }
        let driver = stores.driver(&serving);
        walk.write(&*driver, step).await;
        walk.check(&*driver).await;
    }
}

struct Walk {
    /// Every revision issued to a change, with the stored text.
    issued: BTreeMap<i64, String>,
    mode: Clock,
    seed: u64,
}

impl Walk {
    /// Advances or sets the clock.
    fn turn(&self, random: &mut StdRng) {
        let millis = match self.mode {
            Clock::OneDay => {
                CLOCK.load(Ordering::SeqCst) + random.random_range(1..DAY / STEPS as i64)
            }
            Clock::Jumps => random.random_range(0..YEAR_2091),
        };
        CLOCK.store(millis, Ordering::SeqCst);
    }

    async fn write(&mut self, driver: &dyn Driver, step: usize) {
        for turn in 0..3 {
            let text = format!("{step}-{turn}");
            let op = Op {
                key: Some(Key {
                    group: "walk".to_owned(),
                    resource: "things".to_owned(),
                    name: format!("n{step}-{turn}"),
                    ..Key::default()
                }),
                action: Action::Create.into(),
                value: text.clone().into(),
                ..Op::default()
            };
            let committed = driver.commit(vec![op]).await.expect("committed");
            let seed = self.seed;
            self.in_range(&committed.header);
            for event in committed.events {
                let known = self.issued.insert(event.revision, text.clone());
                let twice = known.filter(|_| self.mode == Clock::OneDay);
                assert_eq!(
                    twice, None,
                    "seed {seed}: {} is two changes",
                    event.revision
                );
            }
        }
    }

    /// Imports a store's content into an empty store.
    async fn import<S: Stores>(
        &self,
        stores: &mut S,
        from: &dyn Driver,
        keep_epoch: bool,
    ) -> S::Store {
        let (source, records) = list(from).await;
        let store = stores.make(clock).await;
        let options = ImportOptions {
            source,
            keep_epoch,
            more: false,
            discard: false,
        };
        let (sender, parts) = mpsc::channel(2);
        for part in [ImportPart::Records(records), ImportPart::Done] {
            sender.send(part).await.expect("room");
        }
        let header = stores.driver(&store).import(options, parts).await;
        self.in_range(&header.expect("imported"));
        store
    }

    async fn check(&self, driver: &dyn Driver) {
        let (header, records) = list(driver).await;
        self.in_range(&header);
        for record in records {
            let (created, changed) = (record.create_revision, record.revision);
            assert!(
                1 <= created && created <= changed && changed <= header.revision,
                "seed {}: a record of {created}, {changed} at {header:?}",
                self.seed
            );
        }
    }

    fn in_range(&self, header: &Header) {
        let Header {
            epoch,
            compact_revision,
            revision,
            ..
        } = *header;
        assert!(
            1 <= epoch
                && epoch <= compact_revision
                && compact_revision <= revision
                && revision <= MAX_REVISION,
            "seed {}: {header:?}",
            self.seed
        );
    }
}

/// Lists all records of a history.
async fn list(driver: &dyn Driver) -> (Header, Vec<Record>) {
    let query = ListQuery {
        range: Range {
            group: "walk".to_owned(),
            resource: "things".to_owned(),
            ..Range::default()
        },
        after: None,
        limit: 0,
        revision: 0,
    };
    let (sink, mut parts) = mpsc::channel(4);
    let collect = async {
        let (mut header, mut records) = (Header::default(), Vec::new());
        while let Some(part) = parts.recv().await {
            match part {
                ListPart::Header(it) => header = it,
                ListPart::Records(some) => records.extend(some),
                ListPart::End { .. } => {}
            }
        }
        (header, records)
    };
    let (listed, found) = tokio::join!(driver.list(query, sink), collect);
    listed.expect("listed");
    found
}
