//! Hand-written HTTP/2 frames (RFC 9113), for sequences that no library sends.

use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, timeout_at};

/// Connection preface.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

/// Flags: END_STREAM of DATA and HEADERS, ACK of SETTINGS and PING.
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// SETTINGS_INITIAL_WINDOW_SIZE.
pub(crate) const INITIAL_WINDOW_SIZE: u16 = 4;

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len())
        .unwrap_or(u32::MAX)
        .to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// Preface and SETTINGS; `window` is the initial flow-control window of each stream, in bytes.
pub(crate) fn hello(window: u32) -> Vec<u8> {
    let mut settings = INITIAL_WINDOW_SIZE.to_be_bytes().to_vec();
    settings.extend_from_slice(&window.to_be_bytes());
    let mut bytes = PREFACE.to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &settings));
    bytes
}

/// WINDOW_UPDATE.
pub(crate) fn window(stream: u32, more: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &more.to_be_bytes())
}

/// Header block of a GET (RFC 7541, without Huffman codes and dynamic table).
pub(crate) fn get_block(authority: &str, path: &str) -> Vec<u8> {
    // `:method: GET` and `:scheme: https` of the static table; then names 4 and 1 of it.
    let mut block = vec![0x82, 0x87, 0x04];
    text(&mut block, path);
    block.push(0x01);
    text(&mut block, authority);
    block
}

/// Header block of a POST of JSON.
pub(crate) fn post_block(authority: &str, path: &str) -> Vec<u8> {
    let mut block = get_block(authority, path);
    block[0] = 0x83;
    block.extend(header("content-type", "application/json"));
    block
}

/// Literal header without indexing.
pub(crate) fn header(name: &str, value: &str) -> Vec<u8> {
    let mut block = vec![0];
    text(&mut block, name);
    text(&mut block, value);
    block
}

/// HEADERS of a whole request without a body.
pub(crate) fn get(stream: u32, authority: &str, path: &str) -> Vec<u8> {
    let block = get_block(authority, path);
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &block)
}

/// A string literal with its length as an integer of a 7-bit prefix (RFC 7541, 5.2).
fn text(block: &mut Vec<u8>, value: &str) {
    let mut rest = value.len();
    if rest < 127 {
        block.push(rest as u8);
    } else {
        block.push(127);
        rest -= 127;
        while rest >= 128 {
            block.push((rest % 128) as u8 | 128);
            rest /= 128;
        }
        block.push(rest as u8);
    }
    block.extend_from_slice(value.as_bytes());
}

/// Result of one connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Session {
    /// Time after which the server closed the connection.
    pub(crate) closed: Option<Duration>,
    /// Streams that the server reset.
    pub(crate) resets: usize,
    /// Bytes of DATA.
    pub(crate) data: usize,
    /// Responses whose HEADERS arrived.
    pub(crate) responses: usize,
}

/// Reads until `end` or until the server closes. Acknowledges SETTINGS and PING as a regular client
/// does, and never extends a flow-control window.
pub(crate) async fn read_session<S>(stream: &mut S, end: Instant) -> Session
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let started = Instant::now();
    let mut session = Session::default();
    let reading = async {
        loop {
            let read = read_frame(stream, &mut session).await;
            if read.is_err() {
                return;
            }
        }
    };
    if timeout_at(end, reading).await.is_ok() {
        session.closed = Some(started.elapsed());
    }
    session
}

async fn read_frame<S>(stream: &mut S, session: &mut Session) -> Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut head = [0; 9];
    stream.read_exact(&mut head).await?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).await?;
    match (head[3], head[4]) {
        (DATA, _) => session.data += length,
        (HEADERS, _) => session.responses += 1,
        (RST_STREAM, _) => session.resets += 1,
        (kind @ (SETTINGS | PING), flags) if flags & ACK == 0 => {
            let echo: &[u8] = if kind == PING { &payload } else { &[] };
            stream.write_all(&frame(kind, ACK, 0, echo)).await?;
            stream.flush().await?;
        }
        (GOAWAY, _) => anyhow::bail!("the server sent GOAWAY"),
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{frame, header};

    #[test]
    fn frames_and_long_strings_are_encoded() {
        assert_eq!(
            frame(6, 1, 3, b"ab"),
            [0, 0, 2, 6, 1, 0, 0, 0, 3, b'a', b'b']
        );
        let block = header("a", &"x".repeat(300));
        // RFC 7541, 5.1: 127, then 173 in groups of seven bits, least significant first.
        assert_eq!(block[..6], [0, 1, b'a', 127, 0xad, 1]);
    }
}
