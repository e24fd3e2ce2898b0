//! Memory of request bodies, while they arrive and while they are processed.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::Extensions;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

/// Limits of bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyLimits {
    /// Bytes of all bodies that have arrived and whose requests are not complete. 56 MiB: with
    /// `reserve` twice the largest body that a manifest may allow. Beyond it 429.
    pub arrived: usize,
    /// The same for modest bodies that do not fit into `arrived`, so that a few clients with large
    /// bodies do not block all others. 8 MiB: 32 bodies.
    pub reserve: usize,
    /// A body with a `Content-Length` up to this size may use the reserve. kube-apiserver's
    /// `resourceBody99Percentile`.
    pub modest: usize,
    /// Timeout of a body in the reserve: 256 KiB at 1 Mbit/s. Clients that stall must not occupy
    /// the reserve.
    pub modest_time: Duration,
    /// Bytes for decoding and later processing of all requests, estimated as twice the tree of
    /// their bodies. 96 MiB: the heaviest possible body and a copy. Beyond it a request waits.
    pub working: usize,
    /// Requests that need no more are not accounted. 192 KiB: 600 of them, the number of concurrent
    /// requests, need 115 MiB.
    pub light: usize,
    /// Bodies up to this size are not accounted while they arrive: the number of requests bounds
    /// them, and they must not wait for large ones. A tenth of kube-apiserver's
    /// `resourceBody99Percentile` (256 KiB).
    pub small: usize,
    /// Timeout of a client that sends nothing of an announced body.
    pub stall: Duration,
    /// How long a request waits for memory; then 429.
    pub wait: Duration,
}

/// Trees of a request: the received one and the one that it is compared with.
const TREES: usize = 2;
/// Accounting granularity while a body arrives, bytes.
const STEP: usize = 64 << 10;

/// The bodies of a server; clones share the accounts.
#[derive(Debug, Clone)]
pub struct Intake {
    limits: BodyLimits,
    arrived: Arc<Semaphore>,
    reserve: Arc<Semaphore>,
    working: Arc<Semaphore>,
}

/// Accounted memory of a body, until dropped.
#[derive(Debug, Default)]
#[expect(dead_code, reason = "held for their Drop")]
pub struct Reckoned {
    arrived: Option<OwnedSemaphorePermit>,
    working: Option<OwnedSemaphorePermit>,
}

/// Why a body is not available.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The body exceeds its limit.
    #[error("the body is too large")]
    TooLarge,
    /// The memory for bodies is in use.
    #[error("too many large bodies at once")]
    Full,
    /// The client stalled.
    #[error("the body did not arrive in time")]
    Stalled,
    /// The connection broke.
    #[error(transparent)]
    Broken(axum::Error),
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self {
            arrived: 56 << 20,
            reserve: 8 << 20,
            modest: 256 << 10,
            modest_time: Duration::from_secs(2),
            working: 96 << 20,
            light: 192 << 10,
            small: 24 << 10,
            stall: Duration::from_secs(10),
            wait: Duration::from_secs(10),
        }
    }
}

impl Intake {
    /// An empty account.
    #[must_use]
    pub fn new(limits: BodyLimits) -> Self {
        Self {
            limits,
            arrived: Arc::new(Semaphore::new(limits.arrived)),
            reserve: Arc::new(Semaphore::new(limits.reserve)),
            working: Arc::new(Semaphore::new(limits.working)),
        }
    }

    /// The account that the stack left in `extensions`. Requests that bypass the stack (tests of
    /// single layers) get their own.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Self {
        let known = extensions.get::<Self>().cloned();
        known.unwrap_or_else(|| Self::new(BodyLimits::default()))
    }

    /// Reads a body of at most `longest` bytes, and waits until memory for its processing is
    /// available; `weigh` returns the largest possible size of its tree, bytes.
    ///
    /// # Errors
    /// If the body is too large, does not arrive, or does not fit into the memory limits.
    pub async fn read(
        &self,
        mut body: Body,
        longest: usize,
        weigh: impl FnOnce(&[u8]) -> usize,
    ) -> Result<(Bytes, Reckoned), Error> {
        let announced = body.size_hint();
        if announced.lower() > longest as u64 {
            return Err(Error::TooLarge);
        }
        let mut arrival = Arrival {
            intake: self,
            whole: announced
                .exact()
                .and_then(|whole| usize::try_from(whole).ok()),
            held: None,
            deadline: None,
        };
        // Copied, because a frame keeps the whole buffer that it was read into. Reserved capacity
        // that is never written takes no physical memory.
        let mut read = Vec::with_capacity(usize::try_from(announced.lower()).unwrap_or(longest));
        while let Some(frame) = arrival.next(body.frame()).await? {
            let Ok(data) = frame.map_err(Error::Broken)?.into_data() else {
                continue;
            };
            let bytes = read.len() + data.len();
            if bytes > longest {
                return Err(Error::TooLarge);
            }
            if bytes > read.capacity() {
                let room = bytes.max(2 * read.capacity()).min(longest);
                arrival.reckon(room)?;
                read.reserve_exact(room - read.len());
            }
            arrival.reckon(bytes)?;
            read.extend_from_slice(&data);
        }
        let arrived = arrival.held;
        // Frees the frames of the last step before anything is decoded.
        drop(body);
        let working = self.may_work(TREES.saturating_mul(weigh(&read))).await?;
        Ok((read.into(), Reckoned { arrived, working }))
    }

    /// Waits for the memory to process a body.
    async fn may_work(&self, needs: usize) -> Result<Option<OwnedSemaphorePermit>, Error> {
        if needs <= self.limits.light {
            return Ok(None);
        }
        // A body that needs more than the limit waits until it is alone.
        let needs = u32::try_from(needs.min(self.limits.working)).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.working).acquire_many_owned(needs);
        match timeout(self.limits.wait, permit).await {
            Ok(Ok(permit)) => Ok(Some(permit)),
            _ => Err(Error::Full),
        }
    }
}

