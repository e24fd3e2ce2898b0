//! Clients that send requests and do not read the responses.

use std::time::Duration;

use anyhow::Result;
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use rustix::net::sockopt::set_socket_recv_buffer_size;
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, sleep_until, timeout};

use super::connections::{drain, hold};
use super::requests::object_path;
use super::{ATTACKER_ADDRESS, Attack, Context, Report};
use crate::frames::{self, DATA, END_HEADERS, END_STREAM, HEADERS, Session};
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
        "readers/rejections",
        "60 connections of 240 rejected POSTs with window 0, each answered with 45 kB",
        |context| rejections(context, 60).boxed(),
    )
    .long(),
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
/// Buffer of a connection that does not read, bytes: the kernel doubles it.
const RECEIVE_BUFFER: usize = 32 << 10;
/// More than the kernel holds of a response that is not read; Linux limits send buffers to 4 MiB.
const KERNEL_BYTES: usize = 6 << 20;

fn large() -> String {
    object_path("blobs").replace(seed::SMALL, seed::LARGE)
}

/// Sends `requests` on one connection and leaves the flow-control windows of its streams at zero.
async fn starve(context: &Context, requests: Vec<u8>, end: Instant) -> Result<Session> {
    let connection = context
        .target
        .tls(ATTACKER_ADDRESS, Identity::Admin, Protocol::Http2);
    let mut stream = connection.await?;
    stream.write_all(&frames::hello(0)).await?;
    stream.write_all(&requests).await?;
    stream.flush().await?;
    Ok(frames::read_session(&mut stream, end).await)
}

/// GETs of `path` on as many streams.
fn gets(context: &Context, streams: u32, path: &str) -> Vec<u8> {
    let authority = context.target.address.to_string();
    let numbers = (0..streams).map(|number| number * 2 + 1);
    numbers
        .flat_map(|number| frames::get(number, &authority, path))
        .collect()
}

/// Errors quote the invalid name three times. A rejected write must not keep more memory than a
/// read that nobody reads.
async fn rejections(context: Context, connections: usize) -> Result<Report> {
    let end = Instant::now() + context.seconds.max(Duration::from_secs(2));
    let authority = context.target.address.to_string();
    let path = kinds::collection(neighbour::NAMESPACE, "blobs") + "?dryRun=All";
    let block = frames::post_block(&authority, &path);
    let body = format!(
        r#"{{"apiVersion":"hostile.example.com/v1","kind":"Blob","metadata":{{"name":"{}"}}}}"#,
        "A".repeat(15_000)
    );
    let requests: Vec<u8> = (0..240)
        .map(|number| number * 2 + 1)
        .flat_map(|stream| {
            let mut request = frames::frame(HEADERS, END_HEADERS, stream, &block);
            request.extend(frames::frame(DATA, END_STREAM, stream, body.as_bytes()));
            request
        })
        .collect();
    let lanes = (0..connections).map(|_| starve(&context, requests.clone(), end));
    let mut report = Report::default();
    let mut responses = 0;
    for session in join_all(lanes).await {
        report.bytes += requests.len() as u64;
        responses += session?.responses;
    }
    if responses == 0 {
        report.add("no response to rejected POSTs".to_owned());
    }
    Ok(report)
}

async fn window_zero(context: Context, connections: usize, streams: u32) -> Result<Report> {
    let end = Instant::now() + context.seconds.max(Duration::from_secs(2));
    let path = large();
    let requests = gets(&context, streams, &path);
    let lanes = (0..connections).map(|_| starve(&context, requests.clone(), end));
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
    let requests = gets(&context, 50, &path);
    let lanes = (0..connections).map(|_| starve(&context, requests.clone(), end));
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
    let session = starve(&context, gets(&context, 300, &path), end).await?;
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
    let path = kinds::collection(seed::BULK_NAMESPACE, "blobs");
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    for _ in 0..50 {
        let connection = context
            .target
            .tls(ATTACKER_ADDRESS, Identity::Admin, Protocol::Http1);
        let mut stream = connection.await?;
        // The kernel's part of the response stays small.
        set_socket_recv_buffer_size(stream.get_ref().0, RECEIVE_BUFFER)?;
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
        // The response must end with what the kernel held.
        let read = timeout(Duration::from_secs(5), drain(&mut stream)).await;
        alive += usize::from(read.is_err() || read.is_ok_and(|read| read >= KERNEL_BYTES));
    }
    if alive > 0 {
        report.add(format!(
            "{alive} of 50 connections that did not read for {REQUEST_TIMEOUT:?} are still open"
        ));
    }
    Ok(report)
}
