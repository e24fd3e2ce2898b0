//! A queue whose owners take turns, so that one who queues thousands makes others wait for one.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

use tokio::sync::oneshot;

/// So many that wait are searched for those who have left.
const MANY: usize = 1024;

/// Something that waits and may have left.
pub(crate) trait Waiter {
    /// Whether its caller has gone.
    fn has_left(&self) -> bool;
}

/// Which one of an owner comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum First {
    /// While more come than can be served, the oldest are those that gave up.
    Newest,
    /// The order in which they came.
    Oldest,
}

/// What waits, by owner. Those who have left are skipped, and searched for when there are many: who asks and
/// leaves cannot fill it.
#[derive(Debug)]
pub(crate) struct FairQueue<K, T> {
    first: First,
    /// Each owner that waits, once.
    rotation: VecDeque<K>,
    lines: HashMap<K, VecDeque<T>>,
    len: usize,
    /// How many there may be before they are searched.
    search_at: usize,
}

impl<K: Clone + Eq + Hash, T: Waiter> FairQueue<K, T> {
    /// Nothing waits.
    pub(crate) fn new(first: First) -> Self {
        Self {
            first,
            rotation: VecDeque::new(),
            lines: HashMap::new(),
            len: 0,
            search_at: MANY,
        }
    }

    /// Queues.
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

    /// The next one, if there is any and it is wanted.
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

    /// The next one.
    pub(crate) fn pop(&mut self) -> Option<T> {
        self.pop_if(|_| true)
    }

    /// Whether the queue is empty.
    pub(crate) fn is_empty(&mut self) -> bool {
        self.skip_left();
        self.len == 0
    }

    /// Drops those who have left until the next one has not.
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

    /// A name, and whether it has left.
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
