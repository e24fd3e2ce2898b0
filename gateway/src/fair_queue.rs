//! A queue in which owners take turns, so that an owner with thousands of items delays another
//! owner by one item only.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

use tokio::sync::oneshot;

/// Number of items at which the queue is searched for abandoned ones.
const MANY: usize = 1024;

/// A queued item whose caller may have left.
pub(crate) trait Waiter {
    /// Whether the caller has left.
    fn has_left(&self) -> bool;
}

/// Which item of an owner is first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum First {
    /// The newest: under overload the oldest callers have probably given up.
    Newest,
    /// Order of arrival.
    Oldest,
}

/// Items by owner. Abandoned items are skipped, and removed when the queue is long, so that they
/// cannot fill it.
#[derive(Debug)]
pub(crate) struct FairQueue<K, T> {
    first: First,
    /// Each owner with items, once.
    rotation: VecDeque<K>,
    lines: HashMap<K, VecDeque<T>>,
    len: usize,
    /// Length at which the next search happens.
    search_at: usize,
}

impl<K: Clone + Eq + Hash, T: Waiter> FairQueue<K, T> {
    /// An empty queue.
    pub(crate) fn new(first: First) -> Self {
        Self {
            first,
            rotation: VecDeque::new(),
            lines: HashMap::new(),
            len: 0,
            search_at: MANY,
        }
    }

    /// Appends an item of an owner.
    pub(crate) fn push(&mut self, owner: K, item: T) {
        let line = self.lines.entry(owner.clone()).or_default();
        if line.is_empty() {
            self.rotation.push_back(owner);
        }
        line.push_back(item);
        self.len += 1;
        if self.len > self.search_at {
            self.search();
        }
    }

    /// The next item, if `wanted` accepts it.
    pub(crate) fn pop_if(&mut self, wanted: impl FnOnce(&T) -> bool) -> Option<T> {
        self.skip_left();
        let owner = self.rotation.front()?;
        let line = self.lines.get_mut(owner)?;
        let next = match self.first {
            First::Newest => line.pop_back_if(|next| wanted(next)),
            First::Oldest => line.pop_front_if(|next| wanted(next)),
        }?;
        self.len -= 1;
        if line.is_empty() {
            self.lines.remove(owner);
            self.rotation.pop_front();
        } else {
            self.rotation.rotate_left(1);
        }
        Some(next)
    }

    /// The next item.
    pub(crate) fn pop(&mut self) -> Option<T> {
        self.pop_if(|_| true)
    }

    /// Whether the queue has no items that still wait.
    pub(crate) fn is_empty(&mut self) -> bool {
        self.skip_left();
        self.len == 0
    }

    /// Removes abandoned items at the front.
    fn skip_left(&mut self) {
        while let Some(owner) = self.rotation.front()
            && let Some(line) = self.lines.get_mut(owner)
        {
            let left = match self.first {
                First::Newest => line.pop_back_if(|next| next.has_left()),
                First::Oldest => line.pop_front_if(|next| next.has_left()),
            };
            match left {
                Some(_) => self.len -= 1,
                None if line.is_empty() => {
                    self.lines.remove(owner);
                    self.rotation.pop_front();
                }
                None => return,
            }
        }
    }

    fn search(&mut self) {
        self.len = 0;
        self.lines.retain(|_, line| {
            line.retain(|item| !item.has_left());
            self.len += line.len();
            !line.is_empty()
        });
        self.rotation.retain(|owner| self.lines.contains_key(owner));
        self.search_at = MANY.max(2 * self.len);
    }
}

impl<T> Waiter for oneshot::Sender<T> {
    fn has_left(&self) -> bool {
        self.is_closed()
    }
}

#[cfg(test)]
mod tests {
    use super::{FairQueue, First, MANY, Waiter};

    /// A name, and whether its caller has left.
    #[derive(Debug)]
    struct Item(&'static str, bool);

    impl Waiter for Item {
        fn has_left(&self) -> bool {
            self.1
        }
    }

    fn queue(first: First) -> FairQueue<char, Item> {
        let mut queue = FairQueue::new(first);
        for name in ["a1", "a2", "a3", "b1", "c1", "c2"] {
            let owner = name.chars().next().unwrap();
            queue.push(owner, Item(name, owner == 'c'));
        }
        queue
    }

    #[test]
    fn owners_take_turns_and_abandoned_items_are_skipped() {
        for (first, expected) in [
            (First::Oldest, ["a1", "b1", "a2", "a3"]),
            (First::Newest, ["a3", "b1", "a2", "a1"]),
        ] {
            let mut queue = queue(first);
            let order: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|it| it.0).collect();
            assert_eq!(order, expected);
            assert!(queue.is_empty() && queue.lines.is_empty() && queue.rotation.is_empty());
        }
    }

    #[test]
    fn unwanted_item_stays_at_front() {
        let mut queue = queue(First::Oldest);
        assert!(queue.pop_if(|item| item.0 == "b1").is_none());
        assert_eq!(queue.pop().unwrap().0, "a1");
    }

    #[test]
    fn abandoned_items_are_removed() {
        let mut queue = queue(First::Oldest);
        for _ in 0..100 * MANY {
            queue.push('d', Item("d", true));
        }
        assert!(queue.len <= MANY);
        for _ in 0..4 * MANY {
            queue.push('e', Item("e", false));
        }
        assert!(queue.len >= 4 * MANY && queue.search_at >= 2 * MANY);
        assert_eq!(queue.rotation.len(), queue.lines.len());
    }
}
