//! Limits on the number of streams, and on the memory they hold for readers that stop reading.
//!
//! A message counts from when it is sent until its reader accepts it, both in the queue and in the
//! transport. When the total reaches the limit, senders wait, and readers that accepted nothing for
//! [`PRESSURE_TIMEOUT`] are cut off.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use backend_proto::v1::BackendError;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::refuse::overloaded;

/// Maximum concurrent streams; more are rejected with `OVERLOADED`. A gateway uses a few.
pub(crate) const STREAMS: usize = 1024;

/// Maximum concurrent lists at the driver; more wait. Each holds three chunks besides the room
/// counted below.
const LISTS: usize = 32;

/// Total KiB of sent but unread messages, of all streams together.
const ROOM_KIB: usize = 64 << 10;

/// Maximum KiB that one message counts, so that a record of any size can be sent.
const MESSAGE_KIB: usize = 16 << 10;

/// How long a reader may accept nothing while other streams wait for room.
pub(crate) const PRESSURE_TIMEOUT: Duration = Duration::from_secs(5);

/// Timeout of waiting for room.
const ROOM_TIMEOUT: Duration = Duration::from_secs(60);

/// All streams of a process.
#[derive(Clone, Debug)]
pub(crate) struct Streams {
    slots: Arc<Semaphore>,
    lists: Arc<Semaphore>,
    room: Arc<Semaphore>,
    open: Arc<Mutex<Vec<Weak<Reading>>>>,
}

/// State of one reader.
#[derive(Debug)]
pub(crate) struct Reading {
    /// Number of sent but unread messages.
    unread: AtomicUsize,
    /// Time at which a message was last accepted.
    taken: Mutex<Instant>,
    cut: CancellationToken,
    _slot: OwnedSemaphorePermit,
}

/// Room for one message, or a slot of the lists, until dropped.
#[derive(Debug)]
pub(crate) struct Room {
    _permit: OwnedSemaphorePermit,
}

/// A message that its reader has not accepted.
#[derive(Debug)]
pub(crate) struct Unread {
    reading: Arc<Reading>,
    _room: Option<Room>,
}

// === impl Streams ===

impl Streams {
    pub(crate) fn new() -> Self {
        Self {
            slots: Arc::new(Semaphore::new(STREAMS)),
            lists: Arc::new(Semaphore::new(LISTS)),
            room: Arc::new(Semaphore::new(ROOM_KIB)),
            open: Arc::default(),
        }
    }

    /// Registers a stream, unless there are too many.
    pub(crate) fn open(&self) -> Result<Arc<Reading>, BackendError> {
        let slot = match self.slots.clone().try_acquire_owned() {
            Ok(slot) => slot,
            Err(TryAcquireError::NoPermits | TryAcquireError::Closed) => {
                return Err(overloaded("too many streams are open"));
            }
        };
        let reading = Arc::new(Reading {
            unread: AtomicUsize::new(0),
            taken: Mutex::new(Instant::now()),
            cut: CancellationToken::new(),
            _slot: slot,
        });
        let mut open = self.open.lock();
        if open.len() >= 2 * STREAMS {
            open.retain(|reading| reading.strong_count() > 0);
        }
        open.push(Arc::downgrade(&reading));
        Ok(reading)
    }

    /// Reserves room for a message of `bytes`.
    pub(crate) async fn room(&self, bytes: usize) -> Result<Room, BackendError> {
        let kib = (bytes / 1024 + 1).min(MESSAGE_KIB);
        self.acquire(&self.room, u32::try_from(kib).unwrap_or(u32::MAX))
            .await
    }

    /// Acquires a slot for a list.
    pub(crate) async fn list(&self) -> Result<Room, BackendError> {
        self.acquire(&self.lists, 1).await
    }

    async fn acquire(&self, of: &Arc<Semaphore>, count: u32) -> Result<Room, BackendError> {
        let acquired = async {
            let mut acquired = std::pin::pin!(of.clone().acquire_many_owned(count));
            loop {
                match timeout(PRESSURE_TIMEOUT, &mut acquired).await {
                    Ok(acquired) => return acquired.ok(),
                    Err(_) => self.cut_unread(),
                }
            }
        };
        match timeout(ROOM_TIMEOUT, acquired).await {
            Ok(Some(permit)) => Ok(Room { _permit: permit }),
            _ => Err(overloaded("readers that take nothing hold all the room")),
        }
    }

    /// Cuts off readers that accepted nothing for [`PRESSURE_TIMEOUT`].
    fn cut_unread(&self) {
        let mut open = self.open.lock();
        open.retain(|reading| reading.strong_count() > 0);
        for reading in open.iter().filter_map(Weak::upgrade) {
            if reading.unread.load(Ordering::Acquire) > 0
                && reading.taken.lock().elapsed() >= PRESSURE_TIMEOUT
            {
                reading.cut.cancel();
            }
        }
    }
}

// === impl Reading ===

impl Reading {
    /// Counts a message until it is accepted.
    pub(crate) fn send(self: &Arc<Self>, room: Option<Room>) -> Unread {
        if self.unread.fetch_add(1, Ordering::AcqRel) == 0 {
            *self.taken.lock() = Instant::now();
        }
        Unread {
            reading: Arc::clone(self),
            _room: room,
        }
    }

    /// Waits until the room held by this reader is needed for others.
    pub(crate) async fn cut(&self) {
        self.cut.cancelled().await;
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        *self.reading.taken.lock() = Instant::now();
        self.reading.unread.fetch_sub(1, Ordering::AcqRel);
    }
}
