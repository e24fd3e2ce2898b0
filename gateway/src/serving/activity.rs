//! What one connection is doing, and until when it may go on doing that.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::Bounds;

/// Length of the HTTP/2 preface.
const PREFACE_BYTES: u64 = 24;

/// While slots are short, a client that takes longer for a step of its handshake counts as one that does
/// not want to authenticate.
const PROMPT: Duration = Duration::from_secs(1);

/// How far a connection has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Stage {
    /// No complete ClientHello yet.
    Silent,
    /// Between ClientHello and the end of the handshake.
    Handshaking,
    /// Established without a valid certificate.
    Unauthenticated,
    /// Established with a valid certificate.
    Authenticated,
}

/// The order in which connections are evicted while slots are short, and among equals the oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// Does not go on with its handshake.
    Stalled,
    /// Cannot authenticate any more.
    Unauthenticated,
    /// May be about to authenticate.
    Prompt,
    /// Has a valid certificate, and no request.
    Idle,
}

/// Shared by a connection's task, its requests and the table of all connections. Times are milliseconds
/// since the connection was accepted.
#[derive(Debug)]
pub(super) struct Activity {
    accepted: Instant,
    stage: AtomicU8,
    http2: AtomicBool,
    /// Requests whose response is not complete.
    open: AtomicUsize,
    /// Whether there was a request yet.
    requested: AtomicBool,
    /// When the stage or `open` changed from or to zero last.
    since: AtomicU64,
    /// When the first byte of an unfinished HTTP/1.1 head came, plus one; 0 if there is none.
    head: AtomicU64,
    received: AtomicU64,
    unread: AtomicBool,
    /// Cancelled when the slot is taken away.
    pub(super) evicted: CancellationToken,
}

/// Keeps a request counted as open.
#[derive(Debug)]
pub(super) struct Open(Arc<Activity>);

impl Activity {
    /// A connection that was just accepted.
    pub(super) fn new() -> Self {
        Self {
            accepted: Instant::now(),
            stage: AtomicU8::new(Stage::Silent as u8),
            http2: AtomicBool::new(false),
            open: AtomicUsize::new(0),
            requested: AtomicBool::new(false),
            since: AtomicU64::new(0),
            head: AtomicU64::new(0),
            received: AtomicU64::new(0),
            unread: AtomicBool::new(false),
            evicted: CancellationToken::new(),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.accepted.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The connection reached a stage.
    pub(super) fn reached(&self, stage: Stage) {
        self.since.store(self.now(), Ordering::Relaxed);
        self.stage.store(stage as u8, Ordering::Relaxed);
    }

    /// The client chose HTTP/2.
    pub(super) fn speaks_http2(&self) {
        self.http2.store(true, Ordering::Relaxed);
    }

    fn has_reached(&self, stage: Stage) -> bool {
        self.stage.load(Ordering::Relaxed) == stage as u8
    }

    /// Whether the client has a valid certificate.
    pub(super) fn is_authenticated(&self) -> bool {
        self.has_reached(Stage::Authenticated)
    }

    /// Whether a request is open.
    pub(super) fn is_busy(&self) -> bool {
        self.open.load(Ordering::Relaxed) > 0
    }

    /// Bytes came from the client.
    pub(super) fn received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
        let idle = !self.is_busy() && !self.http2.load(Ordering::Relaxed);
        if idle && self.head.load(Ordering::Relaxed) == 0 {
            self.head.store(self.now() + 1, Ordering::Relaxed);
        }
    }

    /// A complete head came.
    pub(super) fn begin(self: &Arc<Self>) -> Open {
        if self.open.fetch_add(1, Ordering::Relaxed) == 0 {
            self.since.store(self.now(), Ordering::Relaxed);
        }
        self.requested.store(true, Ordering::Relaxed);
        self.head.store(0, Ordering::Relaxed);
        Open(Arc::clone(self))
    }

    /// Whether the client may still be sending a request that was refused.
    pub(super) fn is_unread(&self) -> bool {
        self.unread.load(Ordering::Relaxed) || self.head.load(Ordering::Relaxed) > 0
    }

    /// The order in which connections are evicted, the smallest first; `None` if it must not be.
    pub(super) fn rank(&self) -> Option<(Rank, Instant)> {
        let since = self.at(self.since.load(Ordering::Relaxed));
        let rank = if self.is_authenticated() {
            if self.is_busy() {
                return None;
            }
            Rank::Idle
        } else if self.has_reached(Stage::Unauthenticated) {
            Rank::Unauthenticated
        } else if since.elapsed() < PROMPT {
            Rank::Prompt
        } else {
            Rank::Stalled
        };
        Some((rank, since))
    }

    /// When the connection is to be closed if nothing changes; `None` while it need not be.
    pub(super) fn due(&self, bounds: &Bounds) -> Option<Instant> {
        let since = self.at(self.since.load(Ordering::Relaxed));
        let requested = self.requested.load(Ordering::Relaxed);
        let http2 = self.http2.load(Ordering::Relaxed);
        if self.is_busy() {
            return (!self.is_authenticated()).then(|| since + bounds.head);
        }
        if !requested {
            let first = self.accepted + bounds.head;
            let preface = self.received.load(Ordering::Relaxed) >= PREFACE_BYTES;
            return Some(if http2 && !preface {
                first.min(since + bounds.preface)
            } else {
                first
            });
        }
        match self.head.load(Ordering::Relaxed) {
            0 => Some(since + bounds.idle),
            head => Some(self.at(head) + bounds.head),
        }
    }

    /// Whether an HTTP/2 connection without a valid certificate has had its one request. kube-apiserver
    /// takes no second one either (`UnauthenticatedHTTP2DOSMitigation`, CVE-2023-44487).
    pub(super) fn is_exhausted(&self) -> bool {
        self.http2.load(Ordering::Relaxed)
            && self.requested.load(Ordering::Relaxed)
            && !self.is_authenticated()
    }

    fn at(&self, millis: u64) -> Instant {
        self.accepted + Duration::from_millis(millis)
    }
}

impl Open {
    /// A response was given before its request was read.
    pub(super) fn left_unread(&self) {
        self.0.unread.store(true, Ordering::Relaxed);
    }

