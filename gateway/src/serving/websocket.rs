//! Watches over WebSocket (RFC 6455), with the rules of `golang.org/x/net/websocket`, which
//! kube-apiserver uses: one text frame per event, an `Origin` is required, messages of the client
//! are ignored, and the end is close code 1000.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::{SinkExt as _, StreamExt as _};
use http::header::{
    ACCEPT_ENCODING, CONNECTION, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body_util::BodyExt as _;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::reply::Framing;

/// The only version of the protocol.
const VERSION: &str = "13";
/// Largest message of a client, bytes. It is ignored; the limit is that of control frames, rounded
/// up.
const MAX_RECEIVED: usize = 4 << 10;
/// How long the close frame of the client is awaited.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The WebSocket of a connection, from the response to the end of the HTTP connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Pending(Arc<Mutex<Option<Stream>>>);

/// Events that wait for their WebSocket.
#[derive(Debug)]
pub(super) struct Stream {
    upgrade: OnUpgrade,
    events: Body,
    framing: Framing,
}

/// The request of a client for a WebSocket.
#[derive(Debug)]
pub(super) struct Handshake {
    upgrade: OnUpgrade,
    method: Method,
    headers: HeaderMap,
}

impl Handshake {
    /// Recognizes the request. Only the response shows whether it is for a watch: other requests
    /// are served as if they did not ask, as in kube-apiserver.
    pub(super) fn of<B>(request: &mut Request<B>) -> Option<Self> {
        let headers = request.headers();
        let is_upgrade = headers.get_all(CONNECTION).iter().any(|value| {
            let value = value.to_str().unwrap_or_default();
            value.to_ascii_lowercase().contains("upgrade")
        });
        let to = headers.get(UPGRADE)?;
        let to_websocket = to.as_bytes().eq_ignore_ascii_case(b"websocket");
        if request.version() != Version::HTTP_11 || !is_upgrade || !to_websocket {
            return None;
        }
        let upgrade = request.extensions_mut().remove::<OnUpgrade>()?;
        let mut handshake = HeaderMap::new();
        for name in [
            SEC_WEBSOCKET_KEY,
            SEC_WEBSOCKET_VERSION,
            SEC_WEBSOCKET_PROTOCOL,
            ORIGIN,
        ] {
            if let Some(value) = request.headers().get(&name) {
                handshake.insert(name, value.clone());
            }
        }
        // Frames are not compressed.
        request.headers_mut().remove(ACCEPT_ENCODING);
        Some(Self {
            upgrade,
            method: request.method().clone(),
            headers: handshake,
        })
    }

    /// Responds to the handshake. The events of `response`, which is a watch, are left in
    /// `pending`.
    pub(super) fn respond(
        self,
        response: Response<Body>,
        framing: Framing,
        pending: &Pending,
    ) -> Response<Body> {
        let accepted = match self.accept() {
            Ok(accepted) => accepted,
            Err(rejection) => return *rejection,
        };
        let (mut head, events) = response.into_parts();
        head.status = StatusCode::SWITCHING_PROTOCOLS;
        // kube-apiserver sends no other headers.
        head.headers = accepted;
        *pending.0.lock() = Some(Stream {
            upgrade: self.upgrade,
            events,
            framing,
        });
        Response::from_parts(head, Body::empty())
    }

    /// The headers of the response.
    fn accept(&self) -> Result<HeaderMap, Box<Response<Body>>> {
        let text = |name| -> &str {
            let value = self.headers.get(name);
            value
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
        };
        if self.method != Method::GET {
            return Err(Box::new(rejection(StatusCode::METHOD_NOT_ALLOWED, "")));
        }
        let key = text(SEC_WEBSOCKET_KEY);
        if key.is_empty() {
            let message = "mismatch challenge/response";
            return Err(Box::new(rejection(StatusCode::BAD_REQUEST, message)));
        }
        if text(SEC_WEBSOCKET_VERSION) != VERSION {
            let message = "missing or bad WebSocket Version";
            let mut response = rejection(StatusCode::BAD_REQUEST, message);
            let version = HeaderValue::from_static(VERSION);
            response
                .headers_mut()
                .insert(SEC_WEBSOCKET_VERSION, version);
            return Err(Box::new(response));
        }
        if !is_uri(text(ORIGIN)) {
            return Err(Box::new(rejection(StatusCode::FORBIDDEN, "")));
        }
        let mut accepted = HeaderMap::new();
        let protocol = text(SEC_WEBSOCKET_PROTOCOL).trim();
        match HeaderValue::from_str(protocol) {
            Ok(_) if protocol.is_empty() => {}
            Ok(one) if !protocol.contains(',') => {
                accepted.insert(SEC_WEBSOCKET_PROTOCOL, one);
            }
            // The server would have to choose, and kube-apiserver does not.
            _ => return Err(Box::new(rejection(StatusCode::BAD_REQUEST, ""))),
        }
        let accept = derive_accept_key(key.as_bytes());
        if let Ok(accept) = HeaderValue::try_from(accept) {
            accepted.insert(SEC_WEBSOCKET_ACCEPT, accept);
        }
        accepted.insert(UPGRADE, HeaderValue::from_static("websocket"));
        accepted.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        Ok(accepted)
    }
}

impl Pending {
    /// Sends the events of an accepted handshake until either side ends.
    pub(super) async fn serve(&self) {
        let Some(stream) = self.0.lock().take() else {
            return;
        };
        let ended = match stream.upgrade.await {
            Ok(upgraded) => send(upgraded, stream.events, stream.framing).await,
            Err(error) => {
                tracing::debug!(%error, "upgrade to WebSocket failed");
                return;
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "WebSocket ended");
        }
    }
}

/// Sends the events, each in a frame, then closes the connection.
async fn send(upgraded: Upgraded, events: Body, framing: Framing) -> Result<(), Error> {
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_RECEIVED))
        .max_frame_size(Some(MAX_RECEIVED))
        // An event is flushed before the next one is read.
        .write_buffer_size(0);
    let io = TokioIo::new(upgraded);
    let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
    send_events(&mut socket, events, framing).await?;
    // The close frame of the client, or the reply to one that it sent first.
    let reply = async { while let Some(Ok(_)) = socket.next().await {} };
    let _ = timeout(CLOSE_TIMEOUT, reply).await;
    Ok(socket.get_mut().shutdown().await?)
}

