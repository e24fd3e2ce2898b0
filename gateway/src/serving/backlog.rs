//! Requests of a connection that wait for their turn: while there are many, no more are read.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

/// So many wait before the connection is read no further. What it would bring has to wait as well, and in
/// the socket it costs nothing: heads need not be decoded, nor tasks be scheduled, before others had their
/// turn. Go clients have a tenth of that under way.
const MAX_WAITING: usize = 16;
/// How much is read at once while some wait: about as many heads as may wait.
const READ_BYTES: usize = 2 << 10;

/// How many wait.
#[derive(Clone, Debug, Default)]
pub(super) struct Backlog(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    waiting: AtomicUsize,
    reader: AtomicWaker,
}

/// A request that waits, until dropped.
#[derive(Debug)]
pub(super) struct Waiting(Backlog);

impl Backlog {
    /// A request waits.
    pub(super) fn wait(&self) -> Waiting {
        self.0.waiting.fetch_add(1, Ordering::AcqRel);
        Waiting(self.clone())
    }

    /// How many bytes to read at once, at most `usual`, as soon as few are waiting. It does not take long:
    /// what waits is polled, whatever comes of it.
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
        // It may have changed before the waker was there.
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
