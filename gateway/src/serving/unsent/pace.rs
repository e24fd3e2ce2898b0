//! Pacing of a response: bytes passed to the connection and not sent yet.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use tokio::time::{Instant, Sleep, sleep};

use super::{Charge, LOOK_FOR_ROOM, Reader};

/// Bytes of one response in the connection before more are produced or passed on.
const WINDOW: usize = 256 << 10;
/// Bytes per chunk that is passed to the connection. If the client stops reading, a chunk stays in
/// the stream: this is the memory of such a stream besides the piece it is cut from.
const CHUNK: usize = 32 << 10;

/// A response that is being sent.
#[derive(Debug)]
pub(crate) struct Pace {
    reader: Reader,
    /// Deadline of the complete response, if any.
    deadline: Option<Instant>,
    /// Bytes passed on and not sent.
    handed: AtomicUsize,
    begun: Instant,
    /// When bytes were last sent, or passed on after everything had been sent; milliseconds since
    /// `begun`.
    moved: AtomicU64,
    /// The body was dropped; its chunks may still exist.
    ended: AtomicBool,
    waker: AtomicWaker,
}

/// The piece of a response that is passed on, chunk by chunk.
pub(crate) struct Window {
    pace: Arc<Pace>,
    rest: Bytes,
    charge: Option<Arc<Charge>>,
    /// Charge of the bytes that existed at the start, until the first piece is taken.
    paid: Option<Charge>,
    /// Charge of the bytes that the body holds besides its pieces.
    retained: Option<Charge>,
    extent: Extent,
    /// Whether a connection carries the response, so that chunks are dropped when they are sent.
    carried: bool,
    /// Fires at the next check for room.
    retry: Option<std::pin::Pin<Box<Sleep>>>,
}

/// How much of a response exists at its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// All of it.
    Whole,
    /// The first piece, and the bytes that the rest is made from.
    Begun {
        /// Bytes that are held until the response is complete.
        retained: usize,
    },
}

/// A part of a piece, held by the connection.
struct Chunk {
    bytes: Bytes,
    pace: Arc<Pace>,
    charge: Option<Arc<Charge>>,
}

impl Pace {
    pub(crate) fn new(reader: Reader, deadline: Option<Instant>) -> Arc<Self> {
        Arc::new(Self {
            reader,
            deadline,
            handed: AtomicUsize::new(0),
            begun: Instant::now(),
            moved: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        })
    }

    /// Whether the body ended and everything was sent.
    pub(super) fn is_over(&self) -> bool {
        self.ended.load(Ordering::Acquire) && self.handed.load(Ordering::Acquire) == 0
    }

    /// Whether the client exceeded its timeout.
    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        let expired = self.deadline.is_some_and(|deadline| now >= deadline);
        let waits = self.handed.load(Ordering::Acquire) > 0;
        expired || waits && self.idle(now) >= self.reader.stall_timeout()
    }

    /// Time of the next timeout check.
    pub(super) fn next_look(&self, now: Instant) -> Instant {
        let limits = self.reader.limits();
        let waits = self.handed.load(Ordering::Acquire) > 0;
        // A watch without events is checked rarely, so that it costs next to nothing.
        let tick = now
            + if waits {
                limits.tick()
            } else {
                limits.stall / 3
            };
        self.deadline.map_or(tick, |deadline| deadline.min(tick))
    }

    fn idle(&self, now: Instant) -> Duration {
        let moved = Duration::from_millis(self.moved.load(Ordering::Relaxed));
        now.saturating_duration_since(self.begun + moved)
    }

    fn touch(&self) {
        let since = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved.store(since, Ordering::Relaxed);
    }

    /// Ready when at most `bytes` are passed on and unsent.
    fn poll_handed(&self, bytes: usize, cx: &Context<'_>) -> Poll<()> {
        if self.handed.load(Ordering::Acquire) <= bytes {
            return Poll::Ready(());
        }
        self.waker.register(cx.waker());
        // The count may have changed before the waker was registered.
        if self.handed.load(Ordering::Acquire) <= bytes {
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

impl Window {
    /// An empty window; `paid` is the charge of existing bytes.
    pub(crate) fn new(pace: Arc<Pace>, paid: Option<Charge>, extent: Extent) -> Self {
        Self {
            pace,
            rest: Bytes::new(),
            charge: None,
            paid,
            retained: None,
            extent,
            carried: true,
            retry: None,
        }
    }

    /// Takes a piece and charges it.
    pub(crate) fn put(&mut self, piece: Bytes) {
        self.charge = Some(Arc::new(self.pace.reader.charge(piece.len())));
        self.rest = piece;
        if let (Some(mut paid), Extent::Begun { retained: 1.. }) = (self.paid.take(), self.extent) {
            paid.resize(self.extent.retained());
            self.retained = Some(paid);
        }
    }

    /// No connection carries the response (tests of single layers): chunks may be held by the
    /// caller, so nothing waits for them.
    pub(crate) fn not_carried(&mut self) {
        self.carried = false;
    }

    /// Ready when at most `bytes` are passed on and unsent.
    fn poll_handed(&self, bytes: usize, cx: &Context<'_>) -> Poll<()> {
        if self.carried {
            self.pace.poll_handed(bytes, cx)
        } else {
            Poll::Ready(())
        }
    }

    /// Whether no piece is being passed on.
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next chunk, once the connection has room for it.
    pub(crate) fn poll_chunk(&mut self, cx: &Context<'_>) -> Poll<Bytes> {
        std::task::ready!(self.poll_handed(WINDOW - CHUNK, cx));
        let bytes = self.rest.split_to(self.rest.len().min(CHUNK));
        let charge = if self.rest.is_empty() {
            self.charge.take()
        } else {
            self.charge.clone()
        };
        if self.pace.handed.fetch_add(bytes.len(), Ordering::AcqRel) == 0 {
            self.pace.touch();
        }
        let pace = Arc::clone(&self.pace);
        Poll::Ready(Bytes::from_owner(Chunk {
            bytes,
            pace,
            charge,
        }))
    }

    /// Ready when there is room for another piece.
    pub(crate) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // Existing bytes are charged already.
        let there = self.extent == Extent::Whole || self.paid.is_some();
        let retained = self.retained.as_ref().map_or(0, Charge::bytes);
        while !there && !self.pace.reader.has_room(retained) {
            let retry = self
                .retry
                .get_or_insert_with(|| Box::pin(sleep(LOOK_FOR_ROOM)));
            std::task::ready!(retry.as_mut().poll(cx));
            self.retry = None;
        }
        self.poll_handed(WINDOW - CHUNK, cx)
    }

    /// Ready when everything was sent.
    pub(crate) fn poll_sent(&self, cx: &Context<'_>) -> Poll<()> {
        self.poll_handed(0, cx)
    }

    /// Whether everything was sent.
    pub(crate) fn is_sent(&self) -> bool {
        !self.carried || self.pace.handed.load(Ordering::Acquire) == 0
    }
}

impl Extent {
    const fn retained(self) -> usize {
        match self {
            Self::Whole => 0,
            Self::Begun { retained } => retained,
        }
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        self.pace.ended.store(true, Ordering::Release);
    }
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        self.pace.touch();
        if let Some(charge) = &self.charge {
            charge.moved();
        }
        let length = self.bytes.len();
        self.pace.handed.fetch_sub(length, Ordering::AcqRel);
        self.pace.waker.wake();
    }
}