    /// Whether the connection ends with this request.
    pub(super) fn is_last(&self) -> bool {
        self.0.is_exhausted()
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let activity = &self.0;
        activity.since.store(activity.now(), Ordering::Relaxed);
        activity.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Rings when a connection is due. Polled whenever the connection is, because only then can it become
/// due earlier; the timer is touched only when it does.
pub(super) struct Clock {
    activity: Arc<Activity>,
    bounds: Bounds,
    armed: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl Clock {
    pub(super) fn new(activity: Arc<Activity>, bounds: Bounds) -> Self {
        let armed = Instant::now() + bounds.head;
        Self {
            activity,
            bounds,
            armed,
            sleep: Box::pin(sleep_until(armed)),
        }
    }

    /// Ready once the connection is to be closed.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.activity.is_exhausted() {
            return Poll::Ready(());
        }
        loop {
            let due = self.activity.due(&self.bounds);
            if let Some(due) = due.filter(|due| *due < self.armed) {
                self.arm(due);
            }
            ready!(self.sleep.as_mut().poll(cx));
            match self.activity.due(&self.bounds) {
                Some(due) if due <= Instant::now() => return Poll::Ready(()),
                Some(due) => self.arm(due),
                // The end of a request need not poll the connection: look again.
                None => self.arm(Instant::now() + self.bounds.head),
            }
        }
    }

    fn arm(&mut self, at: Instant) {
        self.armed = at;
        self.sleep.as_mut().reset(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn connection_deadline_depends_on_stage() {
        let bounds = Bounds::of_descriptors(1_024);
        let activity = Arc::new(Activity::new());
        let due = || {
            let due = activity.due(&bounds);
            due.map(|due| due.duration_since(activity.accepted).as_secs())
        };
        let second = || tokio::time::advance(Duration::from_secs(1));
        second().await;
        activity.reached(Stage::Authenticated);
        assert_eq!(due(), Some(32), "no first request");
        activity.speaks_http2();
        assert_eq!(due(), Some(11), "no preface");
        activity.received(24);
        assert_eq!(due(), Some(32), "no first request");
        second().await;
        let (first, second_one) = (activity.begin(), activity.begin());
        assert_eq!(due(), None, "a request has deadlines of its own");
        assert_eq!(activity.rank(), None);
        second().await;
        drop(first);
        assert_eq!(due(), None);
        drop(second_one);
        assert_eq!(due(), Some(3 + 90), "idle");
        activity.received(9);
        assert_eq!(due(), Some(3 + 90), "a PING is no request");
        activity.http2.store(false, Ordering::Relaxed);
        activity.received(9);
        assert_eq!(due(), Some(3 + 32), "an unfinished head");
        activity.reached(Stage::Unauthenticated);
        let _open = activity.begin();
        assert_eq!(due(), Some(3 + 32), "a probe is quick");
        assert!(activity.rank().is_some());
    }
}
