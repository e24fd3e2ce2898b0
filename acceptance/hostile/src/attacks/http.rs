//! Malformed HTTP as raw bytes that no client library sends, and the responses.

use std::time::Duration;

use anyhow::{Context as _, Result};
use futures_util::FutureExt as _;
use http::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, split};
use tokio::time::{sleep, timeout};

use super::requests::{JSON, dry};
use super::{ATTACKER_ADDRESS, Attack, Context, Expect, Report, Shot};
use crate::client::{Connection, Request};
use crate::tls::{Identity, Protocol};
use crate::{kinds, seed};

pub(super) const ATTACKS: &[Attack] = &[
    Attack::client(
        "http/heads",
        "no Host, two Hosts, bad lengths, TE with CL, folded and broken headers: raw bytes",
        |context| heads(context).boxed(),
    ),
    Attack::requests("http/urls", "URLs of 64 kB, odd paths, odd methods", urls),
    Attack::client(
        "http/groups",
        "150 group headers by a front proxy over HTTP/1.1",
        |context| groups(context).boxed(),
    ),
    Attack::client(
        "http/upload",
        "40 MB to a limit of 3 MiB; the response must be readable after the whole upload",
        |context| upload(context).boxed(),
    ),
    Attack::client(
        "http/pipeline",
        "2,000 requests written at once on one connection",
        |context| pipeline(context).boxed(),
    ),
];

/// Time for a complete response.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Description, raw bytes, and the acceptable statuses.
type Head = (&'static str, String, &'static [u16]);

/// The server must reject the request.
const REJECTED: &[u16] = &[400];
/// The server rejects the request, or closes without a response, which counts as 0.
const ODD: &[u16] = &[
    0, 400, 401, 403, 404, 405, 411, 413, 414, 417, 431, 501, 505,
];
/// The server ignores the header, or rejects the request.
const IGNORED: &[u16] = &[200, 400, 403];

fn requests_with(headers: &[(&'static str, &str, &'static [u16])]) -> Vec<Head> {
    let heads = headers.iter().map(|(what, headers, right)| {
        let head = format!("GET /livez HTTP/1.1\r\n{headers}\r\n");
        (*what, head, *right)
    });
    heads.collect()
}

/// Heads with malformed headers.
fn headers() -> Vec<Head> {
    let many = format!("Host: a\r\n{}", "x: y\r\n".repeat(20_000));
    let long = format!("Host: a\r\nX: {}\r\n", "a".repeat(2_000_000));
    requests_with(&[
        ("no Host", "", REJECTED),
        ("two Hosts", "Host: a\r\nHost: b\r\n", REJECTED),
        ("a malformed Host", "Host: a b/c\r\n", REJECTED),
        ("a folded header", "Host: a\r\nX: a\r\n b\r\n", IGNORED),
        ("a NUL in a header", "Host: a\r\nX: a\0b\r\n", REJECTED),
        ("a space before the colon", "Host : a\r\n", REJECTED),
        ("20,000 headers", &many, ODD),
        ("a header of 2 MB", &long, ODD),
        (
            "an upgrade",
            "Host: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n",
            IGNORED,
        ),
    ])
}

/// Malformed request lines.
fn first_lines() -> Vec<Head> {
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(2_000_000));
    vec![
        ("no version", "GET /livez\r\n\r\n".to_owned(), ODD),
        (
            "an unknown version",
            "GET /livez HTTP/3.7\r\nHost: a\r\n\r\n".to_owned(),
            ODD,
        ),
        ("a URL of 2 MB", long, ODD),
        ("no HTTP", "\u{1}\u{2}\u{3}\r\n\r\n".to_owned(), ODD),
        (
            "CONNECT",
            "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n".to_owned(),
            ODD,
        ),
    ]
}

