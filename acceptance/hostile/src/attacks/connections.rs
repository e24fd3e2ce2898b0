//! Connections that stay open and send nothing, an incomplete request, or bytes very slowly.

use std::future::Future;
use std::net::Ipv4Addr;
use std::pin::pin;
use std::time::Duration;

use anyhow::Result;
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, sleep, timeout_at};

use super::requests::{JSON, dry};
use super::{ATTACKER_ADDRESS, Attack, Context, Report};
use crate::frames;
use crate::neighbour::ADDRESS as SAME;
use crate::server::Setup;
use crate::tls::{Identity, Protocol};

/// Enough connections to exhaust the usual soft limit of 1,024 descriptors.
const CROWD: usize = 1_007;
/// Time for opening connections; afterwards the attack proceeds with those that the server
/// accepted.
const OPEN_DURATION: Duration = Duration::from_secs(8);
/// Connections opened concurrently.
const CONCURRENCY: usize = 50;

pub(super) const ATTACKS: &[Attack] = &[
    Attack::client(
        "connections/silent",
        "1,007 TLS connections without credentials that send nothing, from the neighbour's address",
        |context| async move { silent(&context, CROWD, |_| SAME).await }.boxed(),
    ),
    Attack::client(
        "connections/silent-elsewhere",
        "1,007 TLS connections that send nothing, from 50 addresses",
        |context| {
            async move {
                silent(&context, CROWD, |n| {
                    Ipv4Addr::new(127, 0, 1, (n % 50) as u8 + 1)
                })
                .await
            }
            .boxed()
        },
    ),
    Attack::client(
        "connections/tcp",
        "1,007 TCP connections without a TLS handshake, half of them with three bytes of one",
        |context| async move { tcp(&context, CROWD).await }.boxed(),
    ),
    Attack::client(
        "connections/garbage",
        "TLS records of garbage before a handshake, from 50 connections repeatedly",
        |context| async move { garbage(&context, 50).await }.boxed(),
    ),
    Attack::client(
        "connections/half-preface",
        "1,007 HTTP/2 connections that send half of the preface",
        |context| async move { preface(&context, CROWD).await }.boxed(),
    ),
    Attack::client(
        "connections/ping-only",
        "1,007 HTTP/2 connections that acknowledge SETTINGS and PING and send no request",
        |context| async move { pings(&context, CROWD).await }.boxed(),
    ),
    Attack::client(
        "connections/unfinished-heads",
        "400 heads of 900 kB that do not end, without credentials",
        |context| async move { heads(&context, 400).await }.boxed(),
    ),
    Attack::client(
        "connections/slow-bodies",
        "100 bodies of 3 MB of which a byte comes every 50 ms",
        |context| async move { bodies(&context, 100).await }.boxed(),
    ),
    Attack::client(
        "connections/few-descriptors",
        "1,007 silent TLS connections where the hard limit of descriptors is 1,024",
        |context| async move { silent(&context, CROWD, |_| ATTACKER_ADDRESS).await }.boxed(),
    )
    .setup(Setup::FewDescriptors),
    Attack::client(
        "connections/ten-thousand",
        "10,000 silent TLS connections",
        |context| async move { silent(&context, 10_000, |_| ATTACKER_ADDRESS).await }.boxed(),
    )
    .long(),
    // The timeouts of kube-apiserver: 10 s for the TLS handshake and for the HTTP/2 preface, 32 s
    // for an HTTP/1.1 head, 60 s for a request. Each attack adds a margin.
    Attack::client(
        "patient/tcp",
        "TCP without TLS: closed within 15 s",
        |context| async move { closed(&context, None, b"", 15).await }.boxed(),
    )
    .waits_for_timeouts(),
    Attack::client(
        "patient/silent-h2",
        "silence after the handshake of HTTP/2: closed within 15 s",
        |context| {
            async move {
                closed(
                    &context,
                    Some((Identity::Anonymous, Protocol::Http2)),
                    b"",
                    15,
                )
                .await
            }
            .boxed()
        },
    )
    .waits_for_timeouts(),
    Attack::client(
        "patient/silent-h1",
        "silence after the handshake of HTTP/1.1: closed within 40 s",
        |context| {
            async move {
                closed(
                    &context,
                    Some((Identity::Anonymous, Protocol::Http1)),
                    b"",
                    40,
                )
                .await
            }
            .boxed()
        },
    )
    .waits_for_timeouts(),
    Attack::client(
        "patient/half-preface",
        "half a preface: closed within 15 s",
        |context| {
            async move {
                closed(
                    &context,
                    Some((Identity::Anonymous, Protocol::Http2)),
                    &frames::PREFACE[..12],
                    15,
                )
                .await
            }
            .boxed()
        },
    )
    .waits_for_timeouts(),
    Attack::client(
        "patient/half-head",
        "half a head: closed within 40 s",
        |context| {
            let head = b"GET /livez HTTP/1.1\r\nHost: a\r\nX: ";
            async move {
                closed(
                    &context,
                    Some((Identity::Anonymous, Protocol::Http1)),
                    head,
                    40,
                )
                .await
            }
            .boxed()
        },
    )
    .waits_for_timeouts(),
    Attack::client(
        "patient/half-body",
        "half a body: response or close within 75 s",
        |context| {
            async move {
                closed(
                    &context,
                    Some((Identity::Admin, Protocol::Http1)),
                    half_body().as_bytes(),
                    75,
                )
                .await
            }
            .boxed()
        },
    )
    .waits_for_timeouts(),
    // Go's net/http closes idle HTTP/2 connections after the server's IdleTimeout, 90 s in
    // kube-apiserver.
    Attack::client(
        "patient/ping-only",
        "HTTP/2 that only acknowledges PING: closed within 100 s",
        |context| {
            async move {
                closed(
                    &context,
                    Some((Identity::Anonymous, Protocol::Http2)),
                    &frames::hello(65_535),
                    100,
                )
                .await
            }
            .boxed()
        },
    )
    .waits_for_timeouts()
    .long(),
];

