//! Randomized test of files that are lost, copied, cut or damaged between runs of a driver.
//!
//! A ledger holds the acknowledged objects. After each fault the store must be served and right,
//! refused with a remedy, or begin a new epoch. It must never be sound and wrong: an acknowledged
//! write may be missing or old only in a new epoch, and a value is never another one.

use std::collections::BTreeMap;
use std::time::Duration;

use backend_proto::v1::Header;
use backend_sqlite::{SqliteDriver, backup};
use sidecar::driver::{Driver as _, DriverHealth};

use crate::driver::image::Image;
use crate::driver::store::{Store, all, create, delete, list, path, update};

/// Acknowledged objects, and every value that an object ever had.
#[derive(Clone, Default)]
struct Ledger {
    objects: BTreeMap<String, String>,
    ever: Vec<(String, String)>,
}

/// Numbers that depend on a seed only (xorshift), so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit.max(1)
    }

    fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        let index = self.below(items.len() as u64);
        &items[usize::try_from(index).expect("small")]
    }
}

impl Ledger {
    /// Makes some random changes.
    async fn change(&mut self, store: &Store, random: &mut Random, changes: u64) {
        for _ in 0..changes {
            let name = format!("a/{:02}", random.below(60));
            let value = format!("{:08}-", self.ever.len()).repeat(1 + random.below(300) as usize);
            let op = match (self.objects.contains_key(&name), random.below(4)) {
                (true, 0) => {
                    self.objects.remove(&name);
                    delete(&name)
                }
                (known, _) => {
                    self.objects.insert(name.clone(), value.clone());
                    self.ever.push((name.clone(), value.clone()));
                    if known {
                        update(&name, &value)
                    } else {
                        create(&name, &value)
                    }
                }
            };
            store.apply(op).await;
        }
    }
}

/// Outcome of opening a store after a fault.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Right,
    Refused,
    NewEpoch,
    /// Damage is reported for some objects or by the health.
    Damaged,
}

/// Opens the image and compares it with the ledger.
async fn judge(image: &Image, ledger: &Ledger, last: &Header, fault: &str) -> Outcome {
    let driver = match image.open() {
        Ok(driver) => driver,
        Err(error) => {
            let line = error.to_string();
            let remedy = ["restore a backup", "remove", "put it back", "correct"];
            assert!(remedy.iter().any(|it| line.contains(it)), "{fault}: {line}");
            return Outcome::Refused;
        }
    };
    let outcome = examine(&driver, ledger, last, fault).await;
    driver.close().await;
    outcome
}

async fn examine(driver: &SqliteDriver, ledger: &Ledger, last: &Header, fault: &str) -> Outcome {
    let header = driver.header().await.expect("header");
    let new_epoch = header.epoch != last.epoch;
    assert!(
        !new_epoch || header.epoch > last.revision,
        "{fault}: {header:?}"
    );
    let listed = list(driver, all()).await;
    while !driver.is_verified() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let dead = matches!(driver.health().await, DriverHealth::Dead(_));
    let Ok(listed) = listed else {
        return Outcome::Damaged;
    };
    let mut found = BTreeMap::new();
    let mut reported = dead;
    for record in &listed.records {
        if record.unreadable.is_empty() {
            let value = String::from_utf8(record.value.to_vec()).expect("text");
            let object = (path(record), value);
            assert!(
                ledger.ever.contains(&object),
                "{fault}: a value without a write"
            );
            found.insert(object.0, object.1);
        } else {
            reported = true;
        }
    }
    if reported {
        return Outcome::Damaged;
    }
    if new_epoch {
        return Outcome::NewEpoch;
    }
    assert!(found == ledger.objects, "{fault}: sound and wrong");
    assert!(
        header.revision >= last.revision,
        "{fault}: revisions repeat"
    );
    Outcome::Right
}

/// Applies a random fault; returns its description.
fn disturb(image: &Image, older: &[Image], random: &mut Random) -> String {
    let suffix = *random.pick(&["", "-wal", "-shm", ".lock", ".position"]);
    let file = image.file(suffix);
    let length = std::fs::metadata(&file).map_or(0, |file| file.len());
    match random.below(5) {
        0 => "crash".to_owned(),
        1 => {
            let number = random.below(older.len() as u64);
            let from = older[usize::try_from(number).expect("small")].file(suffix);
            if from.exists() {
                image.replace(suffix, &from);
            }
            format!("cp of {number} to {suffix}")
        }
        2 if length > 0 => {
            image.remove(suffix);
            format!("rm {suffix}")
        }
        3 if length > 0 => {
            let length = random.below(length);
            image.truncate(suffix, length);
            format!("truncate {suffix} to {length}")
        }
        _ if length > 0 => {
            let at = usize::try_from(random.below(length)).expect("small");
            let mask = 1 << random.below(8);
            image.flip(suffix, at, mask);
            format!("flip {mask:#x} at {at} of {suffix}")
        }
        _ => "nothing".to_owned(),
    }
}

/// Runs one seed: some runs of a driver with crashes, orderly stops and backups, then faults.
async fn run(seed: u64) -> BTreeMap<&'static str, usize> {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut store = Store::new();
    let mut ledger = Ledger::default();
    let mut older = Vec::new();
    for round in 0..4 {
        let changes = 5 + random.below(40);
        ledger.change(&store, &mut random, changes).await;
        if random.below(3) == 0 {
            let copy = store.folder.path().join(format!("copy-{round}.db"));
            backup::run(&store.path(), &copy).expect("a backup");
            let image = Image::of(&store);
            image.replace("", &copy);
            older.push(image);
        }
        older.push(Image::of(&store));
        if random.below(2) == 0 {
            let compact = store.driver.header().await.expect("header").revision;
            store.driver.compact(compact).await.expect("compacted");
        }
        if random.below(2) == 0 {
            store.reopen().await;
        }
    }
    let changes = random.below(30);
    ledger.change(&store, &mut random, changes).await;
    let last = store.driver.header().await.expect("header");
    if random.below(2) == 0 {
        store.driver.close().await;
    }
    let mut outcomes = BTreeMap::new();
    for _ in 0..12 {
        let image = Image::of(&store);
        let mut faults = Vec::new();
        for _ in 0..1 + random.below(2) {
            faults.push(disturb(&image, &older, &mut random));
        }
        let fault = format!("seed {seed}: {}", faults.join(", "));
        let outcome = match judge(&image, &ledger, &last, &fault).await {
            Outcome::Right => "right",
            Outcome::Refused => "refused",
            Outcome::NewEpoch => "new epoch",
            Outcome::Damaged => "damaged",
        };
        *outcomes.entry(outcome).or_default() += 1;
    }
    outcomes
}

/// Number of seeds; `ARK_SHUFFLES` runs more.
const SEEDS: u64 = 12;

#[tokio::test]
async fn disturbed_files_are_never_sound_and_wrong() {
    let more = std::env::var("ARK_SHUFFLES").ok();
    let seeds = more.map_or(SEEDS, |text| text.parse().expect("a number"));
    let mut outcomes: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in 1..=seeds {
        for (outcome, count) in run(seed).await {
            *outcomes.entry(outcome).or_default() += count;
        }
    }
    // The faults must reach each outcome, or the test compares nothing.
    for outcome in ["right", "refused", "new epoch", "damaged"] {
        assert!(outcomes.contains_key(outcome), "{outcomes:?}");
    }
}
