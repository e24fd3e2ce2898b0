//! Every kind of fault is found in a history that is sound otherwise.

use std::sync::Arc;

use tokio::time::Instant;

use super::{Epochs, judge};
use crate::change::{Event, Key, Kind, Listing, Object, Revision};
use crate::client::Head;
use crate::fault::Guarantee;
use crate::history::{Arrival, Attempt, History, Outcome, Segment, WatchLog};

fn object(revision: u64, number: u64) -> Object {
    Object {
        revision: Revision::new(revision),
        number,
        digest: number * 100,
    }
}

fn listing(revision: u64, objects: &[(&str, Object)]) -> Listing {
    let objects = objects.iter().cloned();
    Listing {
        revision: Revision::new(revision),
        objects: objects
            .map(|(key, object)| (Key::from(key), object))
            .collect(),
    }
}

fn attempt(key: &str, kind: Kind, number: u64, outcome: Outcome) -> Attempt {
    Attempt {
        key: key.into(),
        kind,
        number,
        author: None,
        outcome,
    }
}

fn acknowledged(revision: impl Into<Option<u64>>) -> Outcome {
    Outcome::Acknowledged {
        revision: revision.into().map(Revision::new),
        digest: None,
        server: 1,
        at: Instant::now(),
    }
}

fn arrival(revision: u64, key: &str, kind: Kind, number: u64) -> Arrival {
    let event = Event {
        revision: Revision::new(revision),
        key: key.into(),
        kind,
        number,
        digest: number * 100,
        previous: None,
        author: None,
    };
    Arrival {
        event,
        server: 0,
        at: Instant::now(),
    }
}

fn watcher(name: &str, first: Segment, arrivals: Vec<Arrival>, end: u64) -> WatchLog {
    let segment = Segment {
        arrivals,
        end: Revision::new(end),
        ..first
    };
    WatchLog {
        name: name.to_owned(),
        segments: vec![segment],
        watches: 1,
        ends: Vec::new(),
    }
}

/// One object without writes; `a` is created, updated, and updated with unknown outcome; `b` is
/// created and deleted. Watcher 1 began late.
fn sound() -> History {
    let baseline = Arc::new(listing(10, &[("quiet", object(5, 0))]));
    let arrivals = vec![
        arrival(11, "a", Kind::Created, 1),
        arrival(12, "a", Kind::Updated, 2),
        arrival(13, "b", Kind::Created, 3),
        arrival(14, "b", Kind::Deleted, 3),
        arrival(15, "a", Kind::Updated, 4),
    ];
    let late = arrivals[2..].to_vec();
    let whole = Segment::listed(Arc::clone(&baseline));
    let part = Segment::after(Revision::new(12));
    History {
        attempts: vec![
            attempt("a", Kind::Created, 1, acknowledged(11)),
            attempt("a", Kind::Updated, 2, acknowledged(12)),
            attempt("b", Kind::Created, 3, acknowledged(13)),
            attempt("b", Kind::Deleted, 3, acknowledged(None)),
            attempt("a", Kind::Updated, 4, Outcome::Unknown),
        ],
        watches: vec![
            watcher("watcher 0", whole, arrivals, 15),
            watcher("watcher 1", part, late, 15),
        ],
        stored: vec![listing(15, &[("quiet", object(5, 0)), ("a", object(15, 4))]); 2],
        baseline,
        ..History::default()
    }
}

fn events(history: &mut History, watcher: usize) -> &mut Vec<Arrival> {
    &mut history.watches[watcher].segments[0].arrivals
}

/// Both watchers, from the same event on.
fn at_both(history: &mut History, place: usize, change: impl Fn(&mut Event)) {
    change(&mut events(history, 0)[place].event);
    change(&mut events(history, 1)[place - 2].event);
}

fn store(history: &mut History, key: &str, object: Option<&Object>) {
    for listing in &mut history.stored {
        match object.cloned() {
            Some(object) => listing.objects.insert(key.into(), object),
            None => listing.objects.remove(&Key::from(key)),
        };
    }
}

#[test]
fn sound_history_has_no_fault() {
    let verdict = judge(&sound(), Epochs::One);
    assert!(verdict.is_clean(), "{verdict}");
    assert_eq!(
        (verdict.acknowledged, verdict.unknown, verdict.changes),
        (4, 1, 5)
    );
}

/// Applies a fault; the verdict must violate the guarantee with this text.
fn check(guarantee: Guarantee, text: &str, change: impl FnOnce(&mut History)) {
    let mut history = sound();
    change(&mut history);
    let verdict = judge(&history, Epochs::One);
    let found = verdict
        .of(guarantee)
        .any(|fault| fault.to_string().contains(text));
    assert!(found, "no {guarantee:?} with {text:?} in {verdict}");
    assert!(verdict.check(guarantee).is_err());
}