/// Opens connections and holds them until `end`. The server may reject any of them.
pub(super) async fn hold<S, F>(
    context: &Context,
    count: usize,
    open: impl Fn(usize) -> F,
) -> Result<Report>
where
    F: Future<Output = Result<(S, usize)>>,
{
    let mut report = Report::default();
    let mut held = Vec::new();
    let deadline = Instant::now() + OPEN_DURATION;
    let mut opening = pin!(
        stream::iter(0..count)
            .map(open)
            .buffer_unordered(CONCURRENCY)
    );
    while let Ok(Some(opened)) = timeout_at(deadline, opening.next()).await {
        if let Ok((stream, bytes)) = opened {
            report.bytes += bytes as u64;
            held.push(stream);
        }
    }
    sleep(context.seconds).await;
    Ok(report)
}

async fn silent(
    context: &Context,
    count: usize,
    from: impl Fn(usize) -> Ipv4Addr,
) -> Result<Report> {
    hold(context, count, |number| {
        let (target, from) = (context.target.clone(), from(number));
        let protocol = if number % 2 == 0 {
            Protocol::Http1
        } else {
            Protocol::Http2
        };
        // Approximate bytes of a TLS handshake.
        async move { Ok((target.tls(from, Identity::Anonymous, protocol).await?, 600)) }
    })
    .await
}

async fn tcp(context: &Context, count: usize) -> Result<Report> {
    hold(context, count, |number| async move {
        let mut stream = context.target.tcp(SAME).await?;
        let bytes: &[u8] = if number % 2 == 0 { &[] } else { &[0x16, 3, 1] };
        stream.write_all(bytes).await?;
        Ok((stream, bytes.len()))
    })
    .await
}

async fn preface(context: &Context, count: usize) -> Result<Report> {
    hold(context, count, |_| async move {
        let connection = context
            .target
            .tls(SAME, Identity::Anonymous, Protocol::Http2);
        let mut stream = connection.await?;
        stream.write_all(&frames::PREFACE[..12]).await?;
        stream.flush().await?;
        Ok((stream, 12))
    })
    .await
}

async fn pings(context: &Context, count: usize) -> Result<Report> {
    let end = Instant::now() + context.seconds + Duration::from_secs(3);
    let open = |_| async move {
        let connection = context
            .target
            .tls(SAME, Identity::Anonymous, Protocol::Http2);
        let mut stream = connection.await?;
        let hello = frames::hello(65_535);
        stream.write_all(&hello).await?;
        stream.flush().await?;
        anyhow::Ok((stream, hello.len()))
    };
    let mut report = Report::default();
    let mut streams = Vec::new();
    let mut opening = pin!(
        stream::iter(0..count)
            .map(open)
            .buffer_unordered(CONCURRENCY)
    );
    while let Ok(Some(opened)) = timeout_at(end, opening.next()).await {
        if let Ok((stream, bytes)) = opened {
            report.bytes += bytes as u64;
            streams.push(stream);
        }
    }
    join_all(
        streams
            .iter_mut()
            .map(|stream| frames::read_session(stream, end)),
    )
    .await;
    Ok(report)
}