/// A body that arrives.
struct Arrival<'a> {
    intake: &'a Intake,
    /// Announced length, if any.
    whole: Option<usize>,
    held: Option<OwnedSemaphorePermit>,
    /// Deadline of a body in the reserve.
    deadline: Option<Instant>,
}

impl Arrival<'_> {
    async fn next<T>(&self, frame: impl Future<Output = T>) -> Result<T, Error> {
        let stalled = Instant::now() + self.intake.limits.stall;
        let deadline = self.deadline.map_or(stalled, |all| all.min(stalled));
        timeout_at(deadline, frame)
            .await
            .map_err(|_| Error::Stalled)
    }

    /// Accounts a body of which this many bytes have arrived.
    fn reckon(&mut self, bytes: usize) -> Result<(), Error> {
        let Intake {
            limits, arrived, ..
        } = self.intake;
        let had = self
            .held
            .as_ref()
            .map_or(0, OwnedSemaphorePermit::num_permits);
        let wanted = bytes.saturating_sub(limits.small);
        // A body in the reserve is accounted with its announced length.
        if wanted <= had || self.deadline.is_some() {
            return Ok(());
        }
        let more = u32::try_from((wanted - had).next_multiple_of(STEP)).unwrap_or(u32::MAX);
        let Ok(more) = Arc::clone(arrived).try_acquire_many_owned(more) else {
            return self.use_reserve();
        };
        match &mut self.held {
            Some(held) => held.merge(more),
            None => self.held = Some(more),
        }
        Ok(())
    }

    fn use_reserve(&mut self) -> Result<(), Error> {
        let Intake {
            limits, reserve, ..
        } = self.intake;
        let whole = self.whole.filter(|whole| *whole <= limits.modest);
        let whole = whole.and_then(|whole| u32::try_from(whole).ok());
        let whole = whole.ok_or(Error::Full)?;
        let held = Arc::clone(reserve).try_acquire_many_owned(whole);
        self.held = Some(held.map_err(|_| Error::Full)?);
        self.deadline = Some(Instant::now() + limits.modest_time);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;
    use futures_util::stream;

    use super::*;

    const LIMITS: BodyLimits = BodyLimits {
        arrived: 4 << 20,
        reserve: 1 << 20,
        modest: 512 << 10,
        modest_time: Duration::from_secs(2),
        working: 4 << 20,
        light: 8 << 10,
        small: 1 << 10,
        stall: Duration::from_secs(10),
        wait: Duration::from_secs(10),
    };

    /// A body that stalls after this many bytes.
    fn unfinished(bytes: usize) -> Body {
        let sent = stream::iter([Ok::<_, axum::Error>(Bytes::from(vec![b' '; bytes]))]);
        Body::from_stream(sent.chain(stream::pending()))
    }

    #[tokio::test(start_paused = true)]
    async fn stalled_uploads_are_bounded_and_small_bodies_pass() {
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
    async fn modest_bodies_use_reserve_until_their_deadline() {
        let intake = Intake::new(LIMITS);
        let held = (0..4).map(|_| intake.read(unfinished(1 << 20), 3 << 20, <[u8]>::len));
        let held = futures_util::future::join_all(held);
        let others = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            // Announced and complete; the memory is released.
            for _ in 0..8 {
                let modest = Body::from(vec![b' '; 500 << 10]);
                assert!(intake.read(modest, 3 << 20, <[u8]>::len).await.is_ok());
            }
            let large = Body::from(vec![b' '; 600 << 10]);
            let large = intake.read(large, 3 << 20, <[u8]>::len).await;
            assert!(matches!(large, Err(Error::Full)));
            // Announced and incomplete.
            let mut slow = Arrival {
                intake: &intake,
                whole: Some(500 << 10),
                held: None,
                deadline: None,
            };
            slow.reckon(100 << 10).unwrap();
            let began = Instant::now();
            let next = slow.next(std::future::pending::<()>()).await;
            assert!(matches!(next, Err(Error::Stalled)));
            assert_eq!(began.elapsed(), LIMITS.modest_time);
        };
        let _ = tokio::join!(held, others);
        assert_eq!(intake.reserve.available_permits(), LIMITS.reserve);
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_in_work_delay_others() {
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
        // A body above the limit waits until it is alone, but not forever.
        let largest = intake
            .read(Body::from(vec![b' '; 3 << 20]), 3 << 20, <[u8]>::len)
            .await;
        assert_eq!(largest.unwrap().0.len(), 3 << 20);
    }

    #[tokio::test(start_paused = true)]
    async fn oversized_content_length_is_rejected_before_reading() {
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
