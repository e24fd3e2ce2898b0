//! Resources of a response that are held until its last byte is sent.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker, ready};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::WaitForCancellationFutureOwned;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::auditing::Records;
use super::measure::Observation;
use crate::serving::Lifecycle;
use crate::serving::limits::Seat;
use crate::serving::unsent::{Charge, Extent, Pace, Reader, Window, watch_over};

/// Bodies up to this size are passed on as one frame, without waiting until they are sent. It is
/// HTTP/2's default frame size, bytes.
pub(super) const SMALL: u64 = 16 << 10;

/// A body that holds its request's seat and measurement, is passed on in chunks as fast as the
/// client reads, and ends at the deadline of the request.
pub(super) struct GuardedBody {
    body: Body,
    /// The body has no more data.
    complete: bool,
    end: End,
    guard: Option<ResponseGuard>,
    window: Window,
    pace: Option<Arc<Pace>>,
    /// Remaining bytes of the body, if its length is known.
    left: Option<u64>,
}

/// A small complete body, charged until it is sent.
pub(super) struct SmallBody {
    body: Body,
    charge: Option<Charge>,
}

/// The bytes of a small body.
struct ChargedBytes {
    bytes: Bytes,
    _charge: Option<Charge>,
}

/// Released when the last byte is sent.
#[expect(dead_code, reason = "held for their Drop")]
pub(super) struct ResponseGuard {
    pub(super) seat: Seat,
    pub(super) observation: Observation,
    pub(super) in_flight: Option<TaskTrackerToken>,
    /// End with the response.
    pub(super) records: Records,
}

/// When a body ends before it is complete.
pub(super) enum End {
    /// At its deadline, as a broken stream: an unfinished list must not look complete.
    Deadline(Pin<Box<Sleep>>),
    /// When the server drains, cleanly: a watch may end after any event.
    Drain(Drain),
}

/// The drain signal. Checked for each event of every watch through an atomic, because a token would
/// take a lock that all watches share.
pub(super) struct Drain {
    begun: Arc<AtomicBool>,
    signal: Pin<Box<WaitForCancellationFutureOwned>>,
    /// The registered waker.
    waker: Option<Waker>,
}

impl End {
    /// At the deadline, or at the drain without one.
    pub(super) fn of(deadline: Option<Instant>, lifecycle: &Lifecycle) -> Self {
        match deadline {
            Some(deadline) => Self::Deadline(Box::pin(sleep_until(deadline))),
            None => Self::Drain(Drain::of(lifecycle)),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Deadline(sleep) => Some(sleep.deadline()),
            Self::Drain(_) => None,
        }
    }
}

impl Drain {
    fn of(lifecycle: &Lifecycle) -> Self {
        let signal = lifecycle.not_accepting_new_requests.clone();
        Self {
            begun: Arc::clone(&lifecycle.draining),
            signal: Box::pin(signal.cancelled_owned()),
            waker: None,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.begun.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        let known = self.waker.as_ref();
        if known.is_some_and(|waker| waker.will_wake(cx.waker())) {
            // The flag is set before the waker is called, so it need not be read again.
            return Poll::Pending;
        }
        self.waker = Some(cx.waker().clone());
        self.signal.as_mut().poll(cx)
    }
}

/// The client did not read the response before the deadline.
#[derive(Debug, thiserror::Error)]
#[error("the response was not complete before the deadline")]
struct DeadlineExceeded;

impl GuardedBody {
    /// A body for `reader`; `charge` covers its existing bytes and the `retained` bytes that its
    /// rest is made from.
    pub(super) fn new(
        body: Body,
        end: End,
        guard: ResponseGuard,
        reader: Reader,
        (charge, retained): (Option<Charge>, usize),
    ) -> Self {
        let pace = Pace::new(reader, end.deadline());
        let left = body.size_hint().exact();
        let extent = match left {
            Some(_) => Extent::Whole,
            None => Extent::Begun { retained },
        };
        Self {
            left,
            body,
            complete: false,
            end,
            guard: Some(guard),
            window: Window::new(Arc::clone(&pace), charge, extent),
            pace: Some(pace),
        }
    }

    /// Ready if the body must end; at a clean end a started piece is passed on first.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<Option<axum::Error>> {
        match &mut self.end {
            End::Deadline(sleep) => sleep
                .as_mut()
                .poll(cx)
                .map(|()| Some(axum::Error::new(DeadlineExceeded))),
            End::Drain(drain) if self.window.is_empty() => drain.poll(cx).map(|()| None),
            End::Drain(_) => Poll::Pending,
        }
    }

    fn chunk(&mut self, cx: &Context<'_>) -> Poll<Frame<Bytes>> {
        let chunk = ready!(self.window.poll_chunk(cx));
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(chunk.len() as u64);
        }
        Poll::Ready(Frame::data(chunk))
    }
}

impl http_body::Body for GuardedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        if let Some(pace) = this.pace.take()
            && !watch_over(&pace)
        {
            this.window.not_carried();
        }
        loop {
            if let Poll::Ready(error) = this.poll_over(cx) {
                this.guard = None;
                return Poll::Ready(error.map(Err));
            }
            if !this.window.is_empty() {
                return this.chunk(cx).map(|frame| Some(Ok(frame)));
            }
            if this.complete {
                // Until then the stream can be reset and its data freed.
                ready!(this.window.poll_sent(cx));
                this.guard = None;
                return Poll::Ready(None);
            }
            ready!(this.window.poll_room(cx));
            match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                None => this.complete = true,
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(piece) => this.window.put(piece),
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let complete = self.complete || self.body.is_end_stream();
        complete && self.window.is_empty() && self.window.is_sent()
    }

    fn size_hint(&self) -> SizeHint {
        self.left
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl SmallBody {
    /// A small body, covered by `charge`.
    pub(super) fn new(body: Body, charge: Charge) -> Self {
        Self {
            body,
            charge: Some(charge),
        }
    }
}

impl http_body::Body for SmallBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        Poll::Ready(frame.map(|frame| {
            let charge = self.charge.take();
            frame.map(|frame| {
                frame.map_data(|bytes| {
                    Bytes::from_owner(ChargedBytes {
                        bytes,
                        _charge: charge,
                    })
                })
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl AsRef<[u8]> for ChargedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