#[test]
fn lost_writes_are_found() {
    use Guarantee::NothingLost;
    check(
        NothingLost,
        "update of a (write 2) at 12 by server 1 was acknowledged, but the store has nothing",
        |it| store(it, "a", None),
    );
    check(NothingLost, "update of a (write 2)", |it| {
        store(it, "a", Some(&object(11, 1)))
    });
    check(NothingLost, "deletion of b (write 3)", |it| {
        store(it, "b", Some(&object(13, 3)))
    });
    check(
        NothingLost,
        "creation of c (write 9) at 14 by server 1",
        |it| {
            it.attempts
                .push(attempt("c", Kind::Created, 9, acknowledged(14)));
        },
    );
    check(NothingLost, "no watcher received it", |it| {
        for place in [0, 1] {
            events(it, place).retain(|it| it.event.kind != Kind::Deleted);
        }
    });
    check(
        NothingLost,
        "quiet changed without a write: from write 0 at 5 to nothing",
        |it| store(it, "quiet", None),
    );
    check(
        NothingLost,
        "stray changed without a write: from nothing",
        |it| store(it, "stray", Some(&object(12, 7))),
    );
    check(NothingLost, "no write was acknowledged", |it| {
        *it = History::default()
    });
}

#[test]
fn revisions_with_two_meanings_are_found() {
    use Guarantee::RevisionsUnique;
    check(
        RevisionsUnique,
        "revision 12 identifies two changes",
        |it| {
            it.attempts
                .push(attempt("b", Kind::Updated, 8, acknowledged(12)));
        },
    );
    check(RevisionsUnique, "revision 13", |it| {
        events(it, 1)[0].event.number = 7
    });
    check(RevisionsUnique, "revision 13", |it| {
        events(it, 1)[0].event.digest = 7
    });
    check(RevisionsUnique, "by writer 7", |it| {
        events(it, 1)[0].event.author = Some("writer 7".into());
    });
    check(RevisionsUnique, "revision 15", |it| {
        it.stored[1] = listing(15, &[("quiet", object(5, 0)), ("a", object(15, 9))]);
    });
}

#[test]
fn decreasing_revisions_are_found() {
    use Guarantee::RevisionsMonotonic;
    let head = |revision| Head {
        revision: Revision::new(revision),
        epoch: None,
    };
    check(
        RevisionsMonotonic,
        "the newest revision is 14, but 15 had been observed",
        |it| it.head(Revision::new(15), &head(14)),
    );
    check(RevisionsMonotonic, "the newest revision is 14", |it| {
        it.stored[1].revision = Revision::new(14);
    });
    check(RevisionsMonotonic, "out of order", |it| {
        let epoch = Some((Revision::new(9), Revision::new(8)));
        it.head(Revision::new(1), &Head { epoch, ..head(10) });
    });
    check(RevisionsMonotonic, "a new epoch began at 14", |it| {
        it.epochs.extend([Revision::new(1), Revision::new(14)]);
    });
}

#[test]
fn incomplete_and_unordered_watches_are_found() {
    use Guarantee::WatchesComplete;
    check(
        WatchesComplete,
        "watcher 1: a watch from 12 to 15 left out creation of b (write 3) at 13",
        |it| drop(events(it, 1).remove(0)),
    );
    check(
        WatchesComplete,
        "watcher 1: a watch from 12 to 15 left out 15: update of a",
        |it| drop(events(it, 1).pop()),
    );
    check(WatchesComplete, "repeated or out of order", |it| {
        let again = events(it, 1)[1].clone();
        events(it, 1).insert(2, again);
    });
    check(
        WatchesComplete,
        "event 13: creation of b (write 3) after revision 14",
        |it| events(it, 1).swap(0, 1),
    );
    check(
        WatchesComplete,
        "does not follow from write 1 at 11",
        |it| events(it, 0)[1].event.kind = Kind::Created,
    );
    check(WatchesComplete, "does not follow from nothing", |it| {
        events(it, 0)[0].event.kind = Kind::Updated
    });
    check(
        WatchesComplete,
        "event 12: update of a (write 2) does not follow",
        |it| events(it, 0)[1].event.previous = Some(Revision::new(10)),
    );
    check(
        WatchesComplete,
        "deletion of b (write 3) does not follow",
        |it| at_both(it, 3, |event| event.digest = 1),
    );
    check(
        WatchesComplete,
        "no write explains event 15: update of a (write 99)",
        |it| at_both(it, 4, |event| event.number = 99),
    );
    check(
        WatchesComplete,
        "had to list again at 13: COMPACTED",
        |it| {
            let again = Segment::listed(Arc::new(listing(13, &[])));
            it.watches[1].segments.push(again);
            it.watches[1].ends.push("COMPACTED".to_owned());
        },
    );
    check(
        WatchesComplete,
        "received changes up to 14 only, due 15",
        |it| it.watches[1].segments[0].end = Revision::new(14),
    );
    check(
        WatchesComplete,
        "watcher 0 has write 4 at 15 for a, the final list write 2 at 12",
        |it| store(it, "a", Some(&object(12, 2))),
    );
    check(WatchesComplete, "list 1 has nothing for quiet", |it| {
        it.stored[1].objects.remove(&Key::from("quiet"));
    });
    check(WatchesComplete, "with other content", |it| {
        let other = Object {
            digest: 1,
            ..object(15, 4)
        };
        store(it, "a", Some(&other));
    });
}

