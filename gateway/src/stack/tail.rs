//! What stays with a streamed answer until its last byte is handed over.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::Sleep;
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::measure::Observation;
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
    Drain(Pin<Box<WaitForCancellationFutureOwned>>),
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
            End::Drain(drain) => drain.as_mut().poll(cx).map(|()| None),
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
