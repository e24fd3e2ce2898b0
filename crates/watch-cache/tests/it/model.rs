//! Tests of the cache against a naive model that stores every state and every change.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use proptest::prelude::*;
use watch_cache::{
    AtError, Attribute, Change, Cursor, CursorError, Group, Interest, Item, Kind, Limits, Scope,
    Select,
};

#[derive(Clone, Debug, PartialEq, Eq)]
struct Thing {
    key: String,
    revision: u64,
    color: &'static str,
}

impl Item for Thing {
    fn key(&self) -> &str {
        &self.key
    }

    fn revision(&self) -> u64 {
        self.revision
    }

    fn size(&self) -> usize {
        100
    }

    fn attributes(&self, visit: &mut dyn FnMut(Attribute, &str, &str)) {
        visit(Attribute::Label, "color", self.color);
    }

    fn with_resource_version(&self, revision: u64) -> Self {
        Self {
            revision,
            ..self.clone()
        }
    }
}

/// Selects things of one color, or all.
#[derive(Clone, Copy, Debug)]
struct Color(Option<&'static str>);

impl Select<Thing> for Color {
    fn matches(&self, item: &Thing) -> bool {
        self.0.is_none_or(|color| item.color == color)
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// Applies changes together; `None` deletes.
    Apply(Vec<(usize, Option<usize>)>),
    /// Only other collections changed.
    Elsewhere,
    Watch {
        back: u64,
        scope: usize,
        color: Option<usize>,
        hint: bool,
    },
    Read {
        watcher: usize,
        max: usize,
    },
    List {
        back: u64,
    },
    Pin,
}

const KEYS: [&str; 6] = ["a-b/x", "a/x", "a/y", "b/x", "b/y", "c"];
const COLORS: [&str; 3] = ["red", "green", "blue"];
/// Room for about a dozen changes (see `Event::cost`).
const LIMITS: Limits = Limits {
    history: 12 * 900,
    total: usize::MAX,
};

fn scopes() -> [Scope; 4] {
    [
        Scope::All,
        Scope::Namespace("a".into()),
        Scope::Key("b/x".into()),
        Scope::Key("c".into()),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let change = (0..KEYS.len(), prop::option::weighted(0.75, 0..COLORS.len()));
    let step = prop_oneof![
        6 => prop::collection::vec(change, 1..6).prop_map(Step::Apply),
        1 => Just(Step::Elsewhere),
        3 => (0u64..20, 0..4usize, prop::option::of(0..3usize), any::<bool>())
            .prop_map(|(back, scope, color, hint)| Step::Watch { back, scope, color, hint }),
        6 => (any::<usize>(), 1..5usize).prop_map(|(watcher, max)| Step::Read { watcher, max }),
        3 => (0u64..25).prop_map(|back| Step::List { back }),
        1 => Just(Step::Pin),
    ];
    prop::collection::vec(step, 1..120)
}

type State = BTreeMap<String, Thing>;

/// Counts wakes.
#[derive(Default)]
struct WakeCounter(AtomicUsize);

impl Wake for WakeCounter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

struct Follower {
    cursor: Cursor<Thing>,
    scope: Scope,
    color: Color,
    /// Revision of the last delivered change, or of the start.
    at: u64,
    wakes: Arc<WakeCounter>,
    /// Number of wakes when it last had to wait; `None` if it is not waiting.
    waiting_since: Option<usize>,
}

struct World {
    group: Group<(), Thing>,
    revision: u64,
    /// State after each revision.
    states: BTreeMap<u64, State>,
    followers: Vec<Follower>,
}

impl World {
    fn new() -> Self {
        let group = Group::new(10, LIMITS);
        group.insert((), [], 10);
        let states = BTreeMap::from([(10, State::new())]);
        Self {
            group,
            revision: 10,
            states,
            followers: Vec::new(),
        }
    }

    fn cache(&self) -> Arc<watch_cache::Cache<Thing>> {
        self.group.get(&()).expect("inserted in new")
    }

    fn state(&self, revision: u64) -> &State {
        self.states
            .range(..=revision)
            .next_back()
            .expect("begins at 10")
            .1
    }

    fn apply(&mut self, changes: &[(usize, Option<usize>)]) {
        let mut batch = Vec::new();
        for (key, color) in changes {
            let key = KEYS[*key].to_owned();
            let mut state = self.state(self.revision).clone();
            let revision = self.revision + 1;
            match color {
                Some(color) => {
                    let thing = Thing {
                        key: key.clone(),
                        revision,
                        color: COLORS[*color],
                    };
                    state.insert(key, thing.clone());
                    batch.push(Change::Put(thing));
                }
                None if state.remove(&key).is_some() => {
                    batch.push(Change::Delete { key, revision });
                }
                None => continue,
            }
            self.revision = revision;
            self.states.insert(revision, state);
        }
        self.cache().apply(batch);
        self.group.frontier().advance(self.revision);
        self.group.enforce();
    }

    /// Returns the changes between two revisions that a follower should see.
    fn expected(&self, follower: &Follower) -> Vec<(Kind, Thing)> {
        let mut seen = Vec::new();
        for revision in follower.at + 1..=self.revision {
            let (before, after) = (self.state(revision - 1), self.state(revision));
            for key in KEYS.iter().filter(|key| follower.scope.contains(key)) {
                let chosen = |thing: &&Thing| follower.color.matches(thing);
                if before.get(*key) == after.get(*key) {
                    continue;
                }
                let old = before.get(*key).filter(chosen);
                match (old, after.get(*key).filter(chosen)) {
                    (None, Some(new)) => seen.push((Kind::Added, new.clone())),
                    (Some(_), Some(new)) => seen.push((Kind::Modified, new.clone())),
                    (Some(old), None) => {
                        seen.push((
                            Kind::Deleted,
                            Thing {
                                revision,
                                ..old.clone()
                            },
                        ));
                    }
                    (None, None) => {}
                }
            }
        }
        seen
    }

    fn watch(&mut self, back: u64, scope: usize, color: Option<usize>, hint: bool) {
        let after = self.revision.saturating_sub(back).max(1);
        let scope = scopes()[scope].clone();
        let color = Color(color.map(|color| COLORS[color]));
        let equality = color.0.filter(|_| hint);
        let equality = equality.map(|color| (Attribute::Label, "color".into(), color.into()));
        let oldest = self.oldest();
        match self.cache().follow(
            after,
            Interest {
                scope: scope.clone(),
                equality,
            },
        ) {
            Ok(cursor) => {
                assert!(after >= oldest);
                let wakes = Arc::new(WakeCounter::default());
                self.followers.push(Follower {
                    cursor,
                    scope,
                    color,
                    at: after,
                    wakes,
                    waiting_since: None,
                });
            }
            Err(error) => assert_eq!(
                (error, after < oldest),
                (AtError::Compacted { oldest }, true)
            ),
        }
    }

    /// Returns the revision at which the cache's history begins.
    fn oldest(&self) -> u64 {
        match self.cache().at(1) {
            Err(AtError::Compacted { oldest }) => oldest,
            other => panic!("revision 1 was never there: {other:?}"),
        }
    }

    fn read(&mut self, watcher: usize, max: usize) {
        if self.followers.is_empty() {
            return;
        }
        let at = watcher % self.followers.len();
        let oldest = self.oldest();
        let expected = self.expected(&self.followers[at]);
        let follower = &mut self.followers[at];
        let rung = follower.wakes.0.load(Ordering::SeqCst);
        if let (Some(waiting_since), false) = (follower.waiting_since.take(), expected.is_empty()) {
            assert!(
                rung > waiting_since,
                "a sleeper is woken when something concerns it"
            );
        }
        let waker = Waker::from(Arc::clone(&follower.wakes));
        let color = follower.color;
        match follower
            .cursor
            .poll_next(&mut Context::from_waker(&waker), &color, max)
        {
            Poll::Ready(Ok(seen)) => {
                assert!(seen.len() <= max);
                follower.at = seen.last().expect("at least one").revision;
                let seen: Vec<_> = seen
                    .iter()
                    .map(|seen| (seen.kind, seen.item.clone()))
                    .collect();
                assert_eq!(seen, expected[..seen.len()]);
            }
            Poll::Ready(Err(CursorError::Behind { .. })) => {
                assert!(follower.at < oldest, "cut without need");
                self.followers.swap_remove(at);
            }
            Poll::Ready(Err(CursorError::Closed)) => panic!("the collection is open"),
            Poll::Pending => {
                assert_eq!(expected, []);
                let progress = follower.cursor.progress();
                assert_eq!(progress, Some(self.revision));
                follower.waiting_since = Some(rung);
            }
        }
    }

    fn list(&self, back: u64) {
        let cache = self.cache();
        let newest = cache.snapshot();
        assert_eq!(newest.revision(), self.revision);
        let revision = self.revision.saturating_sub(back).max(1);
        let snapshot = match cache.at(revision) {
            Ok(snapshot) => snapshot,
            Err(error) => {
                let oldest = self.oldest();
                assert_eq!(
                    (error, revision < oldest),
                    (AtError::Compacted { oldest }, true)
                );
                return;
            }
        };
        assert_eq!(snapshot.revision(), revision);
        for scope in scopes() {
            for from in [
                Bound::Unbounded,
                Bound::Excluded("a/x"),
                Bound::Included("b/x"),
            ] {
                let iter = snapshot.iter(scope.clone(), from.map(str::to_owned));
                let walked: Vec<_> = iter.collect();
                let range = self
                    .state(revision)
                    .range::<str, _>((from, Bound::Unbounded));
                let inside = range.filter(|(key, _)| scope.contains(key));
                let expected: Vec<_> = inside.map(|(_, thing)| thing.clone()).collect();
                assert_eq!(walked, expected);
                assert_eq!(snapshot.count(&scope, from), expected.len());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn lists_and_watches_agree_with_replay(steps in steps()) {
        let mut world = World::new();
        for step in steps {
            match step {
                Step::Apply(changes) => world.apply(&changes),
                Step::Elsewhere => {
                    world.revision += 1;
                    let revision = world.revision;
                    let state = world.state(revision).clone();
                    world.states.insert(revision, state);
                    world.group.frontier().advance(revision);
                }
                Step::Watch { back, scope, color, hint } => world.watch(back, scope, color, hint),
                Step::Read { watcher, max } => world.read(watcher, max),
                Step::List { back } => world.list(back),
                Step::Pin => world.cache().pin(&world.cache().snapshot()),
            }
        }
        for watcher in (0..world.followers.len()).rev() {
            world.read(watcher, usize::MAX);
        }
    }
}
