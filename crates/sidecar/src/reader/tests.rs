//! Tests of readers that stop reading, under tokio's paused clock.

use backend_proto::v1::list_response::{Chunk, Part};
use backend_proto::v1::{ListResponse, Record};
use tokio::time::{Instant, sleep};
use tokio_stream::StreamExt as _;
use tokio_util::sync::CancellationToken;

use super::{FINAL_ERROR_TIMEOUT, Messages, READ_TIMEOUT, SHUTDOWN_READ_TIMEOUT, Sink, channel};
use crate::connection::Connection;
use crate::refuse::{closing, too_slow};
use crate::streams::{PRESSURE_TIMEOUT, STREAMS, Streams};

const MIB: usize = 1 << 20;

/// Builds a message of about `bytes`.
fn chunk(bytes: usize) -> ListResponse {
    let record = Record {
        value: vec![0; bytes].into(),
        ..Record::default()
    };
    let records = vec![record];
    ListResponse {
        part: Some(Part::Chunk(Chunk { records })),
    }
}

fn open(streams: &Streams) -> (Sink<ListResponse>, Messages<ListResponse>, Connection) {
    let connection = Connection::default();
    let (sink, messages) = channel(streams, connection.clone(), 1).expect("a stream");
    (sink, messages, connection)
}

#[tokio::test(start_paused = true)]
async fn stalled_reader_is_cut_off_and_disconnected() {
    let stop = CancellationToken::new();
    let (sink, _messages, connection) = open(&Streams::new());
    assert_eq!(sink.send(chunk(1), None, &stop).await, Ok(true));
    let started = Instant::now();
    assert_eq!(sink.send(chunk(1), None, &stop).await, Err(too_slow()));
    assert_eq!(started.elapsed(), READ_TIMEOUT);
    sink.end(&too_slow(), &stop).await;
    assert_eq!(started.elapsed(), READ_TIMEOUT + FINAL_ERROR_TIMEOUT);
    assert!(connection.is_closed());
}

#[tokio::test(start_paused = true)]
async fn shutdown_does_not_wait_for_readers() {
    let stop = CancellationToken::new();
    let (sink, _messages, connection) = open(&Streams::new());
    assert_eq!(sink.send(chunk(1), None, &stop).await, Ok(true));
    stop.cancel();
    assert_eq!(sink.send(chunk(1), None, &stop).await, Err(closing()));
    let started = Instant::now();
    sink.end(&closing(), &stop).await;
    assert_eq!(started.elapsed(), SHUTDOWN_READ_TIMEOUT);
    assert!(!connection.is_closed());
}

#[tokio::test(start_paused = true)]
async fn reader_that_accepts_final_error_keeps_its_connection() {
    let stop = CancellationToken::new();
    let (sink, mut messages, connection) = open(&Streams::new());
    let read = async move {
        messages
            .next()
            .await
            .expect("a word")
            .expect_err("too slow")
    };
    let slow = too_slow();
    let (_, said) = tokio::join!(sink.end(&slow, &stop), read);
    assert_eq!(said.code(), tonic::Code::Aborted);
    assert!(!connection.is_closed());
}

#[tokio::test(start_paused = true)]
async fn unread_bytes_are_bounded_and_stalled_readers_yield() {
    let (streams, stop) = (Streams::new(), CancellationToken::new());
    // Many readers that accept nothing fill the shared room.
    let mut unread = Vec::new();
    let mut sent = 0;
    for _ in 0..100 {
        let (sink, messages, _) = open(&streams);
        let sending =
            tokio::time::timeout(PRESSURE_TIMEOUT / 2, sink.send(chunk(MIB), None, &stop));
        sent += usize::from(sending.await.is_ok());
        unread.push((sink, messages));
    }
    assert!(sent < 64, "{sent} MiB are held");
    // One reader that accepts messages, besides them.
    sleep(PRESSURE_TIMEOUT).await;
    let (sink, mut messages, _) = open(&streams);
    let started = Instant::now();
    let ended = async {
        let mut cut = 0;
        for (sink, messages) in unread {
            // The kit ends the stream in this case, and the transport then drops it.
            if tokio::time::timeout(PRESSURE_TIMEOUT * 2, sink.cut())
                .await
                .is_ok()
            {
                drop(messages);
                cut += 1;
            }
        }
        cut
    };
    let served = async {
        for _ in 0..100 {
            assert_eq!(sink.send(chunk(MIB), None, &stop).await, Ok(true));
            messages.next().await.expect("open").expect("a message");
        }
        started.elapsed()
    };
    let (cut, served) = tokio::join!(ended, served);
    assert_eq!(cut, sent, "those that hold something, and no others");
    assert!(served <= PRESSURE_TIMEOUT * 2, "{served:?}");
}

#[tokio::test]
async fn streams_are_counted_until_dropped() {
    let streams = Streams::new();
    let mut open: Vec<_> = (0..STREAMS).map(|_| self::open(&streams)).collect();
    channel::<ListResponse>(&streams, Connection::default(), 1).expect_err("one too many");
    open.pop();
    channel::<ListResponse>(&streams, Connection::default(), 1).expect("one is gone");
}
