//! Responses whose clients do not read.

use std::time::Duration;

use gateway::serving::limits::Settings;
use gateway::serving::unsent::UnsentLimits;
use h2::Reason;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

use super::server::{FOOS, LARGE, SOON, TestServer};

/// Read timeouts: one second, or a quarter under pressure.
fn short_timeouts() -> Settings {
    Settings {
        unsent: UnsentLimits {
            total: 16 << 20,
            connection: 8 << 20,
            user: 8 << 20,
            stall: Duration::from_secs(1),
            stall_under_pressure: Duration::from_millis(250),
        },
        ..Settings::default()
    }
}

/// How the body of a response ends.
async fn end(body: &mut h2::RecvStream) -> Result<(), Reason> {
    loop {
        match tokio::time::timeout(SOON, body.data())
            .await
            .expect("an end")
        {
            None => return Ok(()),
            Some(Ok(data)) => body.flow_control().release_capacity(data.len()).unwrap(),
            Some(Err(error)) => return Err(error.reason().expect("a reset")),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_streams_are_reset_and_hold_bounded_bytes() {
    let test_server = TestServer::new(short_timeouts()).await;
    for path in [
        format!("{FOOS}/large"),
        FOOS.to_owned(),
        format!("{FOOS}?watch=1"),
    ] {
        // 0: nothing is passed to the stream; 1: a whole chunk waits in it.
        for window in [0, 1] {
            let hostile = test_server.http2(window).await;
            let mut held = Vec::new();
            for _ in 0..240 {
                let response = hostile.get(&path).await;
                match response.status().as_u16() {
                    200 => held.push(response.into_body()),
                    429 => assert_eq!(response.headers()["retry-after"], "1"),
                    other => panic!("{other}"),
                }
                let owed = test_server.limits.unsent_bytes();
                assert!(owed <= (8 << 20) + LARGE, "{path} {window}: {owed}");
            }
            assert!(held.len() >= 5, "{path} {window}: {}", held.len());
            let other = test_server.http2(1 << 20).await;
            let response = other.get(&format!("{FOOS}/n")).await;
            assert_eq!(
                response.status(),
                200,
                "{path} {window}: who reads is served"
            );
            for body in &mut held {
                let reset = tokio::time::timeout(
                    SOON,
                    std::future::poll_fn(|cx| {
                        // Not `data`, which would release flow-control capacity.
                        body.poll_data(cx).map(|data| match data {
                            Some(Err(error)) => error.reason(),
                            _ => None,
                        })
                    }),
                );
                let reset = reset.await.expect("an end");
                if window == 0 {
                    assert_eq!(reset, Some(Reason::CANCEL), "{path}");
                }
            }
            test_server.until_unsent(0).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_connection_is_closed() {
    let mut settings = short_timeouts();
    settings.unsent.total = 64 << 20;
    settings.unsent.user = 32 << 20;
    settings.unsent.connection = 32 << 20;
    let test_server = TestServer::new(settings).await;
    for path in [format!("{FOOS}/huge"), FOOS.to_owned()] {
        let mut hostile = test_server.connect(b"http/1.1").await;
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        hostile.write_all(request.as_bytes()).await.unwrap();
        hostile.flush().await.unwrap();
        let deadline = Instant::now() + SOON;
        while test_server.limits.unsent_bytes() == 0 {
            assert!(Instant::now() < deadline, "no response");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        test_server.until_unsent(0).await;
        let mut rest = Vec::new();
        let read = tokio::time::timeout(SOON, hostile.read_to_end(&mut rest));
        // Bytes in kernel buffers are read before the end.
        let _ = read.await.expect("closed");
        assert!(rest.len() < 12_000_000, "{}", rest.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_small_responses_close_connection() {
    let test_server = TestServer::new(short_timeouts()).await;
    let hostile = test_server.http2(0).await;
    let mut held = Vec::new();
    for _ in 0..100 {
        held.push(hostile.get(&format!("{FOOS}/n")).await);
    }
    assert_eq!(test_server.limits.unsent_bytes(), 100 * "small".len());
    test_server.until_unsent(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_reader_receives_complete_response() {
    let test_server = TestServer::new(short_timeouts()).await;
    let slow = test_server.http2(32 << 10).await;
    for (path, length) in [
        (format!("{FOOS}/large"), LARGE),
        (FOOS.to_owned(), 100 * (128 << 10)),
    ] {
        let mut body = slow.get(&path).await.into_body();
        let mut read = 0;
        while let Some(data) = body.data().await {
            let length = data.expect("not reset").len();
            read += length;
            if read < 1_000_000 {
                tokio::time::sleep(Duration::from_millis(40)).await;
            }
            body.flow_control().release_capacity(length).unwrap();
        }
        assert_eq!(read, length, "{path}");
    }
    test_server.until_unsent(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_response_ends_at_deadline() {
    let test_server = TestServer::new(Settings::default()).await;
    let client = test_server.http2(0).await;
    for path in [
        format!("{FOOS}/large?timeout=1s"),
        format!("{FOOS}?timeout=1s"),
    ] {
        let begun = Instant::now();
        let mut body = client.get(&path).await.into_body();
        assert_eq!(end(&mut body).await, Err(Reason::CANCEL));
        let took = begun.elapsed();
        assert!((1..10).contains(&took.as_secs()), "{path}: {took:?}");
        test_server.until_unsent(0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_watch_stays_open() {
    let test_server = TestServer::new(short_timeouts()).await;
    let client = test_server.http2(1 << 20).await;
    let mut body = client.get(&format!("{FOOS}?watch=1")).await.into_body();
    let mut read = 0;
    while read < 100 << 10 {
        let length = body.data().await.unwrap().expect("the event").len();
        body.flow_control().release_capacity(length).unwrap();
        read += length;
    }
    let quiet = tokio::time::timeout(Duration::from_secs(3), body.data());
    assert!(quiet.await.is_err(), "neither an event nor an end");
}
