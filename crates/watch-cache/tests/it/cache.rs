//! Tests of single guarantees that the random tests do not cover reliably.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use watch_cache::{
    Attribute, Change, Cursor, CursorError, FrontierClosed, Group, Interest, Item, Limits, Scope,
    Select,
};

const LIMITS: Limits = Limits {
    history: 1 << 20,
    total: usize::MAX,
};

#[derive(Clone)]
struct Thing {
    key: String,
    revision: u64,
    team: String,
    /// Number of times its attributes were read.
    asked: Arc<AtomicUsize>,
}

struct All;
struct Nothing;

#[derive(Default)]
struct WakeCounter(AtomicUsize);

impl Item for Thing {
    fn key(&self) -> &str {
        &self.key
    }

    fn revision(&self) -> u64 {
        self.revision
    }

    fn size(&self) -> usize {
        1000
    }

    fn attributes(&self, visit: &mut dyn FnMut(Attribute, &str, &str)) {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if !self.undecodable() {
            visit(Attribute::Label, "team", &self.team);
        }
    }

    fn undecodable(&self) -> bool {
        self.team == "?"
    }

    fn with_resource_version(&self, revision: u64) -> Self {
        Self {
            key: self.key.clone(),
            revision,
            team: self.team.clone(),
            asked: Arc::default(),
        }
    }
}

impl Select<Thing> for All {
    fn matches(&self, _item: &Thing) -> bool {
        true
    }
}

impl Select<Thing> for Nothing {
    fn matches(&self, _item: &Thing) -> bool {
        false
    }
}

impl Wake for WakeCounter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn put(key: &str, team: &str, revision: u64) -> Change<Thing> {
    Change::Put(Thing {
        key: key.to_owned(),
        revision,
        team: team.to_owned(),
        asked: Arc::default(),
    })
}

fn group(limits: Limits) -> Group<&'static str, Thing> {
    let group = Group::new(1, limits);
    group.insert("things", [], 1);
    group
}

/// Polls once; returns the revisions of the delivered changes, or `None` if pending.
fn poll(
    cursor: &mut Cursor<Thing>,
    wakes: &Arc<WakeCounter>,
) -> Option<Result<Vec<u64>, CursorError>> {
    let waker = Waker::from(Arc::clone(wakes));
    match cursor.poll_next(&mut Context::from_waker(&waker), &All, 100) {
        Poll::Ready(seen) => {
            Some(seen.map(|seen| seen.iter().map(|delivery| delivery.revision).collect()))
        }
        Poll::Pending => None,
    }
}

#[test]
fn unrelated_changes_neither_wake_nor_end_cursors() {
    let group = group(Limits {
        history: 10_000,
        total: usize::MAX,
    });
    let cache = group.get(&"things").expect("inserted");
    let equality = Some((Attribute::Label, "team".into(), "red".into()));
    let interests = [
        Interest::in_scope(Scope::Namespace("quiet".into())),
        Interest::in_scope(Scope::Key("noisy/quiet".into())),
        Interest {
            scope: Scope::All,
            equality,
        },
    ];
    let mut idle = interests.map(|interest| {
        let mut cursor = cache.follow(1, interest).expect("retained");
        let wakes = Arc::new(WakeCounter::default());
        assert_eq!(poll(&mut cursor, &wakes), None);
        (cursor, wakes)
    });
    for revision in 2..1000 {
        cache.apply([put("noisy/x", "blue", revision)]);
        group.enforce();
    }
    assert!(group.usage().history <= 10_000);
    for (cursor, wakes) in &mut idle {
        assert_eq!(wakes.0.load(Ordering::SeqCst), 0);
        assert_eq!(poll(cursor, wakes), None);
    }
    cache.apply([put("quiet/x", "red", 1000), put("noisy/quiet", "red", 1001)]);
    let seen = idle.map(|(mut cursor, wakes)| {
        assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
        poll(&mut cursor, &wakes)
    });
    assert_eq!(
        seen,
        [
            Some(Ok(vec![1000])),
            Some(Ok(vec![1001])),
            Some(Ok(vec![1000, 1001]))
        ]
    );
}

#[test]
fn undecodable_item_wakes_every_cursor_in_its_scope() {
    let group = group(LIMITS);
    let cache = group.get(&"things").expect("inserted");
    let red_in = |scope| Interest {
        scope,
        equality: Some((Attribute::Label, "team".into(), "red".into())),
    };
    let scopes = [
        Scope::All,
        Scope::Namespace("a".into()),
        Scope::Namespace("b".into()),
    ];
    let wakes = Arc::new(WakeCounter::default());
    let mut red = scopes.map(|scope| {
        let mut cursor = cache.follow(1, red_in(scope)).expect("retained");
        assert_eq!(poll(&mut cursor, &wakes), None);
        cursor
    });
    let mut seen = |change| {
        cache.apply([change]);
        red.each_mut().map(|cursor| poll(cursor, &wakes))
    };
    assert_eq!(seen(put("a/x", "blue", 2)), [None, None, None]);
    let reported = |revision| Some(Ok(vec![revision]));
    // Into the unreadable state, within it, and out of it.
    assert_eq!(seen(put("a/x", "?", 3)), [reported(3), reported(3), None]);
    assert_eq!(seen(put("a/x", "?", 4)), [reported(4), reported(4), None]);
    assert_eq!(
        seen(put("a/x", "blue", 5)),
        [reported(5), reported(5), None]
    );
    assert_eq!(seen(put("a/x", "blue", 6)), [None, None, None]);
}

