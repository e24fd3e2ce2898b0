//! Clients that send requests and do not read the responses.

use std::time::Duration;

use anyhow::Result;
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, sleep_until, timeout};

use super::connections::{drain, hold};
use super::requests::object_path;
use super::{ATTACKER_ADDRESS, Attack, Context, Report};
use crate::frames::{self, Session};
use crate::tls::{Identity, Protocol};
use crate::{kinds, neighbour, seed};

pub(super) const ATTACKS: &[Attack] = &[
    Attack::client(
        "readers/window-zero",
        "300 HTTP/2 streams with window 0 on an object of 1.5 MB",
        |context| window_zero(context, 1, 300).boxed(),
    ),
    Attack::client(
        "readers/http1",
        "200 HTTP/1.1 connections that ask for 1.5 MB and for 10,000 objects and do not read",
        |context| http1(context, 200).boxed(),
    ),
    Attack::client(
        "readers/watches",
        "20 connections of 50 watches with window 0 while the neighbour writes",
        |context| watches(context, 20).boxed(),
    ),
    Attack::client(
        "readers/streams",
        "2,000 HTTP/2 streams with window 0 on ten connections, 1.5 MB each",
        |context| window_zero(context, 10, 200).boxed(),
    )
    .long(),
    Attack::client(
        "patient/window-zero",
        "300 HTTP/2 streams with window 0: reset within 75 s, memory released",
        |context| reset_in_time(context).boxed(),
    )
    .waits_for_timeouts(),
    Attack::client(
        "patient/http1-reader",
        "50 HTTP/1.1 connections that do not read: closed within 75 s",
        |context| closed_in_time(context).boxed(),
    )
    .waits_for_timeouts(),
];

/// The longest request deadline is one minute; the rest is slack for the machine.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(75);

fn large() -> String {
    object_path("blobs").replace(seed::SMALL, seed::LARGE)
}

/// Opens streams on one connection and leaves their flow-control windows at zero.
async fn starve(context: &Context, streams: u32, path: &str, end: Instant) -> Result<Session> {
    let connection = context
        .target
        .tls(ATTACKER_ADDRESS, Identity::Admin, Protocol::Http2);
    let mut stream = connection.await?;
    let authority = context.target.address.to_string();
    let mut bytes = frames::hello(0);
    for number in 0..streams {
        bytes.extend(frames::get(number * 2 + 1, &authority, path));
    }
    stream.write_all(&bytes).await?;
    stream.flush().await?;
    Ok(frames::read_session(&mut stream, end).await)
}

async fn window_zero(context: Context, connections: usize, streams: u32) -> Result<Report> {
    let end = Instant::now() + context.seconds.max(Duration::from_secs(2));
    let path = large();
    let lanes = (0..connections).map(|_| starve(&context, streams, &path, end));
    let mut report = Report::default();
    for session in join_all(lanes).await {
        let session = session?;
        report.requests += u64::from(streams);
        report.bytes += u64::from(streams) * path.len() as u64;
        if session.responses == 0 && session.closed.is_none() {
            report.add(format!(
                "{streams} streams of window 0: no response started"
            ));
        }
    }
    // Sending these requests causes the measured CPU time; they do not count as served.
    report.requests = 0;
    Ok(report)
}

async fn watches(context: Context, connections: usize) -> Result<Report> {
    let end = Instant::now() + context.seconds.max(Duration::from_secs(2));
    let path = kinds::collection(neighbour::NAMESPACE, "forms");
    let path = format!("{path}?watch=1&resourceVersion=0");
    let lanes = (0..connections).map(|_| starve(&context, 50, &path, end));
    for session in join_all(lanes).await {
        session?;
    }
    Ok(Report {
        bytes: (connections * 50 * path.len()) as u64,
        ..Report::default()
    })
}

/// Requests a large response and does not read it.
async fn http1(context: Context, connections: usize) -> Result<Report> {
    let open = |number: usize| {
        let context = context.clone();
        async move {
            let path = match number % 2 {
                0 => large(),
                _ => kinds::collection(seed::BULK_NAMESPACE, "blobs"),
            };
            let connection = context
                .target
                .tls(ATTACKER_ADDRESS, Identity::Admin, Protocol::Http1);
            let mut stream = connection.await?;
            let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
            stream.write_all(request.as_bytes()).await?;
            stream.flush().await?;
            Ok((stream, request.len()))
        }
    };
    hold(&context, connections, open).await
}

async fn reset_in_time(context: Context) -> Result<Report> {
    let end = Instant::now() + REQUEST_TIMEOUT;
    let path = large();
    let session = starve(&context, 300, &path, end).await?;
    let mut report = Report {
        bytes: 300 * path.len() as u64,
        ..Report::default()
    };
    if session.closed.is_none() && session.resets < 300 {
        report.add(format!(
            "300 streams of window 0 on 1.5 MB: {} were reset within {REQUEST_TIMEOUT:?}",
            session.resets
        ));
    }
    Ok(report)
}

async fn closed_in_time(context: Context) -> Result<Report> {
    let mut streams = Vec::new();
    let path = large();
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    for _ in 0..50 {
        let connection = context
            .target
            .tls(ATTACKER_ADDRESS, Identity::Admin, Protocol::Http1);
        let mut stream = connection.await?;
        stream.write_all(request.as_bytes()).await?;
        stream.flush().await?;
        streams.push(stream);
    }
    sleep_until(Instant::now() + REQUEST_TIMEOUT).await;
    let mut report = Report {
        bytes: 50 * request.len() as u64,
        ..Report::default()
    };
    let mut alive = 0;
    for mut stream in streams {
        // The response must end before the complete object.
        let read = timeout(Duration::from_secs(5), drain(&mut stream)).await;
        alive += usize::from(read.is_ok_and(|read| read >= seed::LARGE_BYTES));
    }
    if alive > 0 {
        report.add(format!(
            "{alive} of 50 connections that did not read for {REQUEST_TIMEOUT:?} are still open"
        ));
    }
    Ok(report)
}
