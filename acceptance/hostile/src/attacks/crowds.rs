//! Requests that are harmless individually, in large numbers.

use std::time::Duration;

use anyhow::Result;
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use http::Method;
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, sleep, timeout_at};

use super::connections::drain;
use super::requests::{JSON, dry, object, object_path};
use super::{ATTACKER_ADDRESS, Attack, Context, Report};
use crate::client::{Connection, Request};
use crate::frames::{self, END_HEADERS, frame};
use crate::tls::{Identity, Protocol};
use crate::{kinds, neighbour};

pub(super) const ATTACKS: &[Attack] = &[
    Attack::client(
        "crowds/reads",
        "objects read over 100 connections at full speed",
        |context| lanes(context, 100, |_, _| Request::get(object_path("forms"))).boxed(),
    ),
    Attack::client(
        "crowds/writes",
        "objects changed over 100 connections at full speed",
        |context| lanes(context, 100, write).boxed(),
    ),
    Attack::client(
        "crowds/streams",
        "10 connections, each of which asks for 100 changes every 100 ms",
        |context| streams(context, 10).boxed(),
    ),
    Attack::client(
        "crowds/reset-reads",
        "30 connections that open 50 reads every 20 ms and reset them",
        |context| paced(context, 30, Duration::from_millis(20), reset_reads).boxed(),
    ),
    Attack::client(
        "crowds/unread",
        "100 connections of 500 reads whose responses are not read",
        |context| unread(context, 100).boxed(),
    ),
    Attack::client(
        "crowds/selectors",
        "8 connections of 2,000 watches with selectors of 7.5 kB each",
        |context| paced(context, 8, Duration::from_millis(5), selector_watches).boxed(),
    ),
    Attack::client(
        "crowds/uploads",
        "100 uploads that stop just below what the server holds; then others create objects of 100 kB",
        |context| uploads(context, 100).boxed(),
    ),
];

/// Minimum duration of a crowd. It begins with a burst, and the neighbour's p99 must cover more
/// than the few requests beside that burst.
const MIN_DURATION: Duration = Duration::from_secs(5);
/// Longest time for an ordinary request beside the others. A server that sheds load must respond
/// immediately.
const TIMEOUT: Duration = Duration::from_secs(10);

