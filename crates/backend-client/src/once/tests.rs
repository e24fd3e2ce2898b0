//! Tests of pings, against a server that counts them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use backend_proto::v1::HealthRequest;
use backend_proto::v1::backend_client::BackendClient;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::Endpoint;

/// Bytes that a client sends before its first frame (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Types and flags of frames.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// `:status 200`, `content-type: application/grpc` and `grpc-status: 12`, in HPACK without Huffman
/// coding: a response without a message.
const UNIMPLEMENTED: &[u8] =
    b"\x88\x00\x0ccontent-type\x10application/grpc\x00\x0bgrpc-status\x0212";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame");
    let mut bytes = length.to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Responds to the first call, never to later ones, and to every ping.
async fn serve(mut client: UnixStream, pings: Arc<AtomicUsize>) -> std::io::Result<()> {
    let mut preface = vec![0; PREFACE.len()];
    client.read_exact(&mut preface).await?;
    client.write_all(&frame(SETTINGS, 0, 0, &[])).await?;
    loop {
        let mut head = [0; 9];
        client.read_exact(&mut head).await?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        client.read_exact(&mut payload).await?;
        let stream = u32::from_be_bytes(stream);
        let reply = match kind {
            SETTINGS if flags & ACK == 0 => frame(SETTINGS, ACK, 0, &[]),
            PING if flags & ACK == 0 => {
                pings.fetch_add(1, Ordering::Relaxed);
                frame(PING, ACK, 0, &payload)
            }
            DATA if flags & END_STREAM != 0 && stream == 1 => {
                frame(HEADERS, END_STREAM | END_HEADERS, stream, UNIMPLEMENTED)
            }
            _ => continue,
        };
        client.write_all(&reply).await?;
    }
}

#[tokio::test(start_paused = true)]
async fn connection_is_pinged_only_while_a_call_is_open() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let socket = folder.path().join("s");
    let listener = UnixListener::bind(&socket).expect("a socket");
    let pings = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&pings);
    let mut server = JoinSet::new();
    server.spawn(async move {
        let (client, _) = listener.accept().await.expect("a client");
        serve(client, counted).await
    });
    let mut client = BackendClient::new(Endpoint::unix(&socket).channel_once(|| ()));
    let answered = client.health(HealthRequest {}).await;
    let status = answered.expect_err("no message");
    assert_eq!(status.code(), tonic::Code::Unimplemented, "{status}");
    sleep(Duration::from_secs(600)).await;
    assert_eq!(pings.load(Ordering::Relaxed), 0, "pings while idle");
    let open = timeout(Duration::from_secs(35), client.health(HealthRequest {})).await;
    open.expect_err("a call that is not answered");
    let during = pings.load(Ordering::Relaxed);
    assert!((3..=4).contains(&during), "{during} pings during a call");
}