/// Sends events until either side ends the watch, and the close frame if it is the server.
async fn send_events(
    socket: &mut WebSocketStream<TokioIo<Upgraded>>,
    mut events: Body,
    framing: Framing,
) -> Result<(), Error> {
    let mut bytes = BytesMut::new();
    loop {
        tokio::select! {
            frame = events.frame() => match frame {
                Some(Ok(frame)) => {
                    bytes.extend_from_slice(&frame.into_data().unwrap_or_default());
                    while let Some(event) = next_event(framing, &mut bytes) {
                        socket.send(message(framing, event)?).await?;
                    }
                }
                // The end of the watch, by its deadline, by a drain, or after an error event.
                Some(Err(_)) | None => {
                    let normal = CloseFrame {
                        code: CloseCode::Normal,
                        reason: "".into(),
                    };
                    return socket.close(Some(normal)).await;
                }
            },
            received = socket.next() => match received {
                Some(Ok(Message::Close(_))) | None => return Ok(()),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error),
            },
        }
    }
}

/// Takes the next complete event.
fn next_event(framing: Framing, bytes: &mut BytesMut) -> Option<Bytes> {
    match framing {
        Framing::Lines => {
            let end = memchr::memchr(b'\n', bytes)?;
            Some(bytes.split_to(end + 1).freeze())
        }
        Framing::LengthPrefixed => {
            let length = u32::from_be_bytes(*bytes.first_chunk()?) as usize;
            if bytes.len() - 4 < length {
                return None;
            }
            bytes.advance(4);
            Some(bytes.split_to(length).freeze())
        }
    }
}

fn message(framing: Framing, event: Bytes) -> Result<Message, Error> {
    Ok(match framing {
        Framing::Lines => Message::Text(event.try_into()?),
        Framing::LengthPrefixed => Message::Binary(event),
    })
}

fn rejection(status: StatusCode, message: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(message));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Whether Go's `url.ParseRequestURI` accepts an origin: an absolute URI or an absolute path.
fn is_uri(text: &str) -> bool {
    let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
    let mut letters = scheme.chars();
    let has_scheme = letters
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic())
        && letters.all(|it| it.is_ascii_alphanumeric() || matches!(it, '+' | '-' | '.'));
    (has_scheme || text.starts_with('/')) && !text.contains([' ', '\u{7f}'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_split_wherever_chunks_end() {
        let lines = b"{\"a\":1}\n{\"b\":\"\\n\"}\n";
        let prefixed = b"\x00\x00\x00\x02ab\x00\x00\x00\x00\x00\x00\x00\x01c";
        for (framing, text, events) in [
            (
                Framing::Lines,
                &lines[..],
                &["{\"a\":1}\n", "{\"b\":\"\\n\"}\n"][..],
            ),
            (Framing::LengthPrefixed, prefixed, &["ab", "", "c"]),
        ] {
            for chunk in 1..=text.len() {
                let (mut bytes, mut found) = (BytesMut::new(), Vec::new());
                for part in text.chunks(chunk) {
                    bytes.extend_from_slice(part);
                    while let Some(event) = next_event(framing, &mut bytes) {
                        found.push(event);
                    }
                }
                assert_eq!(found, events, "{framing:?} in chunks of {chunk}");
            }
        }
    }

    #[test]
    fn handshake_by_head_is_405() {
        for (method, status) in [("GET", 101), ("HEAD", 405)] {
            let request = Request::builder()
                .method(method)
                .header(CONNECTION, "Upgrade")
                .header(UPGRADE, "websocket")
                .header(SEC_WEBSOCKET_VERSION, VERSION)
                .header(SEC_WEBSOCKET_KEY, "MDAwMDAwMDAwMDAwMDAwMA==")
                .header(ORIGIN, "https://example.com");
            let mut request = request.body(()).expect("a request");
            // No connection that could be upgraded.
            let upgrade = hyper::upgrade::on(Request::new(()));
            request.extensions_mut().insert(upgrade);
            let handshake = Handshake::of(&mut request).expect("a handshake");
            let events = Response::new(Body::empty());
            let response = handshake.respond(events, Framing::Lines, &Pending::default());
            assert_eq!(response.status(), status, "{method}");
        }
    }

    #[test]
    fn origin_is_a_uri() {
        for (origin, valid) in [
            ("", false),
            ("null", false),
            ("example.com", false),
            ("https://example.com", true),
            ("https://exa mple.com", false),
            ("chrome-extension://abc", true),
            ("/", true),
            ("1http://x", false),
        ] {
            assert_eq!(is_uri(origin), valid, "{origin:?}");
        }
    }
}
