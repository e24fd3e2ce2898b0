//! Limits on concurrent work. Excess requests are rejected with 429, never queued.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use api_types::request_info::RequestInfo;
use http::{HeaderMap, HeaderName, HeaderValue};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::intake::{BodyLimits, Intake};
use super::unsent::{Outlet, Seats, Unsent, UnsentLimits};
use crate::request::User;
use crate::request::probe::is_probe;

/// Concurrent read-only requests by default: kube-apiserver's `--max-requests-inflight`.
pub const MAX_READS: usize = 400;
/// Concurrent mutating requests by default: kube-apiserver's `--max-mutating-requests-inflight`.
pub const MAX_WRITES: usize = 200;
/// Concurrent requests of `system:masters` beyond those two: as many as the streams of eight HTTP/2
/// connections. It protects the process; it is not a share of it.
pub const MAX_PRIVILEGED: usize = 2_000;
/// Open watches. Each costs about 10 kB with its HTTP/2 stream, so all together stay below the 256
/// MiB that clients may cost beyond the objects.
pub const MAX_WATCHES: usize = 16_384;

/// Bytes of large heads at a time: nine of the largest, which take three times their accounted size
/// (1 MiB). An HTTP/2 connection may have a head on every stream.
const HEADS: usize = 32 << 20;
/// Memory of the selectors of all watches, bytes. Also bounds time: each change of an object is
/// compared with all of them, at worst 350,000 requirements in 5 ms.
const SELECTORS: usize = 32 << 20;
/// Memory of a selector as a multiple of its text, in the worst case: each requirement is one
/// letter and a comma.
const SELECTOR_COST: usize = 32;
/// Selectors up to this size are not accounted, bytes: those of ordinary controllers.
const SMALL_SELECTOR: usize = 64;
/// Heads up to this size are not accounted. 8 KiB: four times what kubectl and a front proxy send.
const SMALL_HEAD: usize = 8 << 10;
/// Minimum time between two log lines about slow requests.
const SLOW_LINES: Duration = Duration::from_millis(100);
/// Approximate memory of a header besides its name and value, bytes.
const HEADER: usize = 128;

/// All limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Read-only requests; 0 is unlimited.
    pub reads: usize,
    /// Mutating requests; 0 is unlimited.
    pub writes: usize,
    /// Requests of `system:masters` beyond those.
    pub privileged: usize,
    /// Long-running requests.
    pub watches: usize,
    /// Bytes of responses.
    pub unsent: UnsentLimits,
    /// Bytes of bodies.
    pub bodies: BodyLimits,
}

/// Seats of requests, and memory of heads, selectors, bodies and responses.
#[derive(Debug, Clone)]
pub struct Limits {
    settings: Settings,
    reads: Option<Arc<Semaphore>>,
    writes: Option<Arc<Semaphore>>,
    privileged: Arc<Semaphore>,
    watches: Arc<Semaphore>,
    heads: Arc<Semaphore>,
    selectors: Arc<Semaphore>,
    unsent: Unsent,
    intake: Intake,
    slow: Arc<Mutex<SlowRequests>>,
}

/// Rate limit of log lines about slow requests.
#[derive(Debug, Default)]
struct SlowRequests {
    last: Option<Instant>,
    left_out: u64,
}

/// The seat of a running request; released when dropped.
#[derive(Debug, Default)]
pub struct Seat {
    permit: Option<OwnedSemaphorePermit>,
    /// Seats of the same connection.
    connection: Option<Arc<Seats>>,
    watch: bool,
    /// Memory of the selectors of a watch.
    _selectors: Option<OwnedSemaphorePermit>,
}

/// A limit is reached; the request was not begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overloaded(pub Shortage);

/// What a rejected request could not get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shortage {
    /// A seat among concurrent requests.
    Requests,
    /// A seat among open watches.
    Watches,
    /// Memory for large heads.
    Heads,
    /// Memory for the selectors of watches.
    Selectors,
    /// Memory for responses that clients have not read.
    Responses,
    /// Memory for bodies, or room in the queue of heavy work or in that of writes.
    Work,
}

