//! Tests of the ring through cursors.

use backend_proto::v1::{Event, Header, Record};
use bytes::Bytes;

use super::{Fanout, Found, RING_BYTES};

fn header(epoch: i64, revision: i64) -> Header {
    Header {
        store_id: "s".to_owned(),
        epoch,
        revision,
        compact_revision: 0,
    }
}

fn event(revision: i64, bytes: usize) -> Event {
    Event {
        revision,
        record: Some(Record {
            value: Bytes::from(vec![0; bytes]),
            ..Record::default()
        }),
        ..Event::default()
    }
}

/// Returns the revisions after `cursor` and the revision up to which they are complete; `None` if
/// the ring no longer reaches back to the cursor.
fn after(fanout: &Fanout, cursor: i64, max_bytes: usize) -> Option<(Vec<i64>, i64)> {
    match fanout.after(cursor, 1, max_bytes) {
        Found::Events {
            events,
            up_to_revision,
            ..
        } => Some((
            events.iter().map(|event| event.revision).collect(),
            up_to_revision,
        )),
        Found::Behind => None,
        Found::EpochChanged => panic!("the epoch did not change"),
    }
}

#[test]
fn cursors_read_following_events_in_pages() {
    let fanout = Fanout::new(header(1, 10));
    assert_eq!(after(&fanout, 10, 1000), Some((vec![], 10)));
    assert_eq!(after(&fanout, 9, 1000), None);
    assert!(fanout.publish(vec![event(11, 0), event(12, 0)], header(1, 12)));
    assert!(fanout.publish(vec![event(13, 0)], header(1, 13)));
    // An event counts 512 bytes besides its value.
    assert_eq!(after(&fanout, 10, 1024), Some((vec![11, 12], 12)));
    assert_eq!(after(&fanout, 10, 1), Some((vec![11], 11)));
    assert_eq!(after(&fanout, 12, 1024), Some((vec![13], 13)));
    assert_eq!(after(&fanout, 13, 1024), Some((vec![], 13)));
}

#[test]
fn cursor_ahead_of_ring_waits() {
    let fanout = Fanout::new(header(1, 10));
    fanout.publish(vec![event(11, 0)], header(1, 11));
    assert_eq!(after(&fanout, 12, 1000), Some((vec![], 12)));
    fanout.publish(vec![event(12, 0), event(13, 0)], header(1, 13));
    assert_eq!(after(&fanout, 12, 1000), Some((vec![13], 13)));
}

#[test]
fn full_ring_drops_its_oldest_event() {
    let fanout = Fanout::new(header(1, 0));
    let half = RING_BYTES / 2;
    for revision in 1..=3 {
        fanout.publish(vec![event(revision, half)], header(1, revision));
    }
    assert_eq!(after(&fanout, 1, usize::MAX), None);
    assert_eq!(after(&fanout, 2, usize::MAX), Some((vec![3], 3)));
}

#[test]
fn commits_wait_for_earlier_changes_of_other_writers() {
    let fanout = Fanout::new(header(1, 10));
    // Revision 11 belongs to another writer: 12 must not be visible before it.
    assert!(!fanout.publish(vec![event(12, 0)], header(1, 12)));
    assert_eq!(after(&fanout, 10, 1000), Some((vec![], 10)));
    // Revision 13 belongs to another writer: the ring must not claim more than 12.
    assert!(!fanout.publish(vec![event(11, 0), event(12, 0)], header(1, 13)));
    assert_eq!(after(&fanout, 10, 9999), Some((vec![11, 12], 12)));
    // The log repeats events that the ring already holds.
    assert!(fanout.publish(vec![event(12, 0), event(13, 0)], header(1, 13)));
    assert_eq!(after(&fanout, 10, 9999), Some((vec![11, 12, 13], 13)));
}

#[test]
fn new_epoch_ends_old_cursors() {
    let fanout = Fanout::new(header(1, 10));
    fanout.adopt(&header(2, 100));
    assert!(matches!(fanout.after(10, 1, 1000), Found::EpochChanged));
    assert!(matches!(fanout.after(100, 2, 1000), Found::Events { .. }));
}

#[test]
fn stale_header_does_not_restore_old_epoch() {
    let fanout = Fanout::new(header(1, 10));
    assert!(fanout.publish(vec![event(101, 0)], header(2, 101)));
    assert!(fanout.publish(vec![event(11, 0)], header(1, 11)));
    fanout.skip_to(header(1, 11));
    fanout.adopt(&header(1, 11));
    assert_eq!(fanout.header(), header(2, 101));
}

#[test]
fn compacted_changes_are_skipped_in_the_ring() {
    let fanout = Fanout::new(header(1, 10));
    fanout.skip_to(header(1, 50));
    assert_eq!(after(&fanout, 10, 1000), None);
    assert_eq!(after(&fanout, 50, 1000), Some((vec![], 50)));
}

#[test]
fn another_store_replaces_the_ring() {
    let fanout = Fanout::new(header(1, 10));
    let other = Header {
        store_id: "other".to_owned(),
        ..header(1, 20)
    };
    assert!(fanout.publish(Vec::new(), other.clone()));
    assert_eq!(fanout.header(), other);
    assert_eq!(after(&fanout, 10, 1000), None);
}