#[test]
fn slow_cursor_ends_without_delaying_others() {
    let group = group(Limits {
        history: 10_000,
        total: usize::MAX,
    });
    let cache = group.get(&"things").expect("inserted");
    let (wakes, everything) = (
        Arc::new(WakeCounter::default()),
        Interest::in_scope(Scope::All),
    );
    let mut slow = cache.follow(1, everything.clone()).expect("retained");
    let mut fast = cache.follow(1, everything).expect("retained");
    for revision in 2..100 {
        cache.apply([put("a/x", "red", revision)]);
        group.enforce();
        assert_eq!(poll(&mut fast, &wakes), Some(Ok(vec![revision])));
    }
    let Some(Err(CursorError::Behind { oldest })) = poll(&mut slow, &wakes) else {
        panic!("the slow cursor gets an error")
    };
    assert!(oldest > 80);
}

#[test]
fn current_items_are_never_evicted() {
    let group = group(Limits {
        history: 1 << 20,
        total: 5_000,
    });
    let cache = group.get(&"things").expect("inserted");
    for revision in 2..12 {
        cache.apply([put(&format!("a/{revision}"), "red", revision)]);
        group.enforce();
    }
    let usage = group.usage();
    assert_eq!((usage.items, usage.current, usage.history), (10, 10_000, 0));
    assert_eq!(cache.snapshot().len(), 10);
}

#[test]
fn cursor_yields_while_selector_matches_nothing() {
    let group = group(Limits {
        history: usize::MAX,
        ..LIMITS
    });
    let cache = group.get(&"things").expect("inserted");
    let interest = Interest::in_scope(Scope::All);
    let mut cursor = cache.follow(1, interest).expect("retained");
    cache.apply((2..5_002).map(|revision| put("a/x", "red", revision)));
    let wakes = Arc::new(WakeCounter::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let mut polls = 0;
    while cursor.progress().is_none() {
        polls += 1;
        assert!(polls < 100, "it makes progress");
        let seen = cursor.poll_next(&mut Context::from_waker(&waker), &Nothing, 100);
        assert!(seen.is_pending());
    }
    assert!(polls >= 4, "5,000 changes in {polls} polls");
    assert_eq!(
        wakes.0.load(Ordering::SeqCst),
        polls - 1,
        "asks to be polled again"
    );
}

#[test]
fn attributes_are_read_once_per_change() {
    let group = group(LIMITS);
    let cache = group.get(&"things").expect("inserted");
    let watched = |name: String| {
        let equality = Some((Attribute::Label, name.into(), "red".into()));
        let scope = Scope::All;
        let cursor = cache.follow(1, Interest { scope, equality });
        cursor.expect("retained")
    };
    let mut cursors: Vec<_> = (0..1000).map(|at| watched(format!("label{at}"))).collect();
    cursors.push(watched("team".to_owned()));
    let Change::Put(thing) = put("a/x", "red", 2) else {
        unreachable!("a put")
    };
    cache.apply([Change::Put(thing.clone())]);
    assert_eq!(thing.asked.load(Ordering::SeqCst), 1);
    let wakes = Arc::new(WakeCounter::default());
    let last = cursors.last_mut().expect("one");
    assert_eq!(poll(last, &wakes), Some(Ok(vec![2])));
}

#[test]
fn replayed_changes_are_ignored() {
    let group = group(LIMITS);
    let cache = group.get(&"things").expect("inserted");
    assert_eq!(cache.apply([put("a/x", "red", 2), put("a/x", "red", 3)]), 2);
    assert_eq!(cache.apply([put("a/x", "red", 2), put("a/x", "red", 3)]), 0);
    assert_eq!(cache.snapshot().revision(), 3);
}

#[test]
fn cursor_with_future_start_skips_earlier_changes() {
    let group = group(LIMITS);
    let cache = group.get(&"things").expect("inserted");
    let wakes = Arc::new(WakeCounter::default());
    let mut cursor = cache
        .follow(5, Interest::in_scope(Scope::All))
        .expect("may be ahead");
    for revision in 2..8 {
        cache.apply([put("a/x", "red", revision)]);
    }
    assert_eq!(poll(&mut cursor, &wakes), Some(Ok(vec![6, 7])));
}

#[test]
fn last_state_is_created_once_for_all_watchers() {
    let group = group(LIMITS);
    let cache = group.get(&"things").expect("inserted");
    cache.apply([
        put("a/x", "red", 2),
        Change::Delete {
            key: "a/x".to_owned(),
            revision: 3,
        },
    ]);
    let last = [(); 2].map(|()| {
        let mut cursor = cache
            .follow(2, Interest::in_scope(Scope::All))
            .expect("retained");
        let waker = Waker::noop();
        let Poll::Ready(Ok(seen)) = cursor.poll_next(&mut Context::from_waker(waker), &All, 1)
        else {
            panic!("the delete waits")
        };
        seen[0].item.clone()
    });
    assert!(Arc::ptr_eq(&last[0].asked, &last[1].asked));
    assert_eq!(last[0].revision, 3);
}

#[tokio::test]
async fn close_ends_cursors_and_waits() {
    let group = group(LIMITS);
    let cache = group.get(&"things").expect("inserted");
    let mut cursor = cache
        .follow(1, Interest::in_scope(Scope::All))
        .expect("retained");
    let ends = async { tokio::join!(cursor.next(&All, 1), group.frontier().reached(9)) };
    let (ends, ()) = tokio::join!(ends, async { group.close() });
    assert!(matches!(
        ends,
        (Err(CursorError::Closed), Err(FrontierClosed))
    ));
}