impl Shortage {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Requests,
        Self::Watches,
        Self::Heads,
        Self::Selectors,
        Self::Responses,
        Self::Work,
    ];

    /// The reason in the metric of rejected requests.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Watches => "watches",
            Self::Heads => "heads",
            Self::Selectors => "selectors",
            Self::Responses => "responses",
            Self::Work => "work",
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            reads: MAX_READS,
            writes: MAX_WRITES,
            privileged: MAX_PRIVILEGED,
            watches: MAX_WATCHES,
            unsent: UnsentLimits::default(),
            bodies: BodyLimits::default(),
        }
    }
}

impl Limits {
    /// Seats for this many reads and writes; 0 is unlimited.
    pub fn new(reads: usize, writes: usize) -> Self {
        Self::with(Settings {
            reads,
            writes,
            ..Settings::default()
        })
    }

    /// The limits of these settings.
    pub fn with(settings: Settings) -> Self {
        let seats = |max: usize| (max > 0).then(|| Arc::new(Semaphore::new(max)));
        Self {
            settings,
            reads: seats(settings.reads),
            writes: seats(settings.writes),
            privileged: Arc::new(Semaphore::new(settings.privileged)),
            watches: Arc::new(Semaphore::new(settings.watches)),
            heads: Arc::new(Semaphore::new(HEADS)),
            selectors: Arc::new(Semaphore::new(SELECTORS)),
            unsent: Unsent::new(settings.unsent),
            intake: Intake::new(settings.bodies),
            slow: Arc::default(),
        }
    }

    /// Takes a seat for a request of a connection.
    ///
    /// # Errors
    /// If all seats that the user may take are in use.
    pub fn seat(
        &self,
        info: &RequestInfo,
        user: &User,
        connection: &Outlet,
    ) -> Result<Seat, Overloaded> {
        if is_probe(&info.path) {
            return Ok(Seat::default());
        }
        let seats = if info.is_long_running() {
            Some(&self.watches)
        } else if info.is_read_only() {
            self.reads.as_ref()
        } else {
            self.writes.as_ref()
        };
        let Some(seats) = seats else {
            return Ok(Seat::default());
        };
        let take = |seats: &Arc<Semaphore>| Arc::clone(seats).try_acquire_owned().ok();
        // Counts from here on: dropping the seat decrements the count.
        let mut seat = Seat {
            permit: take(seats),
            connection: Some(connection.seats()),
            watch: info.is_long_running(),
            _selectors: None,
        };
        let count = seat
            .count()
            .map(|count| count.fetch_add(1, Ordering::Relaxed));
        let first = count == Some(0);
        if seat.permit.is_none() && user.is_master() && !info.is_long_running() {
            // Administrators need access most when the server is overloaded.
            seat.permit = take(&self.privileged);
        }
        // The first concurrent request of each administrator connection always gets a seat, also
        // beside a watch. The limit of connections bounds these seats.
        if seat.permit.is_some() || first && user.is_master() {
            Ok(seat)
        } else {
            Err(Overloaded(if info.is_long_running() {
                Shortage::Watches
            } else {
                Shortage::Requests
            }))
        }
    }

    /// Accounts a head until the permit is dropped; small heads are free.
    ///
    /// # Errors
    /// If the memory for heads is in use.
    pub fn head(&self, headers: &HeaderMap) -> Result<Option<OwnedSemaphorePermit>, Overloaded> {
        let header =
            |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + HEADER;
        let bytes: usize = headers.iter().map(header).sum();
        if bytes <= SMALL_HEAD {
            return Ok(None);
        }
        let full = Overloaded(Shortage::Heads);
        let bytes = u32::try_from(bytes).map_err(|_| full)?;
        let reckoned = Arc::clone(&self.heads).try_acquire_many_owned(bytes);
        reckoned.map(Some).map_err(|_| full)
    }

