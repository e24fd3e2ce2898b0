//! Backlog of a connection: requests that wait for a turn. Reading stops while the backlog is full.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

/// Requests that may wait before reading stops. Further requests would wait as well, and cost
/// nothing in the socket: their heads are not decoded and no tasks are scheduled. Go clients have a
/// tenth of that in flight.
const MAX_WAITING: usize = 16;
/// Bytes per read while requests wait: about as many heads as may wait.
const READ_BYTES: usize = 2 << 10;

/// Number of waiting requests.
#[derive(Clone, Debug, Default)]
pub(super) struct Backlog(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    waiting: AtomicUsize,
    reader: AtomicWaker,
}

/// A waiting request, until dropped.
#[derive(Debug)]
pub(super) struct Waiting(Backlog);

impl Backlog {
    /// Counts a waiting request.
    pub(super) fn wait(&self) -> Waiting {
        self.0.waiting.fetch_add(1, Ordering::AcqRel);
        Waiting(self.clone())
    }

    /// Ready with the number of bytes to read, at most `usual`, once the backlog has room. The wait
    /// is short, because waiting requests are polled regardless of reading.
    pub(super) fn poll_read(&self, cx: &Context<'_>, usual: usize) -> Poll<usize> {
        let bytes = || match self.0.waiting.load(Ordering::Acquire) {
            0 => Some(usual),
            1..MAX_WAITING => Some(usual.min(READ_BYTES)),
            _ => None,
        };
        if let Some(bytes) = bytes() {
            return Poll::Ready(bytes);
        }
        self.0.reader.register(cx.waker());
        // The count may have changed before the waker was registered.
        bytes().map_or(Poll::Pending, Poll::Ready)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let Shared { waiting, reader } = &*self.0.0;
        if waiting.fetch_sub(1, Ordering::AcqRel) == MAX_WAITING {
            reader.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll, Wake, Waker};

    use super::{Backlog, MAX_WAITING, READ_BYTES};

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn reading_resumes_when_backlog_shrinks() {
        let (backlog, woken) = (Backlog::default(), Arc::new(Woken::default()));
        let waker = Waker::from(Arc::clone(&woken));
        let read = || backlog.poll_read(&Context::from_waker(&waker), 16 << 10);
        let woken = || woken.0.load(Ordering::Relaxed);
        assert_eq!(read(), Poll::Ready(16 << 10));
        let mut waiting: Vec<_> = (1..MAX_WAITING).map(|_| backlog.wait()).collect();
        assert_eq!(read(), Poll::Ready(READ_BYTES));
        waiting.extend([backlog.wait(), backlog.wait()]);
        assert_eq!(read(), Poll::Pending);
        waiting.pop();
        assert_eq!(woken(), 0);
        waiting.pop();
        assert_eq!(woken(), 1);
        assert_eq!(read(), Poll::Ready(READ_BYTES));
    }
}
