//! Turns at computing a handshake.
//!
//! A handshake costs about as much as ten requests, and a client needs one packet to ask for it. So
//! only some are computed at once; those that wait are not in the runtime's queue, where they would be
//! before everything else that happens meanwhile. Addresses take turns, and of one address the newest
//! comes first: while more come than can be computed, the oldest are those that gave up.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::slots::Origin;

/// The turns of a server.
#[derive(Debug)]
pub(super) struct Turns(Mutex<Queue>);

/// A turn; the next one's when dropped.
#[derive(Debug)]
pub(super) struct Turn(Arc<Turns>);

/// Bounded by the slots of clients without a valid certificate: at most about twice as many wait.
#[derive(Debug)]
struct Queue {
    free: usize,
    /// Each address that waits, once.
    rotation: VecDeque<Origin>,
    waiting: HashMap<Origin, Vec<oneshot::Sender<Turn>>>,
}

impl Turns {
    /// So many at once.
    pub(super) fn new(at_once: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Queue {
            free: at_once,
            rotation: VecDeque::new(),
            waiting: HashMap::new(),
        })))
    }

    /// Waits for a turn.
    pub(super) async fn turn(self: &Arc<Self>, origin: Origin) -> Turn {
        loop {
            let receiver = {
                let mut queue = self.0.lock();
                if queue.free > 0 {
                    queue.free -= 1;
                    return Turn(Arc::clone(self));
                }
                queue.push(origin)
            };
            // Fails only if the queue dropped the sender, which it does not.
            if let Ok(turn) = receiver.await {
                return turn;
            }
        }
    }

    /// Runs a future whose polls compute, one turn for each poll.
    pub(super) async fn run<F: Future + Unpin>(
        self: &Arc<Self>,
        origin: Origin,
        mut future: F,
    ) -> F::Output {
        loop {
            let turn = self.turn(origin).await;
            let polled = poll_fn(|cx| Poll::Ready(Pin::new(&mut future).poll(cx))).await;
            drop(turn);
            if let Poll::Ready(output) = polled {
                return output;
            }
            woken().await;
        }
    }
}

/// Returns when the task is woken. The future that was polled before has arranged for that.
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

impl Queue {
    fn push(&mut self, origin: Origin) -> oneshot::Receiver<Turn> {
        let (sender, receiver) = oneshot::channel();
        let waiting = self.waiting.entry(origin).or_default();
        if waiting.is_empty() {
            self.rotation.push_back(origin);
        }
        // Those that were evicted meanwhile make room before more is taken.
        if waiting.len() == waiting.capacity() {
            waiting.retain(|waiting| !waiting.is_closed());
        }
        waiting.push(sender);
        receiver
    }

    fn pop(&mut self) -> Option<oneshot::Sender<Turn>> {
        while let Some(origin) = self.rotation.pop_front() {
            let Some(waiting) = self.waiting.get_mut(&origin) else {
                continue;
            };
            // Some are of clients that are gone.
            let newest = std::iter::from_fn(|| waiting.pop()).find(|it| !it.is_closed());
            if waiting.is_empty() {
                self.waiting.remove(&origin);
            } else {
                self.rotation.push_back(origin);
            }
            if newest.is_some() {
                return newest;
            }
        }
        None
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let next = {
            let mut queue = self.0.0.lock();
            let next = queue.pop();
            queue.free += usize::from(next.is_none());
            next
        };
        // Outside of the lock: a turn that cannot be given is dropped, and comes back here.
        if let Some(next) = next {
            drop(next.send(Self(Arc::clone(&self.0))));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use tokio::task::JoinSet;

    use super::*;

    #[tokio::test]
    async fn addresses_take_turns_and_their_newest_comes_first() {
        let turns = Turns::new(1);
        let held = turns.turn(Origin::of([10, 0, 0, 9].into())).await;
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        for (name, address) in [("a1", 1), ("a2", 1), ("a3", 1), ("b1", 2)] {
            let (turns, order) = (Arc::clone(&turns), Arc::clone(&order));
            let origin = Origin::of(IpAddr::from([10, 0, 0, address]));
            tasks.spawn(async move {
                let turn = turns.turn(origin).await;
                order.lock().push(name);
                drop(turn);
            });
            tokio::task::yield_now().await;
        }
        // One that waits no longer.
        let gone = Box::pin(turns.turn(Origin::of([10, 0, 0, 2].into())));
        assert!(futures_util::FutureExt::now_or_never(gone).is_none());
        drop(held);
        while tasks.join_next().await.is_some() {}
        assert_eq!(*order.lock(), ["a3", "b1", "a2", "a1"]);
        assert_eq!(turns.0.lock().free, 1);
        assert!(turns.0.lock().waiting.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_is_given_back_while_a_handshake_waits_for_its_client() {
        let turns = Turns::new(1);
        let origin = Origin::of([10, 0, 0, 1].into());
        let second = std::time::Duration::from_secs(1);
        let slow = Box::pin(tokio::time::sleep(second));
        let (_, quick) = tokio::join!(turns.run(origin, slow), async {
            tokio::task::yield_now().await;
            let begun = tokio::time::Instant::now();
            drop(turns.turn(origin).await);
            begun.elapsed()
        });
        assert!(quick < second);
    }
}