    /// Accounts the selectors of a watch for its lifetime; small ones are free.
    ///
    /// # Errors
    /// If the memory for selectors is in use.
    pub fn selectors(&self, seat: &mut Seat, query: Option<&str>) -> Result<(), Overloaded> {
        let text = selector_bytes(query.unwrap_or_default());
        if text <= SMALL_SELECTOR {
            return Ok(());
        }
        let full = Overloaded(Shortage::Selectors);
        let bytes = u32::try_from(text.saturating_mul(SELECTOR_COST)).map_err(|_| full)?;
        let reckoned = Arc::clone(&self.selectors).try_acquire_many_owned(bytes);
        seat._selectors = Some(reckoned.map_err(|_| full)?);
        Ok(())
    }

    /// The account of a new connection.
    #[must_use]
    pub fn connect(&self) -> Outlet {
        self.unsent.connect()
    }

    /// Bytes of unsent responses.
    #[must_use]
    pub fn unsent_bytes(&self) -> usize {
        self.unsent.bytes()
    }

    /// The account of request bodies.
    #[must_use]
    pub const fn intake(&self) -> &Intake {
        &self.intake
    }

    /// Whether a slow request may be logged now, and how many were not logged since the last one.
    /// Under load every request is slow.
    #[must_use]
    pub fn may_log_slow(&self) -> Option<u64> {
        let (mut slow, now) = (self.slow.lock(), Instant::now());
        if slow.last.is_some_and(|last| now < last + SLOW_LINES) {
            slow.left_out += 1;
            return None;
        }
        slow.last = Some(now);
        Some(std::mem::take(&mut slow.left_out))
    }

    /// Taken seats: reads, writes.
    pub fn in_flight(&self) -> (usize, usize) {
        let taken = |seats: &Option<Arc<Semaphore>>, max: usize| {
            seats
                .as_ref()
                .map_or(0, |seats| max - seats.available_permits())
        };
        (
            taken(&self.reads, self.settings.reads),
            taken(&self.writes, self.settings.writes),
        )
    }
}

/// Size of the selectors in a query after decoding, computed without decoding, because most
/// requests with large selectors are rejected.
fn selector_bytes(query: &str) -> usize {
    if query.len() <= SMALL_SELECTOR {
        return 0;
    }
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        // A percent-encoded name may be one of them.
        .filter(|(name, _)| {
            matches!(*name, "labelSelector" | "fieldSelector") || name.contains('%')
        })
        .map(|(_, value)| value.len() - 2 * value.matches('%').count().min(value.len() / 3))
        .sum()
}

