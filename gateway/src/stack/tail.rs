//! What stays with a streamed answer until its last byte is handed over.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker, ready};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::Sleep;
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::measure::Observation;
use crate::serving::Lifecycle;
use crate::serving::limits::Seat;

/// A body that keeps its request's seat and measurement, and ends when the request's time is over.
pub(super) struct Tail {
    pub(super) body: Body,
    pub(super) end: End,
    pub(super) held: Option<Held>,
}

/// Given back when the last byte has gone.
#[expect(dead_code, reason = "held for their Drop")]
pub(super) struct Held {
    pub(super) seat: Seat,
    pub(super) observation: Observation,
    pub(super) in_flight: Option<tokio_util::task::task_tracker::TaskTrackerToken>,
}

/// When a body ends before it is complete.
pub(super) enum End {
    /// At its deadline, as a broken stream: an unfinished list must not look whole.
    Deadline(Pin<Box<Sleep>>),
    /// When the server drains, cleanly: a watch may end after any event.
    Drain(Drain),
}

/// The server's wish to drain, looked at once per event of every watch: a token alone would take a
/// lock that all of them share.
pub(super) struct Drain {
    begun: Arc<AtomicBool>,
    signal: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Who is woken by the signal.
    waker: Option<Waker>,
}

impl Drain {
    pub(super) fn of(lifecycle: &Lifecycle) -> Self {
        let signal = lifecycle.shutdown_initiated.clone();
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
            // Whoever begins says so before waking.
            return Poll::Pending;
        }
        self.waker = Some(cx.waker().clone());
        self.signal.as_mut().poll(cx)
    }
}

/// The client did not take the answer in time.
#[derive(Debug, thiserror::Error)]
#[error("the answer was not complete within the allotted timeout")]
struct Late;

impl http_body::Body for Tail {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let over = match &mut self.end {
            End::Deadline(sleep) => sleep
                .as_mut()
                .poll(cx)
                .map(|()| Some(Err(axum::Error::new(Late)))),
            End::Drain(drain) => drain.poll(cx).map(|()| None),
        };
        if over.is_ready() {
            self.held = None;
            return over;
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if frame.is_none() {
            self.held = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
