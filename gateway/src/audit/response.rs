//! The body of a response, for its event: captured while it is sent, without a copy.

use std::collections::VecDeque;
use std::io::Read as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use api_types::status::Status;
use axum::body::Body;
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use futures_util::FutureExt as _;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use serde_json::Value;

use super::json::compact;
use crate::request::recording::{Budget, Charged};

/// Largest response in an event after its decompression, bytes. The memory of the compressed bytes
/// is charged; this bounds the rest.
const MAX_DECODED: u64 = 64 << 20;

/// The body of a response.
#[derive(Debug, Clone)]
pub(super) enum Captured {
    /// A Status, which is written again.
    Status(Arc<Status>),
    /// The sent bytes.
    Sent(Arc<Sent>),
}

/// Sent bytes, and how they are encoded.
#[derive(Debug)]
pub(super) struct Sent {
    encoding: Encoding,
    pieces: Mutex<Pieces>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Encoding {
    gzip: bool,
    yaml: bool,
}

#[derive(Debug, Default)]
struct Pieces {
    held: Vec<Charged>,
    complete: bool,
    /// Whether a piece was left out for want of memory.
    lost: bool,
}

/// A body whose bytes are captured while they are sent.
struct Tee {
    body: Body,
    sent: Arc<Sent>,
    budget: Budget,
}

impl Captured {
    /// Captures the body of a response, if it is JSON or YAML. A body that is complete already is
    /// captured at once.
    pub(super) fn of(headers: &HeaderMap, body: Body, budget: &Budget) -> (Body, Option<Self>) {
        let Some(encoding) = Encoding::of(headers) else {
            return (body, None);
        };
        let sent = Arc::new(Sent {
            encoding,
            pieces: Mutex::default(),
        });
        let captured = Some(Self::Sent(Arc::clone(&sent)));
        if body.size_hint().exact().is_none() {
            let budget = budget.clone();
            return (Body::new(Tee { body, sent, budget }), captured);
        }
        (sent.take_all(body, budget), captured)
    }

    /// The body as JSON on one line; `None` if it was not captured completely or cannot be decoded.
    pub(super) fn json(&self, omit_managed_fields: bool) -> Option<Vec<u8>> {
        match self {
            Self::Status(status) => Some(status.to_json()),
            Self::Sent(sent) => sent.json(omit_managed_fields),
        }
    }
}

impl Encoding {
    fn of(headers: &HeaderMap) -> Option<Self> {
        let text = |name| headers.get(name).map_or(&b""[..], |value| value.as_bytes());
        let content_type = text(CONTENT_TYPE);
        let yaml = content_type.starts_with(b"application/yaml");
        if !yaml && !content_type.starts_with(b"application/json") {
            return None;
        }
        match text(CONTENT_ENCODING) {
            b"" => Some(Self { gzip: false, yaml }),
            b"gzip" => Some(Self { gzip: true, yaml }),
            _ => None,
        }
    }
}

impl Sent {
    /// Captures the frames of a body that is in memory, and returns a body of the same frames.
    fn take_all(self: &Arc<Self>, mut body: Body, budget: &Budget) -> Body {
        let mut frames = Vec::new();
        loop {
            match body.frame().now_or_never() {
                Some(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => {
                        self.put(&data, budget);
                        frames.push(data);
                    }
                    // Trailers, which no handler sends.
                    Err(_) => continue,
                },
                Some(None) => break,
                // Not in memory after all: the rest is captured while it is sent.
                Some(Some(Err(_))) | None => {
                    let sent = Arc::clone(self);
                    let budget = budget.clone();
                    return Body::new(Prefixed {
                        frames: frames.into(),
                        rest: Some(Tee { body, sent, budget }),
                    });
                }
            }
        }
        self.pieces.lock().complete = true;
        if frames.len() <= 1 {
            return frames.pop().map_or_else(Body::empty, Body::from);
        }
        Body::new(Prefixed {
            frames: frames.into(),
            rest: None,
        })
    }

    fn put(&self, data: &Bytes, budget: &Budget) {
        let mut pieces = self.pieces.lock();
        if pieces.lost {
            return;
        }
        match budget.hold(data.clone()) {
            Some(held) => pieces.held.push(held),
            None => {
                *pieces = Pieces {
                    lost: true,
                    ..Pieces::default()
                };
            }
        }
    }

    fn json(&self, omit_managed_fields: bool) -> Option<Vec<u8>> {
        let pieces = self.pieces.lock();
        if pieces.lost || !pieces.complete {
            return None;
        }
        let mut text = Vec::new();
        pieces
            .held
            .iter()
            .for_each(|piece| text.extend_from_slice(piece.bytes()));
        drop(pieces);
        if self.encoding.gzip {
            let mut decoded = Vec::new();
            let mut decoder = MultiGzDecoder::new(&*text).take(MAX_DECODED);
            decoder.read_to_end(&mut decoded).ok()?;
            text = decoded;
        }
        if self.encoding.yaml {
            let value = kube_json::yaml::parse(&text).ok()?.value;
            text = kube_json::to_vec(&value);
        }
        if omit_managed_fields {
            let mut value = kube_json::parse(&text).ok()?.value;
            without_managed_fields(&mut value);
            return Some(kube_json::to_vec(&value));
        }
        let mut json = Vec::new();
        compact(&text, &mut json);
        Some(json)
    }
}

/// Removes the managed fields of an object, of the items of a list, and of the rows of a table.
fn without_managed_fields(value: &mut Value) {
    let remove = |object: &mut Value| {
        if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
            metadata.remove("managedFields");
        }
    };
    remove(value);
    if let Some(Value::Array(items)) = value.get_mut("items") {
        items.iter_mut().for_each(remove);
    }
    if let Some(Value::Array(rows)) = value.get_mut("rows") {
        let objects = rows.iter_mut().filter_map(|row| row.get_mut("object"));
        objects.for_each(remove);
    }
}

impl http_body::Body for Tee {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            None => self.sent.pieces.lock().complete = true,
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    self.sent.put(data, &self.budget);
                }
            }
            Some(Err(_)) => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        let ended = self.body.is_end_stream();
        if ended {
            self.sent.pieces.lock().complete = true;
        }
        ended
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Frames that were taken from a body, and the rest of it.
struct Prefixed {
    frames: VecDeque<Bytes>,
    rest: Option<Tee>,
}

impl http_body::Body for Prefixed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Some(data) = self.frames.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        match &mut self.rest {
            Some(rest) => Pin::new(rest).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty() && self.rest.as_ref().is_none_or(Tee::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let rest = match &self.rest {
            Some(rest) => rest.size_hint().exact(),
            None => Some(0),
        };
        let taken: usize = self.frames.iter().map(Bytes::len).sum();
        let size = rest.map(|rest| rest + taken as u64);
        size.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
