//! Cursors that follow a collection's changes.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use crate::cache::{AtError, Cache};
use crate::event::{Delivery, Event};
use crate::interest::{IDLE, Interest, Slot};
use crate::item::{Item, Scope, Select};

/// Maximum changes examined per poll, and so per acquisition of the ring's lock. Without it, a
/// selector that matches none of them would block its thread until the end of the history.
const MAX_EXAMINED: usize = 1024;
/// Approximate maximum bytes of changes returned per poll. The last state of a deleted item is
/// created when it is read, which takes time in proportion to its size.
const MAX_TAKEN_BYTES: usize = 4 << 20;

/// A position in a collection's ring of changes. Dropping it ends the watch.
pub struct Cursor<I: Item> {
    cache: Arc<Cache<I>>,
    slot: Arc<Slot>,
    scope: Scope,
    /// Number of the first unread change.
    position: u64,
    /// Changes at or below this revision are skipped.
    after: u64,
    /// Revision of the last read change within the scope.
    read: u64,
}

/// Reason why a cursor ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// Unread changes are no longer retained.
    #[error("fell behind: history begins at revision {oldest}")]
    Behind {
        /// The oldest revision from which changes are retained.
        oldest: u64,
    },
    /// The collection is no longer updated.
    #[error("the collection was dropped")]
    Closed,
}

impl<I: Item> Cache<I> {
    /// Returns a cursor that reads every change above a revision, which may lie in the future.
    ///
    /// # Errors
    /// The oldest possible start, if the revision is no longer retained.
    pub fn follow(self: &Arc<Self>, after: u64, interest: Interest) -> Result<Cursor<I>, AtError> {
        let ring = self.ring().read();
        if after < ring.floor() {
            return Err(AtError::Compacted {
                oldest: ring.floor(),
            });
        }
        let first = ring.number_after(after);
        let scope = interest.scope.clone();
        let slot = Arc::new(Slot::new(interest, first));
        self.index().lock().insert(&slot);
        drop(ring);
        Ok(Cursor {
            cache: Arc::clone(self),
            slot,
            scope,
            position: first,
            after,
            read: 0,
        })
    }
}

impl<I: Item> Cursor<I> {
    /// Waits for changes that `select` matches: at least one, at most `max`. Yields to other tasks
    /// after a bounded number of changes. Cancel-safe.
    ///
    /// # Errors
    /// If the cursor ended. Do not poll again: a further poll returns the same error, or continues
    /// after the gap.
    pub async fn next(
        &mut self,
        select: &dyn Select<I>,
        max: usize,
    ) -> Result<Vec<Delivery<I>>, CursorError> {
        poll_fn(|context| self.poll_next(context, select, max)).await
    }

    /// As [`Cursor::next`].
    ///
    /// # Errors
    /// As [`Cursor::next`].
    pub fn poll_next(
        &mut self,
        context: &mut Context<'_>,
        select: &dyn Select<I>,
        max: usize,
    ) -> Poll<Result<Vec<Delivery<I>>, CursorError>> {
        let mut examined = MAX_EXAMINED;
        while examined > 0 {
            let events = self.read(max.max(1), &mut examined)?;
            let observed: Vec<_> = events
                .iter()
                .filter_map(|event| event.delivery_for(select))
                .collect();
            if !observed.is_empty() {
                return Poll::Ready(Ok(observed));
            }
            self.slot.waker.register(context.waker());
            // Check again: a change may have set the mark before the waker was registered.
            if self.slot.pending.load(Ordering::Acquire) == IDLE {
                return Poll::Pending;
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Returns the revision up to which this cursor has returned everything it will ever return, or
    /// `None` while unread changes are pending. A change that was read before its mark was set
    /// counts as pending until [`Cursor::poll_next`] is polled again.
    #[must_use]
    pub fn progress(&self) -> Option<u64> {
        // Load the frontier first: every change up to it set its mark before the frontier advanced.
        let up_to_revision = self.cache.frontier().up_to_revision();
        let idle = self.slot.pending.load(Ordering::Acquire) == IDLE;
        idle.then(|| up_to_revision.max(self.read))
    }

    /// Takes unread changes of the scope out of the ring, and counts the examined ones in `examined`.
    fn read(
        &mut self,
        max: usize,
        examined: &mut usize,
    ) -> Result<Vec<Arc<Event<I>>>, CursorError> {
        let pending = self.slot.pending.swap(IDLE, Ordering::AcqRel);
        if pending == IDLE {
            return Ok(Vec::new());
        }
        let ring = self.cache.ring().read();
        if ring.closed {
            return Err(CursorError::Closed);
        }
        // Changes before the mark do not concern this cursor, whether retained or not.
        let from = self.position.max(pending);
        if from < ring.first() {
            return Err(CursorError::Behind {
                oldest: ring.floor(),
            });
        }
        let (mut events, mut bytes) = (Vec::new(), 0);
        self.position = from;
        for event in ring.from(from).take(*examined) {
            self.position += 1;
            *examined -= 1;
            if event.revision() > self.after && self.scope.contains(event.key()) {
                self.read = event.revision();
                events.push(Arc::clone(event));
                bytes += event.cost();
                if events.len() == max || bytes > MAX_TAKEN_BYTES {
                    break;
                }
            }
        }
        if self.position < ring.next() {
            self.slot.pending.fetch_min(self.position, Ordering::AcqRel);
        }
        Ok(events)
    }
}

impl<I: Item> Drop for Cursor<I> {
    fn drop(&mut self) {
        self.cache.index().lock().remove(&self.slot);
    }
}

impl<I: Item> std::fmt::Debug for Cursor<I> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = out.debug_struct("Cursor");
        out.field("scope", &self.scope)
            .field("position", &self.position)
            .finish()
    }
}