/// Bodies with a malformed length.
fn lengths() -> Vec<Head> {
    let long = "a".repeat(2_000_000);
    let chunked = "Transfer-Encoding: chunked\r\n";
    const ANY: &[u16] = &[0, 200, 400, 403, 404, 405, 413, 417];
    let cases: [(&'static str, String, &'static [u16]); 8] = [
        (
            "two lengths",
            "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab".to_owned(),
            ODD,
        ),
        (
            "a length below zero",
            "Content-Length: -1\r\n\r\n".to_owned(),
            ODD,
        ),
        (
            "an enormous length",
            "Content-Length: 99999999999999999999\r\n\r\n".to_owned(),
            ODD,
        ),
        // As in Go, Transfer-Encoding takes precedence. The bytes after the chunks are a request
        // without a Host.
        (
            "a length and chunks",
            format!("{chunked}Content-Length: 4\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n"),
            ANY,
        ),
        (
            "a chunk without a size",
            format!("{chunked}\r\nzz\r\nab\r\n"),
            ANY,
        ),
        (
            "a chunk of 2^64 bytes",
            format!("{chunked}\r\nFFFFFFFFFFFFFFFFF\r\nab\r\n"),
            ANY,
        ),
        (
            "an extension of 2 MB",
            format!("{chunked}\r\n1;{long}\r\na\r\n0\r\n\r\n"),
            ANY,
        ),
        (
            "an expectation",
            "Expect: 200-ok\r\nContent-Length: 1\r\n\r\n".to_owned(),
            ANY,
        ),
    ];
    let heads = cases.into_iter().map(|(what, rest, right)| {
        let head = format!("POST /livez HTTP/1.1\r\nHost: a\r\n{rest}");
        (what, head, right)
    });
    heads.collect()
}

async fn heads(context: Context) -> Result<Report> {
    let mut report = Report::default();
    for (what, head, right) in [headers(), first_lines(), lengths()].concat() {
        let status = raw(&context, head.as_bytes()).await;
        report.bytes += head.len() as u64;
        let status = match status {
            Ok(status) => status,
            Err(error) => {
                report.add(format!("{what}: {error:#}"));
                continue;
            }
        };
        if !right.contains(&status) {
            report.add(format!(
                "{what}: status {status}, expected one of {right:?}"
            ));
        }
    }
    Ok(report)
}

/// Writes bytes and reads the status of the first response; 0 if there is none.
async fn raw(context: &Context, bytes: &[u8]) -> Result<u16> {
    let connection = context
        .target
        .tls(ATTACKER_ADDRESS, Identity::Anonymous, Protocol::Http1);
    let mut stream = connection.await?;
    // The server may close before everything is written; only the response counts.
    let _ = timeout(TIMEOUT, stream.write_all(bytes)).await;
    let _ = stream.flush().await;
    let mut response = [0; 64];
    let read = timeout(TIMEOUT, stream.read(&mut response)).await;
    let read = read
        .context("neither a response nor a closed connection within 5 s")?
        .unwrap_or(0);
    let line = String::from_utf8_lossy(&response[..read]);
    Ok(line
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or(0))
}

fn urls() -> Vec<Shot> {
    let long = "a".repeat(60_000);
    let blobs = kinds::collection(seed::NAMESPACE, "blobs");
    let forms = kinds::collection(seed::NAMESPACE, "forms");
    let get = |what, path: String| Shot::new(what, Request::get(path)).copies(1);
    let mut shots = vec![
        get("a path of 60 kB", format!("/{long}")).expect(Expect::Rejected),
        get("30,000 segments", "/a".repeat(30_000)).expect(Expect::Rejected),
        get("a namespace of 60 kB", blobs.replace("attack", &long)),
        get("escapes", format!("{blobs}/{}", "%2e%2e%2f".repeat(6_000))).expect(Expect::Rejected),
        get("dots", format!("{blobs}/..{}", "/..".repeat(10_000))).expect(Expect::Rejected),
        get("broken escapes", format!("{blobs}/%zz%")).expect(Expect::Rejected),
        get(
            "15,000 parameters",
            format!("{forms}?{}limit=1", "a=b&".repeat(15_000)),
        ),
        get(
            "an unknown group",
            "/apis/unknown.example.com/v1/things".to_owned(),
        )
        .expect(Expect::Rejected),
    ];
    for method in [
        "TRACE",
        "OPTIONS",
        "SEARCH",
        "get",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    ] {
        let method = Method::from_bytes(method.as_bytes()).unwrap_or(Method::TRACE);
        let request = Request {
            method,
            ..Request::get(blobs.clone())
        };
        shots.push(
            Shot::new("an unknown method", request)
                .copies(1)
                .expect(Expect::Rejected),
        );
    }
    shots
}

