//! What one server does at once: what is above is shed with 429, never queued.

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

/// Requests that only read which may run at once by default.
pub const MAX_READS: usize = 400;
/// Requests that write which may run at once by default.
pub const MAX_WRITES: usize = 200;
/// Requests of `system:masters` that may run at once beyond those two, whatever they are set to: as many as
/// four HTTP/2 connections can have streams. It protects the process, not a share of it.
pub const MAX_PRIVILEGED: usize = 2_000;
/// Watches that may be open at once. One costs about 10 kB with its HTTP/2 stream, so that all of them stay below
/// the 256 MiB that clients may cost beyond the objects.
pub const MAX_WATCHES: usize = 16_384;

/// Bytes of large heads that may be there at once: nine of the largest, which take three times what they
/// are accounted as (1 MiB). An HTTP/2 connection has 500 streams, each with a head.
const HEADS: usize = 32 << 20;
/// Memory of the selectors of all watches, bytes. It bounds time as well: each change of an object is compared with
/// all of them, at worst 350,000 requirements in 5 ms.
const SELECTORS: usize = 32 << 20;
/// Memory of a selector as a multiple of its text, where each requirement is one letter and a comma.
const SELECTOR_COST: usize = 32;
/// Selectors up to this size are not reckoned: what ordinary controllers send.
const SMALL_SELECTOR: usize = 64;
/// Heads up to this size are not reckoned. 8 KiB: four times what kubectl and a front proxy send.
const SMALL_HEAD: usize = 8 << 10;
/// From one line about a slow request to the next.
const SLOW_LINES: Duration = Duration::from_millis(100);
/// Memory of a header besides its name and value, about.
const HEADER: usize = 128;

/// All that is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Requests that only read; 0 means unlimited.
    pub reads: usize,
    /// Requests that write; 0 means unlimited.
    pub writes: usize,
    /// Requests of `system:masters` beyond those.
    pub privileged: usize,
    /// Long-running requests.
    pub watches: usize,
    /// Bytes of answers.
    pub unsent: UnsentLimits,
    /// Bytes of bodies.
    pub bodies: BodyLimits,
}

/// Seats for requests, and bytes of what they bring and take.
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

/// Lines about slow requests.
#[derive(Debug, Default)]
struct SlowRequests {
    last: Option<Instant>,
    left_out: u64,
}

/// Kept while a request runs; gives the place back when dropped.
#[derive(Debug, Default)]
pub struct Seat {
    permit: Option<OwnedSemaphorePermit>,
    /// Seats of the same connection.
    connection: Option<Arc<Seats>>,
    watch: bool,
    /// Memory of the selectors of a watch.
    _selectors: Option<OwnedSemaphorePermit>,
}

/// Every seat is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overloaded;

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
    /// Seats for so many reads and writes at once; 0 means unlimited.
    pub fn new(reads: usize, writes: usize) -> Self {
        Self::with(Settings {
            reads,
            writes,
            ..Settings::default()
        })
    }

    /// The same with everything said.
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

    /// Takes a seat for a request that came over a connection.
    ///
    /// # Errors
    /// When all are taken that this user may have.
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
        // From here on a seat that is dropped takes the count down.
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
            // The administrator must get in exactly when the server is overloaded.
            seat.permit = take(&self.privileged);
        }
        // Whatever an administrator's other connections do, one that asks for one thing at a time gets it,
        // also beside a watch: connections are limited as well.
        if seat.permit.is_some() || first && user.is_master() {
            Ok(seat)
        } else {
            Err(Overloaded)
        }
    }

    /// Reckons a head until the permit is dropped; nothing for a small one.
    ///
    /// # Errors
    /// When others take the memory.
    pub fn head(&self, headers: &HeaderMap) -> Result<Option<OwnedSemaphorePermit>, Overloaded> {
        let header =
            |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + HEADER;
        let bytes: usize = headers.iter().map(header).sum();
        if bytes <= SMALL_HEAD {
            return Ok(None);
        }
        let bytes = u32::try_from(bytes).map_err(|_| Overloaded)?;
        let reckoned = Arc::clone(&self.heads).try_acquire_many_owned(bytes);
        reckoned.map(Some).map_err(|_| Overloaded)
    }

    /// Reckons the selectors of a watch as long as it lasts; nothing for small ones.
    ///
    /// # Errors
    /// When others take the memory.
    pub fn selectors(&self, seat: &mut Seat, query: Option<&str>) -> Result<(), Overloaded> {
        let text = selector_bytes(query.unwrap_or_default());
        if text <= SMALL_SELECTOR {
            return Ok(());
        }
        let bytes = u32::try_from(text.saturating_mul(SELECTOR_COST)).map_err(|_| Overloaded)?;
        let reckoned = Arc::clone(&self.selectors).try_acquire_many_owned(bytes);
        seat._selectors = Some(reckoned.map_err(|_| Overloaded)?);
        Ok(())
    }

    /// A connection that owes nothing and has no request yet.
    #[must_use]
    pub fn connect(&self) -> Outlet {
        self.unsent.connect()
    }

    /// Bytes of answers that have not been sent.
    #[must_use]
    pub fn unsent_bytes(&self) -> usize {
        self.unsent.bytes()
    }

    /// What reads bodies.
    #[must_use]
    pub const fn intake(&self) -> &Intake {
        &self.intake
    }

    /// Whether a slow request may have a line in the log now, and how many had none since the last one:
    /// under load every request is slow.
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

    /// Taken seats: of reads, of writes.
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

/// Bytes of the selectors in a query, decoded, without decoding them: most of those who send large ones are
/// refused for it.
fn selector_bytes(query: &str) -> usize {
    if query.len() <= SMALL_SELECTOR {
        return 0;
    }
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        // A name in percent codes may be one of them.
        .filter(|(name, _)| {
            matches!(*name, "labelSelector" | "fieldSelector") || name.contains('%')
        })
        .map(|(_, value)| value.len() - 2 * value.matches('%').count().min(value.len() / 3))
        .sum()
}

impl Seat {
    /// How many of its sort run on its connection.
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
        // Ordinary ones go on, and what ends gives back.
        let small =
            Some("watch=1&labelSelector=app%3Dweb&resourceVersion=123456789&timeoutSeconds=400");
        assert!(limits.selectors(&mut Seat::default(), small).is_ok());
        seats.pop();
        assert!(limits.selectors(&mut Seat::default(), Some(&query)).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn slow_request_log_is_limited_to_ten_lines_per_second() {
        let limits = Limits::new(0, 0);
        let ask = |times: usize| -> Vec<_> { (0..times).map(|_| limits.may_log_slow()).collect() };
        assert_eq!(ask(3), [Some(0), None, None]);
        tokio::time::advance(SLOW_LINES).await;
        assert_eq!(ask(2), [Some(2), None]);
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
        assert_eq!(seat("GET", None, &bob).unwrap_err(), Overloaded);
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
        // A watch and one request at a time, as a controller has them.
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
