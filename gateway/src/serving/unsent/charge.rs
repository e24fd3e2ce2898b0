//! Accounts and charges of unsent bytes.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::{PRESSURE, Reader};

/// A sum of bytes and its limit.
#[derive(Debug)]
pub(super) struct Account {
    bytes: AtomicUsize,
    bound: usize,
    /// Zero of the clock.
    opened: Instant,
    /// When bytes last decreased, or the first was charged; milliseconds since `opened`.
    moved: AtomicU64,
    /// End of the current pressure; milliseconds since `opened`.
    pressed_until: AtomicU64,
}

/// Bytes of a response, charged until dropped.
#[derive(Debug)]
pub struct Charge {
    reader: Reader,
    bytes: usize,
}

impl Account {
    pub(super) fn new(bound: usize) -> Self {
        Self {
            bytes: AtomicUsize::new(0),
            bound,
            opened: Instant::now(),
            moved: AtomicU64::new(0),
            pressed_until: AtomicU64::new(0),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn full(&self) -> bool {
        self.bytes() > self.bound
    }

    /// Records that a response found no room.
    pub(super) fn press(&self) {
        let until = self.millis(Instant::now() + PRESSURE);
        self.pressed_until.store(until, Ordering::Relaxed);
    }

    /// Whether a response recently found no room.
    pub(super) fn pressed(&self) -> bool {
        let until = self.pressed_until.load(Ordering::Relaxed);
        until > 0 && self.millis(Instant::now()) < until
    }

    /// Time since bytes last decreased.
    pub(super) fn idle(&self, now: Instant) -> Duration {
        let moved = self.moved.load(Ordering::Relaxed);
        Duration::from_millis(self.millis(now).saturating_sub(moved))
    }

    /// Records that bytes were sent.
    pub(super) fn touch(&self) {
        let now = self.millis(Instant::now());
        self.moved.store(now, Ordering::Relaxed);
    }

    fn add(&self, bytes: usize) -> usize {
        self.bytes.fetch_add(bytes, Ordering::Relaxed)
    }

    fn sub(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn millis(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.opened).as_millis();
        u64::try_from(since).unwrap_or(u64::MAX)
    }
}

impl Charge {
    pub(super) fn new(reader: Reader, bytes: usize) -> Self {
        for account in reader.accounts() {
            account.add(bytes);
        }
        let connection = &reader.outlet.connection;
        if connection.bytes() == bytes {
            // The account was empty, so the idle time starts now.
            connection.touch();
        }
        Self { reader, bytes }
    }

    /// Charged bytes.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Changes the charged bytes.
    pub(super) fn resize(&mut self, bytes: usize) {
        for account in self.reader.accounts() {
            account.add(bytes);
            account.sub(self.bytes);
        }
        self.bytes = bytes;
    }

    /// Records that a part of the charged bytes was sent.
    pub(super) fn moved(&self) {
        self.reader.outlet.connection.touch();
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        for account in self.reader.accounts() {
            account.sub(self.bytes);
        }
        self.moved();
    }
}
