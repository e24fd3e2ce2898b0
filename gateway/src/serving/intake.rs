//! Bodies of requests: how much memory they may take together, while they arrive and while they are worked on.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::Extensions;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Bounds of bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyLimits {
    /// Bytes of all bodies that have arrived and whose requests are not answered. 64 MiB: twice the largest
    /// body that a manifest may ask for. Beyond it 429.
    pub arrived: usize,
    /// Bytes that decoding and everything behind it may need for all requests together, reckoned as
    /// twice the tree of their bodies. 96 MiB: the heaviest that a body can have, and its like.
    /// Beyond it a request waits.
    pub working: usize,
    /// Requests that need no more than that are not reckoned. 192 KiB: 600 of them, as many as are served at
    /// once, need 115 MiB.
    pub light: usize,
    /// Bodies up to this size are not reckoned while they arrive: the number of requests bounds them, and they
    /// must not wait behind large ones. A tenth of kube-apiserver's `resourceBody99Percentile` (256 KiB).
    pub small: usize,
    /// How long a client may send nothing of a body that it announced.
    pub stall: Duration,
    /// How long a request waits for others to be worked on; then 429.
    pub wait: Duration,
}

/// Trees that a request has at once: what it brought, and what that is compared with.
const TREES: usize = 2;
/// Bytes that are reckoned at once while a body arrives.
const STEP: usize = 64 << 10;

/// The bodies of a server; clones share them.
#[derive(Debug, Clone)]
pub struct Intake {
    limits: BodyLimits,
    arrived: Arc<Semaphore>,
    working: Arc<Semaphore>,
}

/// What a request's body is reckoned as, until dropped.
#[derive(Debug, Default)]
#[expect(dead_code, reason = "held for their Drop")]
pub struct Reckoned {
    arrived: Option<OwnedSemaphorePermit>,
    working: Option<OwnedSemaphorePermit>,
}

/// Why a body is not there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is larger than it may be.
    #[error("the body is too large")]
    TooLarge,
    /// Others take the memory.
    #[error("too many large bodies at once")]
    Full,
    /// The client did not go on.
    #[error("the body did not arrive in time")]
    Stalled,
    /// The client broke off.
    #[error(transparent)]
    Broken(axum::Error),
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self {
            arrived: 64 << 20,
            working: 96 << 20,
            light: 192 << 10,
            small: 24 << 10,
            stall: Duration::from_secs(10),
            wait: Duration::from_secs(10),
        }
    }
}

impl Intake {
    /// Nothing has arrived yet.
    #[must_use]
    pub fn new(limits: BodyLimits) -> Self {
        Self {
            limits,
            arrived: Arc::new(Semaphore::new(limits.arrived)),
            working: Arc::new(Semaphore::new(limits.working)),
        }
    }

