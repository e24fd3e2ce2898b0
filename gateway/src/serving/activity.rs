//! State of a connection, and its deadline in that state.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::Bounds;

/// Length of the HTTP/2 preface, bytes.
const PREFACE_BYTES: u64 = 24;

/// While slots are short, a client that takes longer for a step of its handshake is evicted before
/// clients that progress.
const PROMPT: Duration = Duration::from_secs(1);

/// Progress of a connection.
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

/// Order of eviction while slots are short; the oldest connection of a rank first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// Does not progress in its handshake.
    Stalled,
    /// Can no longer authenticate.
    Unauthenticated,
    /// May still authenticate.
    Prompt,
    /// Has a valid certificate and no open request.
    Idle,
}

/// Shared by the task of a connection, its requests and the table of all connections. Times are
/// milliseconds since the connection was accepted.
#[derive(Debug)]
pub(super) struct Activity {
    accepted: Instant,
    stage: AtomicU8,
    http2: AtomicBool,
    /// Requests whose response is not complete.
    open: AtomicUsize,
    /// Whether a request has arrived.
    requested: AtomicBool,
    /// Last time that the stage changed, or `open` changed from or to zero.
    since: AtomicU64,
    /// Arrival of the first byte of an unfinished HTTP/1.1 head, plus one; 0 if there is none.
    head: AtomicU64,
    received: AtomicU64,
    unread: AtomicBool,
    /// Cancelled when the connection is evicted.
    pub(super) evicted: CancellationToken,
}

/// Counts a request as open until dropped.
#[derive(Debug)]
pub(super) struct Open(Arc<Activity>);

impl Activity {
    /// A newly accepted connection.
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

    /// Records that the connection reached a stage.
    pub(super) fn reached(&self, stage: Stage) {
        self.since.store(self.now(), Ordering::Relaxed);
        self.stage.store(stage as u8, Ordering::Relaxed);
    }

    /// Records that the client negotiated HTTP/2.
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

    /// Records that bytes arrived from the client.
    pub(super) fn received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
        let idle = !self.is_busy() && !self.http2.load(Ordering::Relaxed);
        if idle && self.head.load(Ordering::Relaxed) == 0 {
            self.head.store(self.now() + 1, Ordering::Relaxed);
        }
    }

    /// Records that a complete head arrived.
    pub(super) fn begin(self: &Arc<Self>) -> Open {
        if self.open.fetch_add(1, Ordering::Relaxed) == 0 {
            self.since.store(self.now(), Ordering::Relaxed);
        }
        self.requested.store(true, Ordering::Relaxed);
        self.head.store(0, Ordering::Relaxed);
        Open(Arc::clone(self))
    }

    /// Whether the client may still be sending a rejected request.
    pub(super) fn is_unread(&self) -> bool {
        self.unread.load(Ordering::Relaxed) || self.head.load(Ordering::Relaxed) > 0
    }

    /// Order of eviction, the smallest first; `None` if the connection must not be evicted.
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

    /// Deadline of the connection in its current state; `None` if it has none.
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

    /// Whether an HTTP/2 connection without a valid certificate has used its only request.
    /// kube-apiserver closes such connections after one request as well
    /// (`UnauthenticatedHTTP2DOSMitigation`, CVE-2023-44487).
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
    /// Records that a response was sent before its request was read.
    pub(super) fn left_unread(&self) {
        self.0.unread.store(true, Ordering::Relaxed);
    }

    /// Whether the connection closes after this request.
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

/// Timer for the deadline of a connection. Polled whenever the connection is polled, because its
/// deadline can move forward only then; the timer is changed only if it does.
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

    /// Ready at the deadline of the connection.
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
                // The end of a request need not wake this task, so check again after the head
                // timeout.
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