async fn groups(context: Context) -> Result<Report> {
    let proxied = context.driver.front_proxy(&[])?;
    let path = kinds::collection(seed::NAMESPACE, "forms");
    let mut request = Request::get(path).header("x-remote-user", "jane");
    for number in 0..149 {
        request = request.header("x-remote-group", format!("team-{number}"));
    }
    let request = request.header("x-remote-group", "system:masters");
    let shot = Shot::new("150 groups", request).expect(Expect::Success);
    // The second gateway must load its cache first.
    sleep(Duration::from_secs(1)).await;
    let context = Context {
        target: proxied.target.clone(),
        ..context
    };
    Ok(super::fire(&context, &[shot]).await)
}

async fn upload(context: Context) -> Result<Report> {
    const LENGTH: usize = 40 << 20;
    let mut report = Report::default();
    let path = dry("blobs");
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: {JSON}\r\nContent-Length: {LENGTH}\r\n\r\n"
    );
    let connection = context
        .target
        .tls(ATTACKER_ADDRESS, Identity::Admin, Protocol::Http1);
    let (mut reader, mut writer) = split(connection.await?);
    let piece = vec![b' '; 1 << 20];
    let writing = async {
        writer.write_all(head.as_bytes()).await?;
        for _ in 0..LENGTH / piece.len() {
            writer.write_all(&piece).await?;
        }
        writer.flush().await
    };
    // As in Go's client: the response counts even if sending the rest of the body fails.
    let reading = async {
        let mut response = vec![0; 4096];
        let read = reader.read(&mut response).await.unwrap_or_default();
        String::from_utf8_lossy(&response[..read]).into_owned()
    };
    let both = async { tokio::join!(writing, reading).1 };
    let response = timeout(TIMEOUT * 2, both).await.unwrap_or_default();
    report.bytes += LENGTH as u64;
    if !response.starts_with("HTTP/1.1 413") {
        let response: String = response.chars().take(60).collect();
        report.add(format!("40 MB over HTTP/1.1: no 413 but {response:?}"));
    }
    let request = Request::send(Method::POST, path, JSON, vec![b' '; LENGTH]);
    report.bytes += LENGTH as u64;
    let connection = Connection::open(
        &context.target,
        ATTACKER_ADDRESS,
        Identity::Admin,
        Protocol::Http2,
    );
    match connection.await?.call(&request, TIMEOUT * 2).await {
        Ok(response) if response.status == 413 => {}
        Ok(response) => report.add(format!("40 MB over HTTP/2: {}", response.describe())),
        Err(error) => report.add(format!("40 MB over HTTP/2: no 413 but {error:#}")),
    }
    Ok(report)
}

async fn pipeline(context: Context) -> Result<Report> {
    let object = super::requests::object_path("blobs");
    let one = format!("GET {object} HTTP/1.1\r\nHost: a\r\n\r\n");
    let bytes = one.repeat(2_000);
    let connection = context
        .target
        .tls(ATTACKER_ADDRESS, Identity::Admin, Protocol::Http1);
    let mut stream = connection.await?;
    let written = timeout(TIMEOUT, stream.write_all(bytes.as_bytes())).await;
    // The server may stop reading while the client does not read responses.
    let _ = written;
    sleep(context.seconds).await;
    Ok(Report {
        bytes: bytes.len() as u64,
        ..Report::default()
    })
}