    /// The one that the stack left in `extensions`; requests that did not come through the stack (tests of
    /// single layers) get one of their own.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Self {
        let known = extensions.get::<Self>().cloned();
        known.unwrap_or_else(|| Self::new(BodyLimits::default()))
    }

    /// Reads a body of at most `longest` bytes, and waits until it may be worked on; `weigh` says what its
    /// tree can take at most, bytes.
    ///
    /// # Errors
    /// If it is too large, does not arrive, or takes memory that others have.
    pub async fn read(
        &self,
        mut body: Body,
        longest: usize,
        weigh: impl FnOnce(&[u8]) -> usize,
    ) -> Result<(Bytes, Reckoned), Error> {
        let announced = body.size_hint().lower();
        if announced > longest as u64 {
            return Err(Error::TooLarge);
        }
        // Copied, because a frame holds on to the buffer that it was read into. What is announced and
        // does not come is never touched, so that it takes no memory.
        let mut read = Vec::with_capacity(usize::try_from(announced).unwrap_or(longest));
        let mut arrived = None;
        while let Some(frame) = self.in_time(body.frame()).await? {
            let Ok(data) = frame.map_err(Error::Broken)?.into_data() else {
                continue;
            };
            let bytes = read.len() + data.len();
            if bytes > longest {
                return Err(Error::TooLarge);
            }
            if bytes > read.capacity() {
                let room = bytes.max(2 * read.capacity()).min(longest);
                self.reckon(room, &mut arrived)?;
                read.reserve_exact(room - read.len());
            }
            self.reckon(bytes, &mut arrived)?;
            read.extend_from_slice(&data);
        }
        // The frames of the last step may be dropped before anything is decoded.
        drop(body);
        let working = self.may_work(TREES.saturating_mul(weigh(&read))).await?;
        Ok((read.into(), Reckoned { arrived, working }))
    }

    async fn in_time<T>(&self, next: impl Future<Output = T>) -> Result<T, Error> {
        timeout(self.limits.stall, next)
            .await
            .map_err(|_| Error::Stalled)
    }

    /// Reckons a body of which so many bytes have arrived.
    fn reckon(&self, bytes: usize, held: &mut Option<OwnedSemaphorePermit>) -> Result<(), Error> {
        let had = held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let wanted = bytes.saturating_sub(self.limits.small);
        if wanted <= had {
            return Ok(());
        }
        let more = u32::try_from((wanted - had).next_multiple_of(STEP)).unwrap_or(u32::MAX);
        let more = Arc::clone(&self.arrived)
            .try_acquire_many_owned(more)
            .map_err(|_| Error::Full)?;
        match held {
            Some(held) => held.merge(more),
            None => *held = Some(more),
        }
        Ok(())
    }

    /// Waits until there is memory to work on a body.
    async fn may_work(&self, needs: usize) -> Result<Option<OwnedSemaphorePermit>, Error> {
        if needs <= self.limits.light {
            return Ok(None);
        }
        // The largest of all waits until it is alone.
        let needs = u32::try_from(needs.min(self.limits.working)).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.working).acquire_many_owned(needs);
        match timeout(self.limits.wait, permit).await {
            Ok(Ok(permit)) => Ok(Some(permit)),
            _ => Err(Error::Full),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;
    use futures_util::stream;

    use super::*;

    const LIMITS: BodyLimits = BodyLimits {
        arrived: 4 << 20,
        working: 4 << 20,
        light: 8 << 10,
        small: 1 << 10,
        stall: Duration::from_secs(10),
        wait: Duration::from_secs(10),
    };

    /// A body that stops after so many bytes.
    fn unfinished(bytes: usize) -> Body {
        let sent = stream::iter([Ok::<_, axum::Error>(Bytes::from(vec![b' '; bytes]))]);
        Body::from_stream(sent.chain(stream::pending()))
    }

    #[tokio::test(start_paused = true)]
    async fn uploads_that_are_held_take_no_more_than_their_share_and_small_ones_pass() {
        let intake = Intake::new(LIMITS);
        let uploads = (0..20).map(|_| intake.read(unfinished(1 << 20), 3 << 20, <[u8]>::len));
        let uploads = futures_util::future::join_all(uploads);
        let small = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert!(intake.arrived.available_permits() < 1 << 20);
            intake.read(Body::from("{}"), 3 << 20, <[u8]>::len).await
        };
        let (uploads, small) = tokio::join!(uploads, small);
        assert_eq!(&small.unwrap().0[..], b"{}");
        let (full, stalled): (Vec<_>, Vec<_>) = uploads
            .into_iter()
            .map(Result::unwrap_err)
            .partition(|error| matches!(error, Error::Full));
        assert_eq!((full.len(), stalled.len()), (16, 4));
        assert!(stalled.iter().all(|error| matches!(error, Error::Stalled)));
        assert_eq!(intake.arrived.available_permits(), LIMITS.arrived);
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_that_are_worked_on_make_others_wait() {
        let intake = Intake::new(LIMITS);
        let body = || Body::from(vec![b' '; 1 << 20]);
        let first = intake.read(body(), 3 << 20, <[u8]>::len).await.unwrap();
        let second = intake.read(body(), 3 << 20, <[u8]>::len).await.unwrap();
        let waits = intake.read(body(), 3 << 20, <[u8]>::len);
        assert!(matches!(waits.await, Err(Error::Full)));
        drop(first);
        let third = intake.read(body(), 3 << 20, <[u8]>::len).await;
        assert_eq!(third.unwrap().0.len(), 1 << 20);
        drop(second);
        // More than all there is waits until it is alone, and does not wait for ever.
        let largest = intake
            .read(Body::from(vec![b' '; 3 << 20]), 3 << 20, <[u8]>::len)
            .await;
        assert_eq!(largest.unwrap().0.len(), 3 << 20);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_is_refused_by_its_length_before_it_is_read() {
        let intake = Intake::new(LIMITS);
        let body = Body::from(vec![b' '; 9]);
        assert!(matches!(
            intake.read(body, 8, <[u8]>::len).await,
            Err(Error::TooLarge)
        ));
        let unannounced = intake.read(unfinished(9), 8, <[u8]>::len).await;
        assert!(matches!(unannounced, Err(Error::TooLarge)));
    }
}
