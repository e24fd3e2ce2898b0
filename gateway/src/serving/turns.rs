//! Turns for handshakes and polls of requests.
//!
//! A bounded number is computed at a time. Those that wait are not in the queue of the runtime,
//! where they would delay everything that arrives later.
//!
//! - Handshakes: each costs about as much as ten requests, and a client needs one packet to start
//!   it. Addresses take turns, and the newest handshake of an address comes first: under overload
//!   the oldest clients have probably given up.
//! - Requests: connections take turns, so that a client with thousands of connections delays
//!   another one by one poll per connection. The oldest request of a connection comes first.

use std::future::poll_fn;
use std::hash::Hash;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::backlog::{Backlog, Waiting};
use crate::fair_queue::{FairQueue, First};

/// The turns of all owners; `K` identifies an owner.
#[derive(Debug)]
pub(super) struct Turns<K: Key>(Mutex<Queue<K>>);

/// An owner of turns: an address or a connection.
pub(super) trait Key: Copy + Eq + Hash {}

impl<K: Copy + Eq + Hash> Key for K {}

/// A turn; passed to the next waiter when dropped.
#[derive(Debug)]
pub(super) struct Turn<K: Key>(Arc<Turns<K>>);

/// Bounded by connections and streams: at most about twice as many wait.
#[derive(Debug)]
struct Queue<K: Key> {
    free: usize,
    waiting: FairQueue<K, oneshot::Sender<Turn<K>>>,
}

impl<K: Key> Turns<K> {
    /// At most `at_once` turns at a time.
    pub(super) fn new(at_once: usize, first: First) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Queue {
            free: at_once,
            waiting: FairQueue::new(first),
        })))
    }

    /// Waits for a turn.
    pub(super) async fn turn(self: &Arc<Self>, key: K) -> Turn<K> {
        loop {
            let receiver = {
                let mut queue = self.0.lock();
                if queue.free > 0 {
                    queue.free -= 1;
                    return Turn(Arc::clone(self));
                }
                let (sender, receiver) = oneshot::channel();
                queue.waiting.push(key, sender);
                receiver
            };
            // The queue never drops a sender without a turn.
            if let Ok(turn) = receiver.await {
                return turn;
            }
        }
    }

    /// Runs a future with one turn per poll. `backlog` counts waiting requests; `waiting` is the
    /// count of this one until its first turn.
    pub(super) async fn run<F: Future + Unpin>(
        self: &Arc<Self>,
        key: K,
        backlog: &Backlog,
        waiting: Waiting,
        mut future: F,
    ) -> F::Output {
        let mut waiting = Some(waiting);
        loop {
            let waiting = waiting.take().unwrap_or_else(|| backlog.wait());
            let turn = self.turn(key).await;
            drop(waiting);
            let polled = poll_fn(|cx| Poll::Ready(Pin::new(&mut future).poll(cx))).await;
            drop(turn);
            if let Poll::Ready(output) = polled {
                return output;
            }
            woken().await;
        }
    }
}

/// Returns when the task is woken. The previous poll of the future has registered the waker.
async fn woken() {
    let mut polled = false;
    poll_fn(|_| {
        if std::mem::replace(&mut polled, true) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

impl<K: Key> Drop for Turn<K> {
    fn drop(&mut self) {
        let next = {
            let mut queue = self.0.0.lock();
            let next = queue.waiting.pop();
            queue.free += usize::from(next.is_none());
            next
        };
        // Outside of the lock: a turn without a receiver is dropped, which locks again.
        if let Some(next) = next {
            drop(next.send(Self(Arc::clone(&self.0))));
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinSet;

    use super::*;

    /// The order in which waiters get a turn.
    async fn order(first: First) -> Vec<&'static str> {
        let turns = Turns::new(1, first);
        let held = turns.turn(9).await;
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        for (name, key) in [("a1", 1), ("a2", 1), ("a3", 1), ("b1", 2)] {
            let (turns, order) = (Arc::clone(&turns), Arc::clone(&order));
            tasks.spawn(async move {
                let turn = turns.turn(key).await;
                order.lock().push(name);
                drop(turn);
            });
            tokio::task::yield_now().await;
        }
        // A waiter that left.
        let gone = Box::pin(turns.turn(2));
        assert!(futures_util::FutureExt::now_or_never(gone).is_none());
        drop(held);
        while tasks.join_next().await.is_some() {}
        assert_eq!(turns.0.lock().free, 1);
        assert!(turns.0.lock().waiting.is_empty());
        Arc::try_unwrap(order).unwrap().into_inner()
    }

    #[tokio::test]
    async fn keys_take_turns_and_order_within_key_is_configurable() {
        assert_eq!(order(First::Newest).await, ["a3", "b1", "a2", "a1"]);
        assert_eq!(order(First::Oldest).await, ["a1", "b1", "a2", "a3"]);
    }

    #[tokio::test(start_paused = true)]
    async fn turn_is_released_while_handshake_waits_for_client() {
        let (turns, origin) = (Turns::new(1, First::Newest), 1);
        let backlog = Backlog::default();
        let second = std::time::Duration::from_secs(1);
        let slow = Box::pin(tokio::time::sleep(second));
        let (_, quick) = tokio::join!(turns.run(origin, &backlog, backlog.wait(), slow), async {
            tokio::task::yield_now().await;
            let begun = tokio::time::Instant::now();
            drop(turns.turn(origin).await);
            begun.elapsed()
        });
        assert!(quick < second);
    }
}
