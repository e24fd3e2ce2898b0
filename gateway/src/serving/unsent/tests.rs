//! Limits, chunks and timeouts of unsent bytes.

use std::time::Duration;

use bytes::Bytes;
use futures_util::task::noop_waker;
use std::task::{Context, Poll};
use tokio::time::Instant;

use super::*;

const LIMITS: UnsentLimits = UnsentLimits {
    total: 3 << 20,
    connection: 1 << 20,
    user: 2 << 20,
    stall: Duration::from_secs(30),
    stall_under_pressure: Duration::from_secs(2),
};

#[test]
fn unsent_bytes_are_bounded_and_reading_client_is_admitted() {
    let unsent = Unsent::new(LIMITS);
    let fill = |reader: &Reader| {
        let mut charges = Vec::new();
        while let Some(charge) = reader.try_charge(512 << 10) {
            charges.push(charge);
        }
        charges
    };
    let (one, two, three) = (unsent.connect(), unsent.connect(), unsent.connect());
    let mut held = fill(&one.reader("bob"));
    assert_eq!(held.len(), 2, "the limit of a connection");
    held.extend(fill(&two.reader("bob")));
    assert_eq!(held.len(), 4, "the limit of a user");
    held.extend(fill(&three.reader("bob")));
    assert_eq!(held.len(), 4, "over how many connections ever");
    held.extend(fill(&three.reader("eve")));
    assert_eq!(held.len(), 6, "the limit of all users");
    assert_eq!(unsent.bytes(), LIMITS.total);
    for user in ["bob", "eve"] {
        let reader = unsent.connect().reader(user);
        let first = reader.try_charge(100 << 10);
        assert!(first.is_some(), "the only response of a client");
        assert!(reader.try_charge(100 << 10).is_none());
    }
    drop(held);
    assert_eq!(unsent.bytes(), 0);
    assert!(one.reader("bob").try_charge(1 << 20).is_some());
}

#[tokio::test(start_paused = true)]
async fn piece_is_sent_in_chunks_and_charged_until_sent() {
    let unsent = Unsent::new(LIMITS);
    let waker = noop_waker();
    let mut cx = Context::from_waker(&waker);
    let pace = Pace::new(unsent.connect().reader("bob"), None);
    let mut window = Window::new(Arc::clone(&pace), None, Extent::Begun { retained: 0 });
    assert!(window.poll_room(&mut cx).is_ready());
    window.put(Bytes::from(vec![0; 300 << 10]));
    let mut chunks = Vec::new();
    while let Poll::Ready(chunk) = window.poll_chunk(&cx) {
        chunks.push(chunk);
    }
    let handed: usize = chunks.iter().map(Bytes::len).sum();
    assert_eq!(handed, 256 << 10, "no more than the connection may hold");
    assert_eq!(unsent.bytes(), 300 << 10);
    tokio::time::advance(Duration::from_secs(29)).await;
    assert!(!pace.is_overdue(Instant::now()));
    chunks.pop();
    tokio::time::advance(Duration::from_secs(29)).await;
    assert!(!pace.is_overdue(Instant::now()), "something was sent");
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(pace.is_overdue(Instant::now()));
    drop(window);
    assert!(!pace.is_over(), "the connection still holds it");
    drop(chunks);
    assert!(pace.is_over());
    assert_eq!(unsent.bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn stalled_reader_is_overdue_under_pressure() {
    let unsent = Unsent::new(LIMITS);
    let waker = noop_waker();
    let cx = Context::from_waker(&waker);
    let outlet = unsent.connect();
    let pace = Pace::new(outlet.reader("bob"), None);
    let mut window = Window::new(Arc::clone(&pace), None, Extent::Begun { retained: 0 });
    window.put(Bytes::from(vec![0; 1 << 20]));
    let _chunk = window.poll_chunk(&cx);
    tokio::time::advance(Duration::from_secs(3)).await;
    assert!(!pace.is_overdue(Instant::now()));
    assert!(outlet.reader("bob").try_charge(1).is_none());
    assert!(pace.is_overdue(Instant::now()));
    tokio::time::advance(PRESSURE).await;
    assert!(!pace.is_overdue(Instant::now()), "no pressure");
}

#[tokio::test(start_paused = true)]
async fn carrier_of_overdue_response_ends() {
    let unsent = Unsent::new(LIMITS);
    let begun = Instant::now();
    let deadline = begun + Duration::from_secs(7);
    let carrier = watched(async {
        let pace = Pace::new(unsent.connect().reader("bob"), Some(deadline));
        assert!(watch_over(&pace));
        std::future::pending::<()>().await;
    });
    assert_eq!(carrier.await, None);
    assert_eq!(begun.elapsed().as_secs(), 7);
    let done = watched(async { 1 });
    assert_eq!(done.await, Some(1));
}
