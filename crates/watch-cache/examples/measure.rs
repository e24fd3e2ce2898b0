//! Measures one change, with and without watchers: `cargo run --release -p watch-cache --example
//! measure`.

#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Instant;

use watch_cache::{Attribute, Cache, Change, Cursor, Group, Interest, Item, Limits, Scope, Select};

const CHANGES: u64 = 20_000;
const OBJECTS: u64 = 10_000;

#[derive(Clone)]
struct Thing(Arc<str>, u64);

struct All;

impl Item for Thing {
    fn key(&self) -> &str {
        &self.0
    }

    fn revision(&self) -> u64 {
        self.1
    }

    fn size(&self) -> usize {
        2500
    }

    fn attributes(&self, visit: &mut dyn FnMut(Attribute, &str, &str)) {
        visit(Attribute::Label, "app", "x");
    }

    fn with_resource_version(&self, revision: u64) -> Self {
        Self(self.0.clone(), revision)
    }
}

impl Select<Thing> for All {
    fn matches(&self, _item: &Thing) -> bool {
        true
    }
}

fn main() {
    let limits = Limits {
        history: 64 << 20,
        total: usize::MAX,
    };
    for (watchers, namespace) in [(0, "busy"), (1000, "quiet"), (1000, "busy")] {
        let group = Group::new(1, limits);
        let things = (0..OBJECTS).map(|at| Thing(format!("busy/{at:05}").into(), 1));
        group.insert((), things, 1);
        let cache = group.get(&()).expect("just inserted");
        let mut cursors = follow(&cache, watchers, namespace);
        let (mut revision, mut delivered) = (1, 0);
        let began = Instant::now();
        for at in 0..CHANGES {
            revision += 1;
            let key = format!("busy/{:05}", at * 7919 % OBJECTS);
            cache.apply([Change::Put(Thing(key.into(), revision))]);
            group.frontier().advance(revision);
            group.enforce();
            delivered += read(&mut cursors, namespace == "busy");
        }
        let nanoseconds = began.elapsed().as_nanos();
        let per_change = nanoseconds / u128::from(CHANGES);
        println!(
            "{watchers} watchers, {namespace}: {per_change} ns per change, {delivered} delivered"
        );
    }
}

fn follow(cache: &Arc<Cache<Thing>>, count: usize, namespace: &str) -> Vec<Cursor<Thing>> {
    let interest = || Interest::in_scope(Scope::Namespace(namespace.into()));
    let follow = || cache.follow(1, interest()).expect("history begins at 1");
    let mut cursors: Vec<_> = std::iter::repeat_with(follow).take(count).collect();
    read(&mut cursors, true);
    cursors
}

/// Polls the cursors that were woken, here all or none, as an executor would.
fn read(cursors: &mut [Cursor<Thing>], woken: bool) -> usize {
    let mut context = Context::from_waker(Waker::noop());
    let mut delivered = 0;
    for cursor in cursors.iter_mut().filter(|_| woken) {
        if let std::task::Poll::Ready(Ok(observed)) = cursor.poll_next(&mut context, &All, 64) {
            delivered += observed.len();
        }
    }
    delivered
}
