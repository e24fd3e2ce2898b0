//! Random histories of stores, for any driver that can be opened in a test's process: stores that
//! are made, restored, imported and moved while the clock jumps.
//!
//! A driver's tests implement [`Stores`] and call [`walk`] with a number of seeds. The suite over a
//! socket cannot set a driver's clock; this can.

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

/// Steps of one history.
const STEPS: usize = 24;

/// Where stores come from.
#[async_trait]
pub trait Stores: Send {
    /// A store, and whatever keeps it.
    type Store: Send;

    /// An empty store whose epochs begin by `clock`.
    async fn make(&mut self, clock: fn() -> SystemTime) -> Self::Store;

    /// A copy of a store that knows that it is one, opened: it begins a new epoch. The store serves
    /// on, if need be reopened.
    async fn restore(&mut self, from: &mut Self::Store, clock: fn() -> SystemTime) -> Self::Store;

    /// The store's driver.
    fn driver(&self, store: &Self::Store) -> Arc<dyn Driver>;
}

/// The clock of [`walk`], milliseconds since 1970.
static CLOCK: AtomicI64 = AtomicI64::new(0);

/// What the drivers of [`walk`] are opened with. One history at a time may use it in a process.
fn clock() -> SystemTime {
    let millis = CLOCK.load(Ordering::SeqCst);
    UNIX_EPOCH + Duration::from_millis(u64::try_from(millis).unwrap_or_default())
}

/// How a history treats the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// It runs within one day, as clocks do: then no number is given to two changes, whatever the
    /// stores forgot.
    OneDay,
    /// It is set to any time from 1970 to 2091: then numbers stay below 2^53.
    Jumps,
}

/// Plays the history of a seed.
///
/// # Panics
/// With one sentence if a store broke the rules of revisions.
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
        // What takes the place of the store that serves.
        match random.random_range(0..9) {
            0 => serving = stores.make(clock).await,
            1 => serving = stores.restore(&mut serving, clock).await,
            // Everything since the backup is forgotten.
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
    /// Every revision given to a change, and the text that it stored.
    issued: BTreeMap<i64, String>,
    mode: Clock,
    seed: u64,
}

impl Walk {
    /// Time passes.
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

    /// An empty store that gets the content of another.
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

/// Everything that a history stored.
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