impl Seat {
    /// The counter of this kind of request on its connection.
    fn count(&self) -> Option<&AtomicUsize> {
        let connection = self.connection.as_ref()?;
        Some(if self.watch {
            &connection.watches
        } else {
            &connection.requests
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(count) = self.count() {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::user::MASTERS_GROUP;

    fn info(method: &str, query: Option<&str>) -> RequestInfo {
        RequestInfo::parse(method, "/apis/g/v1/foos", query).unwrap()
    }

    #[test]
    fn watch_selectors_share_one_memory_bound() {
        let limits = Limits::new(0, 0);
        let query = format!("watch=1&label%53elector=%21{}", "a,%21".repeat(10_000));
        let mut seats = Vec::new();
        while let (seat, Ok(())) = {
            let mut seat = Seat::default();
            let reckoned = limits.selectors(&mut seat, Some(&query));
            (seat, reckoned)
        } {
            seats.push(seat);
        }
        assert_eq!(seats.len(), SELECTORS / SELECTOR_COST / 30_001);
        // Small ones are admitted, and finished requests release memory.
        let small =
            Some("watch=1&labelSelector=app%3Dweb&resourceVersion=123456789&timeoutSeconds=400");
        assert!(limits.selectors(&mut Seat::default(), small).is_ok());
        seats.pop();
        assert!(limits.selectors(&mut Seat::default(), Some(&query)).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn slow_request_log_is_limited_to_ten_lines_per_second() {
        let limits = Limits::new(0, 0);
        let logged =
            |times: usize| -> Vec<_> { (0..times).map(|_| limits.may_log_slow()).collect() };
        assert_eq!(logged(3), [Some(0), None, None]);
        tokio::time::advance(SLOW_LINES).await;
        assert_eq!(logged(2), [Some(2), None]);
    }

    fn users() -> (User, User) {
        (
            User::new("bob", []),
            User::new("root", [MASTERS_GROUP.to_owned()]),
        )
    }

    #[test]
    fn seats_are_limited_per_kind_and_masters_have_extra() {
        let limits = Limits::new(1, 1);
        let (bob, admin) = users();
        let connection = limits.connect();
        let seat = |method, query, user| limits.seat(&info(method, query), user, &connection);
        let first = seat("GET", None, &bob).unwrap();
        assert_eq!(limits.in_flight(), (1, 0));
        let full = Overloaded(Shortage::Requests);
        assert_eq!(seat("GET", None, &bob).unwrap_err(), full);
        assert!(seat("GET", None, &admin).is_ok());
        assert!(seat("GET", Some("watch=1"), &bob).is_ok());
        assert!(seat("POST", None, &bob).is_ok());
        drop(first);
        assert!(seat("GET", None, &bob).is_ok());
    }

    #[test]
    fn large_heads_are_bounded_and_small_heads_pass() {
        let limits = Limits::new(1, 1);
        let head = |name: &str, count: usize| -> HeaderMap {
            let name = HeaderName::try_from(name).unwrap();
            let value = HeaderValue::from_static("");
            (0..count).map(|_| (name.clone(), value.clone())).collect()
        };
        let (large, small) = (head("x-y", 8_000), head("x-z", 50));
        let held: Vec<_> = std::iter::from_fn(|| limits.head(&large).ok()).collect();
        assert_eq!(held.len(), HEADS / (8_000 * (HEADER + 3)));
        assert!(limits.head(&small).unwrap().is_none());
        drop(held);
        assert!(limits.head(&large).unwrap().is_some());
    }

    #[test]
    fn masters_are_bounded_and_each_connection_has_one_seat() {
        let limits = Limits::with(Settings {
            reads: 5,
            privileged: 10,
            watches: 3,
            ..Settings::default()
        });
        let (bob, admin) = users();
        let hostile = limits.connect();
        let seats = |query, most: usize| -> Vec<_> {
            let info = info("GET", query);
            let seat = || limits.seat(&info, &admin, &hostile);
            (0..most).map_while(|_| seat().ok()).collect()
        };
        let taken = (seats(None, 1_000), seats(Some("watch=1"), 1_000));
        assert_eq!((taken.0.len(), taken.1.len()), (15, 3));
        for query in [None, Some("watch=1")] {
            let (info, other) = (info("GET", query), limits.connect());
            assert!(limits.seat(&info, &bob, &limits.connect()).is_err());
            let seat = limits.seat(&info, &admin, &other).unwrap();
            assert!(limits.seat(&info, &admin, &other).is_err());
            drop(seat);
            assert!(limits.seat(&info, &admin, &other).is_ok());
        }
        // A watch and one request at a time, as a controller has.
        let other = limits.connect();
        let _watch = limits
            .seat(&info("GET", Some("watch=1")), &admin, &other)
            .unwrap();
        assert!(limits.seat(&info("GET", None), &admin, &other).is_ok());
        let probe = RequestInfo::parse("GET", "/livez", None).unwrap();
        assert!(limits.seat(&probe, &bob, &hostile).is_ok());
        drop(taken);
        assert!(limits.seat(&info("GET", None), &bob, &hostile).is_ok());
    }
}
