//! Tests of where epochs begin: examples, and properties over random sequences of events.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use backend_proto::clock::{self, REVISIONS_PER_MILLI};
use backend_proto::limits::MAX_REVISION;
use proptest::collection::vec;
use proptest::prelude::*;

use super::{Damaged, Exhausted, Head, RevisionError};

/// Milliseconds from 2026 to 2091.
const YEARS_65: u64 = 2_051_222_400_000;

fn at(millis: u64) -> SystemTime {
    UNIX_EPOCH + clock::START + Duration::from_millis(millis)
}

fn head(epoch: i64, revision: i64) -> Head {
    Head {
        epoch,
        revision,
        compact_revision: epoch,
    }
}

#[test]
fn epoch_begins_at_clock_or_above_newest_revision() {
    let begin = |newest, now| Head::begin(newest, now).map(|begun| begun.epoch);
    let made = |now| Head::made(now).epoch;
    assert_eq!(made(UNIX_EPOCH), 1);
    assert_eq!(made(at(0)), 1);
    assert_eq!(made(at(1)), 4096);
    assert_eq!(begin(head(5, 9), at(0)), Ok(10));
    assert_eq!(begin(head(9, 5), at(0)), Ok(10));
    assert_eq!(begin(head(1, 4095), at(1)), Ok(4096));
    assert_eq!(begin(head(1, 4096), at(1)), Ok(4097));
    // The clock counts until 2091; revisions in the store count up to the maximum.
    let last = i64::try_from(YEARS_65).expect("fits") * REVISIONS_PER_MILLI;
    assert_eq!((made(at(YEARS_65)), made(at(10 * YEARS_65))), (last, last));
    let end = MAX_REVISION;
    assert_eq!(begin(head(1, end - 1), at(YEARS_65)), Ok(end));
    for newest in [end, end + 1, i64::MAX] {
        assert_eq!(begin(head(1, newest), at(0)), Err(Exhausted { newest }));
    }
}

#[test]
fn epoch_has_just_begun_until_first_write() {
    let begun = Head::made(at(7));
    assert!(begun.has_just_begun());
    let revision = begun.revision + 1;
    let written = Head {
        revision,
        compact_revision: revision,
        ..begun
    };
    assert!(!written.has_just_begun());
}

/// Events that change the store behind one address.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Time passes, and the serving store commits `rate` changes per millisecond.
    Write { millis: u64, rate: u64 },
    /// The serving store is backed up.
    Backup,
    /// A new store replaces it.
    Make,
    /// A restored backup replaces it.
    Restore(usize),
    /// A standby that lacks some commits takes over; `remembered` if the sidecar kept the last
    /// head.
    FailOver { lost: i64, remembered: bool },
    /// The content is imported into a new store, which begins an epoch.
    Import,
    /// The wall clock is set.
    SetClock(u64),
}

fn steps(clocks: bool) -> impl Strategy<Value = Vec<Step>> {
    // At most a day in total, and at most a thousand changes per millisecond.
    let write =
        (1_u64..2_000_000, 0_u64..1_000).prop_map(|(millis, rate)| Step::Write { millis, rate });
    let other = prop_oneof![
        Just(Step::Backup),
        Just(Step::Make),
        (0_usize..8).prop_map(Step::Restore),
        (0_i64..100_000, any::<bool>())
            .prop_map(|(lost, remembered)| Step::FailOver { lost, remembered }),
        Just(Step::Import),
    ];
    let clock = (0_u64..YEARS_65).prop_map(Step::SetClock);
    if clocks {
        vec(prop_oneof![3 => write, 5 => other, 2 => clock], 1..40).boxed()
    } else {
        vec(prop_oneof![write, other], 1..40).boxed()
    }
}

/// The successive stores behind one address.
struct Lineage {
    millis: u64,
    serving: Head,
    backups: Vec<Head>,
    /// Every revision issued to a change, as ranges: first to last.
    issued: BTreeMap<i64, i64>,
}