fn write(lane: usize, number: usize) -> Request {
    let body = format!(r#"{{"spec":{{"color":"c{lane}-{number}"}}}}"#);
    Request::send(
        Method::PATCH,
        object_path("forms"),
        super::requests::MERGE,
        body,
    )
}

/// Sends requests sequentially on every connection. Every response is accepted: the criterion is
/// the neighbour.
async fn lanes(
    context: Context,
    connections: usize,
    request: fn(usize, usize) -> Request,
) -> Result<Report> {
    let end = Instant::now() + context.seconds.max(MIN_DURATION);
    let context = &context;
    let lane = |lane: usize| async move {
        let connection = Connection::open(
            &context.target,
            ATTACKER_ADDRESS,
            Identity::Admin,
            Protocol::Http2,
        );
        let mut connection = connection.await?;
        let mut sent = 0;
        while Instant::now() < end {
            connection.call(&request(lane, sent), TIMEOUT).await?;
            sent += 1;
        }
        anyhow::Ok(sent)
    };
    let mut report = Report::default();
    for sent in join_all((0..connections).map(lane)).await {
        report.requests += sent? as u64;
    }
    if report.requests == 0 {
        report.add("no request of the crowd got a response".to_owned());
    }
    Ok(report)
}

/// Merge patches of one object, a hundred in each burst.
async fn streams(context: Context, connections: usize) -> Result<Report> {
    paced(
        context,
        connections,
        Duration::from_millis(100),
        |authority, number| {
            let path = object_path("forms");
            let body = format!(r#"{{"spec":{{"color":"s{number}"}}}}"#);
            let requests = ids(number, 100).flat_map(|stream| {
                let mut block = frames::get_block(authority, &path);
                // `:method: PATCH`: the name is entry 2 of the static table (RFC 7541, appendix A).
                block.splice(0..1, *b"\x02\x05PATCH");
                block.extend(frames::header(
                    "content-type",
                    "application/merge-patch+json",
                ));
                let mut bytes = frame(frames::HEADERS, END_HEADERS, stream, &block);
                bytes.extend(frame(
                    frames::DATA,
                    frames::END_STREAM,
                    stream,
                    body.as_bytes(),
                ));
                bytes
            });
            requests.collect()
        },
    )
    .await
}

/// Writes the burst of each number at every tick.
async fn paced(
    context: Context,
    connections: usize,
    pace: Duration,
    burst: fn(&str, u32) -> Vec<u8>,
) -> Result<Report> {
    let end = Instant::now() + context.seconds.max(MIN_DURATION);
    super::floods::paced(&context, Identity::Admin, connections, pace, end, burst).await
}

/// Stream ids of a burst.
fn ids(number: u32, count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(move |stream| (number * count + stream) * 2 + 1)
}

fn reset_reads(authority: &str, number: u32) -> Vec<u8> {
    let path = object_path("forms");
    let cancel = 8_u32.to_be_bytes();
    let mut bytes = Vec::new();
    for stream in ids(number, 50) {
        bytes.extend(frames::get(stream, authority, &path));
    }
    for stream in ids(number, 50) {
        bytes.extend(frame(frames::RST_STREAM, 0, stream, &cancel));
    }
    bytes
}

fn selector_watches(authority: &str, number: u32) -> Vec<u8> {
    let path = kinds::collection(neighbour::NAMESPACE, "forms");
    let selector = "!a,".repeat(2_500);
    let path = format!("{path}?watch=1&labelSelector={selector}zzz");
    let requests = ids(number, 20).flat_map(|stream| frames::get(stream, authority, &path));
    requests.collect()
}

async fn unread(context: Context, connections: usize) -> Result<Report> {
    let end = Instant::now() + context.seconds.max(MIN_DURATION);
    let path = object_path("blobs");
    let authority = context.target.address.to_string();
    let lane = |_| async {
        let connection = context
            .target
            .tls(ATTACKER_ADDRESS, Identity::Admin, Protocol::Http2);
        let mut stream = connection.await?;
        let mut bytes = frames::hello(0);
        for number in 0..500 {
            bytes.extend(frames::get(number * 2 + 1, &authority, &path));
        }
        let writing = async {
            stream.write_all(&bytes).await?;
            stream.flush().await?;
            anyhow::Ok(())
        };
        // A server that stops reading from this connection behaves correctly.
        let written = timeout_at(end, writing).await;
        if written.is_ok() {
            frames::read_session(&mut stream, end).await;
        }
        anyhow::Ok(bytes.len() as u64)
    };
    let mut report = Report::default();
    for bytes in join_all((0..connections).map(lane)).await {
        report.bytes += bytes?;
    }
    Ok(report)
}

/// The attackers' uploads stay incomplete. Complete uploads of other clients must be served.
async fn uploads(context: Context, connections: usize) -> Result<Report> {
    let end = Instant::now() + context.seconds.max(MIN_DURATION);
    let body = vec![b' '; 700_000];
    let held = (0..connections).map(|_| async {
        let connection = context
            .target
            .tls(ATTACKER_ADDRESS, Identity::Admin, Protocol::Http1);
        let mut stream = connection.await?;
        let head = format!(
            "POST {} HTTP/1.1\r\nhost: a\r\ncontent-type: {JSON}\r\ncontent-length: {}\r\n\r\n",
            dry("blobs"),
            body.len() + 1
        );
        let writing = async {
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&body).await?;
            stream.flush().await?;
            let _ = drain(&mut stream).await;
            anyhow::Ok(())
        };
        // The server closes connections that it rejects.
        let _ = timeout_at(end, writing).await;
        anyhow::Ok(())
    });
    let others = async {
        sleep(Duration::from_millis(500)).await;
        let data = format!(r#"{{"data":"{}"}}"#, "d".repeat(100_000));
        let body = object("blobs", "new", "", &data);
        let mut report = Report::default();
        while Instant::now() < end {
            let connection = Connection::open(
                &context.target,
                neighbour::ADDRESS,
                Identity::Admin,
                Protocol::Http1,
            );
            let request = Request::send(Method::POST, dry("blobs"), JSON, body.clone());
            let response = connection.await?.call(&request, TIMEOUT).await?;
            if !response.status.is_success() {
                report.add(format!("an object of 100 kB: {}", response.describe()));
            }
        }
        anyhow::Ok(report)
    };
    let (held, report) = tokio::join!(join_all(held), others);
    held.into_iter().collect::<Result<()>>()?;
    let mut report = report?;
    report.bytes = (connections * body.len()) as u64;
    Ok(report)
}
