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
use tokio::time::{Instant, timeout, timeout_at};

/// Bounds of bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyLimits {
    /// Bytes of all bodies that have arrived and whose requests are not answered. 56 MiB, with `reserve` twice
    /// the largest body that a manifest may ask for. Beyond it 429.
    pub arrived: usize,
    /// The same for modest bodies that find no room there, so that a few clients with large ones do not
    /// stop everybody else. 8 MiB: 32 bodies.
    pub reserve: usize,
    /// A body that says that it is no longer may use the reserve. kube-apiserver's
    /// `resourceBody99Percentile`.
    pub modest: usize,
    /// How long a body in the reserve may take to arrive: 256 KiB at 1 Mbit/s. The reserve is there for
    /// those who send what they announced.
    pub modest_time: Duration,
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
    reserve: Arc<Semaphore>,
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
    /// Nothing has arrived yet.
    #[must_use]
    pub fn new(limits: BodyLimits) -> Self {
        Self {
            limits,
            arrived: Arc::new(Semaphore::new(limits.arrived)),
            reserve: Arc::new(Semaphore::new(limits.reserve)),
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
        // Copied, because a frame holds on to the buffer that it was read into. What is announced and
        // does not come is never touched, so that it takes no memory.
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
        // The frames of the last step may be dropped before anything is decoded.
        drop(body);
        let working = self.may_work(TREES.saturating_mul(weigh(&read))).await?;
        Ok((read.into(), Reckoned { arrived, working }))
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

/// A body that arrives.
struct Arrival<'a> {
    intake: &'a Intake,
    /// Its length, if it was announced.
    whole: Option<usize>,
    held: Option<OwnedSemaphorePermit>,
    /// Of a body in the reserve.
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

    /// Reckons a body of which so many bytes have arrived.
    fn reckon(&mut self, bytes: usize) -> Result<(), Error> {
        let Intake {
            limits, arrived, ..
        } = self.intake;
        let had = self
            .held
            .as_ref()
            .map_or(0, OwnedSemaphorePermit::num_permits);
        let wanted = bytes.saturating_sub(limits.small);
        // What is in the reserve is reckoned as a whole.
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

    /// A body that stops after so many bytes.
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
            // Announced and whole; what is held is given back.
            for _ in 0..8 {
                let modest = Body::from(vec![b' '; 500 << 10]);
                assert!(intake.read(modest, 3 << 20, <[u8]>::len).await.is_ok());
            }
            let large = Body::from(vec![b' '; 600 << 10]);
            let large = intake.read(large, 3 << 20, <[u8]>::len).await;
            assert!(matches!(large, Err(Error::Full)));
            // Announced, and not whole.
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
        // More than all there is waits until it is alone, and does not wait for ever.
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