impl Lineage {
    fn begin(&mut self, newest: Head) {
        // Two starts of a process are at least a millisecond apart.
        self.millis += 1;
        self.serving = Head::begin(newest, at(self.millis)).expect("room");
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Write { millis, rate } => {
                self.millis += millis;
                let count = i64::try_from(millis * rate).expect("fits");
                self.write(count);
            }
            Step::Backup => self.backups.push(self.serving),
            Step::Make => self.begin(Head::default()),
            Step::Restore(number) => {
                if let Some(backup) = self.backups.get(number) {
                    self.begin(*backup);
                }
            }
            Step::FailOver { lost, remembered } => {
                let Head {
                    epoch, revision, ..
                } = self.serving;
                let kept = head(epoch, (revision - lost).max(epoch));
                self.begin(if remembered { self.serving } else { kept });
            }
            Step::Import => self.begin(self.serving),
            Step::SetClock(millis) => self.millis = millis,
        }
        let Head {
            epoch,
            revision,
            compact_revision,
        } = self.serving;
        assert!(1 <= epoch && epoch <= compact_revision && compact_revision <= revision);
        assert!(revision <= MAX_REVISION, "{step:?} led to {revision}");
    }

    fn write(&mut self, count: i64) {
        if count == 0 {
            return;
        }
        let first = self.serving.revision + 1;
        self.serving.revision += count;
        let last = self.serving.revision;
        self.issued.insert(first, last);
    }

    fn check_unique(&self) {
        let runs: Vec<_> = self.issued.iter().collect();
        for pair in runs.windows(2) {
            let ((_, end), (start, _)) = (pair[0], pair[1]);
            assert!(end < start, "revision {start} was issued twice");
        }
    }
}

fn play(start: u64, steps: Vec<Step>) -> Lineage {
    let mut lineage = Lineage {
        millis: start,
        serving: Head::made(at(start)),
        backups: Vec::new(),
        issued: BTreeMap::new(),
    };
    for step in steps {
        let before = lineage.issued.len();
        lineage.take(step);
        if lineage.issued.len() > before + 1 {
            unreachable!("a step writes once");
        }
    }
    lineage
}

proptest! {
    #[test]
    fn no_revision_is_issued_twice_in_any_order_of_events(
        start in 0_u64..YEARS_65 - 86_400_000,
        steps in steps(false),
    ) {
        play(start, steps).check_unique();
    }

    #[test]
    fn no_revision_exceeds_a_double_at_any_clock(
        start in 0_u64..YEARS_65,
        steps in steps(true),
    ) {
        play(start, steps);
    }

    #[test]
    fn revisions_never_decrease_at_any_clock(
        first in 1_i64..MAX_REVISION - 50_000,
        clocks in vec(0_u64..2 * YEARS_65, 1..40),
    ) {
        let mut serving = head(first, first);
        for clock in clocks {
            let begun = Head::begin(serving, at(clock)).expect("room");
            prop_assert!(begun > serving && begun.epoch > serving.revision);
            serving = Head { revision: begun.revision + 1_000, ..begun };
        }
    }
}

#[test]
fn heads_out_of_order_or_range_are_rejected() {
    let end = MAX_REVISION;
    for (epoch, compact_revision, revision, sound) in [
        (1, 1, 1, true),
        (1, 2, 3, true),
        (end, end, end, true),
        (0, 1, 1, false),
        (-1, 1, 1, false),
        (2, 1, 3, false),
        (1, 4, 3, false),
        (1, 1, end + 1, false),
        (1, 1, -1, false),
    ] {
        let head = Head {
            epoch,
            revision,
            compact_revision,
        };
        let expected = if sound { Ok(head) } else { Err(Damaged(head)) };
        assert_eq!(head.check(), expected);
    }
}

#[test]
fn readable_revisions_lie_between_compaction_and_head() {
    let head = Head {
        epoch: 1,
        revision: 20,
        compact_revision: 10,
    };
    let gone = Err(RevisionError::Compacted {
        compact_revision: 10,
    });
    let future = |asked| RevisionError::Future { asked, current: 20 };
    let readable = [0, 9, 10, 20, 21].map(|asked| head.readable(asked));
    let want = [Ok(20), gone, Ok(10), Ok(20), Err(future(21))];
    assert_eq!(readable, want);
    assert_eq!(head.follows(0), gone.map(|_: i64| ()));
    assert_eq!(
        (head.reached(0), head.reached(21)),
        (Ok(()), Err(future(21)))
    );
}