#[test]
fn writes_with_two_effects_are_found() {
    check(
        Guarantee::OutcomesKnown,
        "one write was applied twice: 12: update of a (write 2); 15",
        |it| {
            at_both(it, 4, |event| event.number = 2);
        },
    );
}

/// The store lost revisions after 12, and began an epoch at 1000.
fn after_loss() -> History {
    let mut history = sound();
    history
        .epochs
        .extend([Revision::new(1), Revision::new(1000)]);
    let state = [("quiet", object(5, 0)), ("a", object(12, 2))];
    let new = Arc::new(listing(1000, &state));
    for log in &mut history.watches {
        let mut segment = Segment::listed(Arc::clone(&new));
        segment.arrivals.push(arrival(1001, "a", Kind::Updated, 5));
        segment.end = Revision::new(1001);
        log.segments.push(segment);
    }
    history
        .attempts
        .push(attempt("a", Kind::Updated, 5, acknowledged(1001)));
    history.stored = vec![listing(
        1001,
        &[("quiet", object(5, 0)), ("a", object(1001, 5))],
    )];
    history
}

#[test]
fn new_epoch_may_lose_writes_of_earlier_ones() {
    let history = after_loss();
    for epochs in [Epochs::Observed, Epochs::Gap(500)] {
        let mut history = history.clone();
        if epochs != Epochs::Observed {
            history.epochs.clear();
        }
        let verdict = judge(&history, epochs);
        assert!(verdict.is_clean(), "{epochs:?}: {verdict}");
    }
    let verdict = judge(&history, Epochs::One);
    for text in ["a new epoch began at 1000", "had to list again at 1000"] {
        assert!(verdict.to_string().contains(text), "{text}: {verdict}");
    }
}

/// A commit on the old primary is delivered there, and retried on the new one, which rejects it.
#[test]
fn rejected_write_may_have_an_event_in_an_earlier_epoch_only() {
    let overtaken = |at: u64| {
        let mut history = after_loss();
        let rejected = attempt("a", Kind::Updated, 6, Outcome::Overtaken);
        history.attempts.push(rejected);
        let segment = usize::from(at > 1000);
        for log in &mut history.watches {
            let segment = &mut log.segments[segment];
            segment.arrivals.push(arrival(at, "a", Kind::Updated, 6));
            segment.end = Revision::new(at);
        }
        judge(&history, Epochs::Observed)
    };
    let verdict = overtaken(16);
    assert!(verdict.is_clean(), "{verdict}");
    assert_eq!((verdict.acknowledged, verdict.unknown), (5, 1));
    let verdict = overtaken(1002).to_string();
    let fault = "no write explains event 1002: update of a (write 6)";
    assert!(verdict.contains(fault), "{verdict}");
}

#[test]
fn faults_within_an_epoch_are_found_after_a_loss() {
    type Fault = fn(&mut History);
    let faults: [(&str, Fault); 4] = [
        (
            "went on to 1001: update of a (write 5) in another epoch",
            |it| {
                let last = it.watches[0].segments.pop().expect("two segments");
                events(it, 0).extend(last.arrivals);
                it.watches[0].segments[0].end = last.end;
            },
        ),
        ("lost write: update of a (write 5) at 1001", |it| {
            store(it, "a", Some(&object(12, 2)));
        }),
        ("left out", |it| it.watches[1].segments[1].arrivals.clear()),
        ("left out creation of b (write 3) at 13", |it| {
            drop(events(it, 1).remove(0))
        }),
    ];
    for (text, fault) in faults {
        let mut history = after_loss();
        fault(&mut history);
        let verdict = judge(&history, Epochs::Observed);
        assert!(verdict.to_string().contains(text), "{text}: {verdict}");
    }
}

#[test]
fn report_names_guarantees_and_bounds_its_length() {
    let mut history = sound();
    for number in 0..100 {
        let key = format!("lost-{number}");
        let lost = attempt(&key, Kind::Created, 1000 + number, acknowledged(None));
        history.attempts.push(lost);
    }
    let verdict = judge(&history, Epochs::One);
    let text = verdict.to_string();
    assert!(
        text.starts_with("104 writes acknowledged, 1 with unknown outcome, 5 changes delivered")
    );
    assert!(
        text.contains("violated: an acknowledged write is stored (40 faults)"),
        "{text}"
    );
    assert!(
        text.contains("and 35 more") && text.contains("160 further faults"),
        "{text}"
    );
    assert!(text.lines().count() < 10, "{text}");
    assert!(verdict.result().is_err());
}

#[test]
fn keys_of_others_need_no_write() {
    let mut history = sound();
    history
        .attempts
        .retain(|attempt| attempt.key != Key::from("b"));
    assert!(!judge(&history, Epochs::One).is_clean());
    history.foreign.insert("b".into());
    let verdict = judge(&history, Epochs::One);
    assert!(verdict.is_clean(), "{verdict}");
}
