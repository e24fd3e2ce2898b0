//! Progress of the requests of a stream, to tell a driver that hangs from a sender that is slow.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;
use tokio_stream::Stream;

use crate::deadlines::Deadlines;

/// What the transport waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waits {
    /// For the sender of the requests.
    Sender,
    /// For room to send this request.
    Room(u64),
    /// For the response to all requests.
    Response,
}

/// The progress of a stream of requests.
pub(super) struct Taken(watch::Receiver<Waits>);

/// A stream that reports how its items are taken.
struct Observed<S> {
    requests: Pin<Box<S>>,
    waits: watch::Sender<Waits>,
    count: u64,
}

/// Returns the stream, and its progress.
pub(super) fn observed<S: Stream>(requests: S) -> (impl Stream<Item = S::Item>, Taken) {
    let (waits, taken) = watch::channel(Waits::Room(0));
    let observed = Observed {
        requests: Box::pin(requests),
        waits,
        count: 0,
    };
    (observed, Taken(taken))
}

impl Taken {
    /// Returns the exceeded deadline once nothing has happened for so long.
    pub(super) async fn stalled(mut self, deadlines: Deadlines) -> Duration {
        loop {
            let waits = *self.0.borrow_and_update();
            let limit = match waits {
                // The sender has deadlines of its own.
                Waits::Sender => None,
                Waits::Room(_) => Some(deadlines.response),
                Waits::Response => Some(deadlines.work()),
            };
            let changed = self.0.changed();
            match limit {
                Some(limit) => match timeout(limit, changed).await {
                    Ok(Ok(())) => {}
                    // The transport has dropped the requests: a response, or none, follows.
                    Ok(Err(_)) => {
                        tokio::time::sleep(limit).await;
                        return limit;
                    }
                    Err(_) => return limit,
                },
                None => {
                    if changed.await.is_err() {
                        tokio::time::sleep(deadlines.response).await;
                        return deadlines.response;
                    }
                }
            }
        }
    }
}

impl<S: Stream> Stream for Observed<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let polled = self.requests.as_mut().poll_next(cx);
        let waits = match &polled {
            Poll::Pending => Waits::Sender,
            Poll::Ready(Some(_)) => {
                self.count += 1;
                Waits::Room(self.count)
            }
            Poll::Ready(None) => Waits::Response,
        };
        self.waits.send_replace(waits);
        polled
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;
    use tokio::time::Instant;
    use tokio_stream::StreamExt as _;
    use tokio_stream::wrappers::ReceiverStream;

    use super::*;

    const DEADLINES: Deadlines = Deadlines {
        response: Duration::from_secs(5),
    };

    #[tokio::test(start_paused = true)]
    async fn driver_that_takes_no_request_stalls() {
        let (mut requests, taken) = observed(tokio_stream::iter([1, 2, 3]));
        assert_eq!(requests.next().await, Some(1));
        let begun = Instant::now();
        assert_eq!(taken.stalled(DEADLINES).await, DEADLINES.response);
        assert_eq!(begun.elapsed(), DEADLINES.response);
    }

    #[tokio::test(start_paused = true)]
    async fn slow_sender_does_not_stall() {
        let (sender, receiver) = mpsc::channel::<u32>(1);
        let (mut requests, taken) = observed(ReceiverStream::new(receiver));
        let pause = timeout(DEADLINES.work() * 2, requests.next());
        let stalled = taken.stalled(DEADLINES);
        tokio::select! {
            paused = pause => assert!(paused.is_err()),
            limit = stalled => panic!("stalled for {limit:?}"),
        }
        drop(sender);
    }

    #[tokio::test(start_paused = true)]
    async fn end_of_import_may_take_longer() {
        let (mut requests, taken) = observed(tokio_stream::iter([1]));
        assert_eq!(
            (requests.next().await, requests.next().await),
            (Some(1), None)
        );
        let begun = Instant::now();
        assert_eq!(taken.stalled(DEADLINES).await, DEADLINES.work());
        assert_eq!(begun.elapsed(), DEADLINES.work());
    }
}
