//! How many requests run at once: what is above is shed with 429, never queued.

use std::sync::Arc;

use api_types::request_info::RequestInfo;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::request::User;

/// Requests that only read which may run at once by default.
pub const MAX_READS: usize = 400;
/// Requests that write which may run at once by default.
pub const MAX_WRITES: usize = 200;

/// Seats for requests. Long-running ones need none: they are bounded by connections and streams.
#[derive(Debug, Clone)]
pub struct Limits {
    reads: Option<Arc<Semaphore>>,
    writes: Option<Arc<Semaphore>>,
    max_reads: usize,
    max_writes: usize,
}

/// Kept while a request runs; gives the place back when dropped.
#[derive(Debug)]
pub struct Seat(#[expect(dead_code, reason = "held for its Drop")] Option<OwnedSemaphorePermit>);

/// Every seat is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overloaded;

impl Limits {
    /// Seats for so many reads and writes at once; 0 means unlimited.
    pub fn new(max_reads: usize, max_writes: usize) -> Self {
        let seats = |max: usize| (max > 0).then(|| Arc::new(Semaphore::new(max)));
        Self {
            reads: seats(max_reads),
            writes: seats(max_writes),
            max_reads,
            max_writes,
        }
    }

    /// Takes a seat for a request.
    ///
    /// # Errors
    /// When all are taken and `user` is not exempt.
    pub fn seat(&self, info: &RequestInfo, user: &User) -> Result<Seat, Overloaded> {
        if info.is_long_running() {
            return Ok(Seat(None));
        }
        let seats = if info.is_read_only() {
            &self.reads
        } else {
            &self.writes
        };
        let Some(seats) = seats else {
            return Ok(Seat(None));
        };
        match seats.clone().try_acquire_owned() {
            Ok(permit) => Ok(Seat(Some(permit))),
            // The administrator must get in exactly when the server is overloaded.
            Err(_) if user.is_master() => Ok(Seat(None)),
            Err(_) => Err(Overloaded),
        }
    }

    /// Taken seats: of reads, of writes.
    pub fn in_flight(&self) -> (usize, usize) {
        let taken = |seats: &Option<Arc<Semaphore>>, max: usize| {
            seats
                .as_ref()
                .map_or(0, |seats| max - seats.available_permits())
        };
        (
            taken(&self.reads, self.max_reads),
            taken(&self.writes, self.max_writes),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::user::MASTERS_GROUP;

    #[test]
    fn seats_are_limited_by_kind_and_masters_are_exempt() {
        let limits = Limits::new(1, 1);
        let info = |method, query| RequestInfo::parse(method, "/apis/g/v1/foos", query).unwrap();
        let (bob, admin) = (
            User::new("bob", []),
            User::new("root", [MASTERS_GROUP.to_owned()]),
        );
        let first = limits.seat(&info("GET", None), &bob).unwrap();
        assert_eq!(limits.in_flight(), (1, 0));
        assert_eq!(
            limits.seat(&info("GET", None), &bob).unwrap_err(),
            Overloaded
        );
        assert!(limits.seat(&info("GET", None), &admin).is_ok());
        assert!(limits.seat(&info("GET", Some("watch=1")), &bob).is_ok());
        assert!(limits.seat(&info("POST", None), &bob).is_ok());
        drop(first);
        assert!(limits.seat(&info("GET", None), &bob).is_ok());
    }
}
