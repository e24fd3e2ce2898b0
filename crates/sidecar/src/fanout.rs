//! One ring buffer of recent changes, which all watchers read with their own cursors.
//!
//! A watcher that falls behind the ring reads the driver's log instead. That costs reads, but no
//! memory, and does not delay other watchers.

use std::collections::VecDeque;
use std::sync::Arc;

use backend_proto::v1::{Event, Header};
use bytes::Bytes;
use parking_lot::RwLock;
use tokio::sync::watch;

/// Bytes of values in the ring.
const RING_BYTES: usize = 4 << 20;

/// Values up to this size are copied into the ring. A received value is a slice of its connection's
/// read buffer, and would keep the whole buffer allocated.
const COPY_BYTES: usize = 256 << 10;

/// Estimated bytes of an event besides its value.
const EVENT_BYTES: usize = 512;

/// The ring, with a notification for each change of it.
#[derive(Debug)]
pub(crate) struct Fanout {
    ring: RwLock<Ring>,
    moved: watch::Sender<()>,
}

#[derive(Debug)]
struct Ring {
    /// Holds every change after `floor` up to `header.revision`.
    events: VecDeque<Arc<Event>>,
    floor: i64,
    bytes: usize,
    header: Header,
}

/// Result of reading at a cursor.
#[derive(Debug)]
pub(crate) enum Found {
    /// The next events, and the revision up to which they are complete.
    Events {
        events: Vec<Arc<Event>>,
        up_to_revision: i64,
        header: Header,
    },
    /// The cursor is older than the ring: read the log instead.
    Behind,
    /// The cursor belongs to an earlier epoch.
    EpochChanged,
}

impl Fanout {
    pub(crate) fn new(header: Header) -> Self {
        Self {
            ring: RwLock::new(Ring {
                events: VecDeque::new(),
                floor: header.revision,
                bytes: 0,
                header,
            }),
            moved: watch::Sender::new(()),
        }
    }

    /// Returns the newest published header.
    pub(crate) fn header(&self) -> Header {
        self.ring.read().header.clone()
    }

    /// Notifies of every change of the ring.
    pub(crate) fn subscribe(&self) -> watch::Receiver<()> {
        self.moved.subscribe()
    }

    /// Appends the events that follow the ring's newest. Returns `false` if changes of other
    /// writers lie between, which must first be read from the log.
    pub(crate) fn publish(&self, events: Vec<Event>, header: Header) -> bool {
        let mut ring = self.ring.write();
        let up_to_revision = ring.header.revision;
        if ring.is_past(&header) {
            // Read before the new epoch began, but published after it.
            return true;
        }
        if header.epoch != ring.header.epoch || header.store_id != ring.header.store_id {
            ring.reset(header);
            drop(ring);
            self.moved.send_replace(());
            return true;
        }
        let follows = events
            .first()
            .is_none_or(|event| event.revision <= up_to_revision + 1);
        if !follows {
            return false;
        }
        let new_events = events
            .into_iter()
            .filter(|event| event.revision > up_to_revision);
        for event in new_events {
            ring.push(event);
        }
        // Other writers' changes after the last event are not in the ring yet.
        let reached = ring
            .events
            .back()
            .map_or(up_to_revision, |event| event.revision);
        let complete = reached.max(up_to_revision) == header.revision;
        let revision = reached.max(up_to_revision);
        let compact_revision = header.compact_revision.max(ring.header.compact_revision);
        ring.header = Header {
            revision,
            compact_revision,
            ..header
        };
        drop(ring);
        self.moved.send_replace(());
        complete
    }

    /// Publishes a header without events, such as after a compaction or an import.
    pub(crate) fn adopt(&self, header: &Header) {
        let mut ring = self.ring.write();
        if ring.is_past(header) {
            // A compaction may end after the epoch in which it began.
            return;
        }
        if header.epoch == ring.header.epoch && header.store_id == ring.header.store_id {
            let newer = header.compact_revision.max(ring.header.compact_revision);
            ring.header.compact_revision = newer;
            return;
        }
        ring.reset(header.clone());
        drop(ring);
        self.moved.send_replace(());
    }

    /// Continues at a header although earlier changes are missing here. Watchers behind it read the
    /// log, which returns the error for the gap.
    pub(crate) fn skip_to(&self, header: Header) {
        let mut ring = self.ring.write();
        if !ring.is_past(&header) {
            ring.reset(header);
        }
        drop(ring);
        self.moved.send_replace(());
    }

    /// Returns events after `cursor`, about `max_bytes` of them. A cursor ahead of the published
    /// revision gets none.
    pub(crate) fn after(&self, cursor: i64, epoch: i64, max_bytes: usize) -> Found {
        let ring = self.ring.read();
        if ring.header.epoch != epoch {
            return Found::EpochChanged;
        }
        if cursor < ring.floor {
            return Found::Behind;
        }
        let first = ring
            .events
            .partition_point(|event| event.revision <= cursor);
        let mut events = Vec::new();
        let mut bytes = 0;
        let mut up_to_revision = ring.header.revision.max(cursor);
        for event in ring.events.range(first..) {
            bytes += size(event);
            if bytes > max_bytes && !events.is_empty() {
                break;
            }
            events.push(event.clone());
        }
        if first + events.len() < ring.events.len() {
            up_to_revision = events.last().map_or(cursor, |event| event.revision);
        }
        Found::Events {
            events,
            up_to_revision,
            header: ring.header.clone(),
        }
    }
}

impl Ring {
    fn push(&mut self, mut event: Event) {
        if let Some(record) = event.record.as_mut()
            && record.value.len() <= COPY_BYTES
        {
            record.value = Bytes::copy_from_slice(&record.value);
        }
        self.bytes += size(&event);
        self.events.push_back(Arc::new(event));
        while self.bytes > RING_BYTES && self.events.len() > 1 {
            if let Some(oldest) = self.events.pop_front() {
                self.bytes -= size(&oldest);
                self.floor = oldest.revision;
            }
        }
    }

    /// Whether a header belongs to an earlier epoch.
    fn is_past(&self, header: &Header) -> bool {
        header.store_id == self.header.store_id && header.epoch < self.header.epoch
    }

    fn reset(&mut self, header: Header) {
        self.events.clear();
        self.bytes = 0;
        self.floor = header.revision;
        self.header = header;
    }
}

fn size(event: &Event) -> usize {
    EVENT_BYTES + event.record.as_ref().map_or(0, |record| record.value.len())
}

#[cfg(test)]
mod tests;