/// The server may reject these bytes in any way, but its log must stay within the limit.
async fn garbage(context: &Context, connections: usize) -> Result<Report> {
    let end = Instant::now() + context.seconds.max(Duration::from_secs(1));
    let lanes = (0..connections).map(|_| async {
        let mut sent = 0;
        while Instant::now() < end {
            let sending = async {
                let mut stream = context.target.tcp(ATTACKER_ADDRESS).await?;
                stream
                    .write_all(&[0x17, 3, 3, 0, 4, b'a', b'b', b'c', b'd'])
                    .await?;
                stream.flush().await?;
                drain(&mut stream).await;
                anyhow::Ok(())
            };
            // A server that rejects connections under this load behaves correctly.
            let _ = timeout_at(end, sending).await;
            sent += 9;
        }
        sent
    });
    Ok(Report {
        bytes: join_all(lanes).await.into_iter().sum(),
        ..Report::default()
    })
}

async fn heads(context: &Context, count: usize) -> Result<Report> {
    let head = "GET /livez HTTP/1.1\r\nHost: a\r\nX: ".to_owned() + &"a".repeat(900_000);
    let head = head.as_bytes();
    hold(context, count, |_| async move {
        let connection = context
            .target
            .tls(SAME, Identity::Anonymous, Protocol::Http1);
        let mut stream = connection.await?;
        stream.write_all(head).await?;
        stream.flush().await?;
        Ok((stream, head.len()))
    })
    .await
}

/// The head of a request with a body of 3 MB, and the first byte of the body.
fn half_body() -> String {
    let path = dry("blobs");
    format!(
        "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: {JSON}\r\nContent-Length: 3000000\r\n\r\n{{"
    )
}

async fn bodies(context: &Context, count: usize) -> Result<Report> {
    let end = Instant::now() + context.seconds + Duration::from_secs(1);
    let lanes = (0..count).map(|_| async move {
        let connection = context
            .target
            .tls(ATTACKER_ADDRESS, Identity::Admin, Protocol::Http1);
        let mut stream = connection.await?;
        stream.write_all(half_body().as_bytes()).await?;
        while Instant::now() < end {
            stream.write_all(b" ").await?;
            stream.flush().await?;
            sleep(Duration::from_millis(50)).await;
        }
        anyhow::Ok(())
    });
    let sent = join_all(lanes).await.len() * half_body().len();
    Ok(Report {
        bytes: sent as u64,
        ..Report::default()
    })
}

/// Ten connections that send `bytes` and then nothing. The server must close each within `seconds`.
async fn closed(
    context: &Context,
    tls: Option<(Identity, Protocol)>,
    bytes: &[u8],
    seconds: u64,
) -> Result<Report> {
    const CONNECTIONS: usize = 10;
    let end = Instant::now() + Duration::from_secs(seconds);
    let lanes = (0..CONNECTIONS).map(|_| async move {
        match tls {
            None => wait(context.target.tcp(ATTACKER_ADDRESS).await?, bytes, end).await,
            Some((identity, protocol)) => {
                let stream = context
                    .target
                    .tls(ATTACKER_ADDRESS, identity, protocol)
                    .await?;
                wait(stream, bytes, end).await
            }
        }
    });
    let mut report = Report::default();
    let mut open = 0;
    for closed in join_all(lanes).await {
        open += usize::from(!closed?);
        report.bytes += bytes.len() as u64;
    }
    if open > 0 {
        report.add(format!(
            "{open} of {CONNECTIONS} connections are open after {seconds} s"
        ));
    }
    Ok(report)
}

/// Whether the server closes the connection before `end`, with or without an error response.
async fn wait<S>(mut stream: S, bytes: &[u8], end: Instant) -> Result<bool>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(bytes).await?;
    stream.flush().await?;
    if bytes.starts_with(frames::PREFACE) {
        return Ok(frames::read_session(&mut stream, end)
            .await
            .closed
            .is_some());
    }
    Ok(timeout_at(end, drain(&mut stream)).await.is_ok())
}

/// Reads to the end; returns the number of bytes.
pub(super) async fn drain<S: AsyncRead + Unpin>(stream: &mut S) -> usize {
    let mut total = 0;
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        total += read;
    }
    total
}
