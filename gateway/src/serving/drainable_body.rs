//! Drains the request body that a handler did not read. In HTTP/1 the next request follows the body
//! on the connection, so a rejection without reading would cost the client its connection and the
//! requests that it pipelined. Go's server drains as well (`maxPostHandlerReadBytes` of net/http).

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::header::{CONNECTION, EXPECT};
use http::{HeaderValue, Request, Response, Version};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use parking_lot::Mutex;

/// Bytes that are drained before the connection closes instead; Go's limit.
const DRAIN_BYTES: u64 = 256 << 10;
/// Time limit of draining.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// The body that a handler did not read to its end.
#[derive(Debug)]
pub(super) struct UnreadBody {
    body: Arc<Mutex<Option<Incoming>>>,
    /// `Expect: 100-continue` and we never sent 100.
    asks_first: bool,
}

/// A body that is returned to [`UnreadBody`] when its handler drops it.
struct DrainableBody {
    body: Option<Incoming>,
    back: Arc<Mutex<Option<Incoming>>>,
}

/// Wraps the body of a request so that it can be drained. None if nothing can remain unread.
pub(super) fn drainable(request: Request<Incoming>) -> (Request<Body>, Option<UnreadBody>) {
    if request.version() > Version::HTTP_11 || request.body().is_end_stream() {
        return (request.map(Body::new), None);
    }
    let unread = UnreadBody {
        body: Arc::default(),
        asks_first: request.headers().contains_key(EXPECT),
    };
    let wrap = |body| DrainableBody {
        body: Some(body),
        back: Arc::clone(&unread.body),
    };
    (request.map(|body| Body::new(wrap(body))), Some(unread))
}

impl UnreadBody {
    /// Reads the rest of the body. If it is too long, announces the close of the connection and
    /// returns true.
    pub(super) async fn drain<B>(self, response: &mut Response<B>) -> bool {
        let Some(mut body) = self.body.lock().take() else {
            return false;
        };
        let hopeless = self.asks_first || body.size_hint().lower() > DRAIN_BYTES;
        let read = async {
            let mut bytes = 0;
            while bytes <= DRAIN_BYTES {
                match body.frame().await {
                    None => return true,
                    Some(Ok(frame)) => bytes += frame.data_ref().map_or(0, |it| it.len() as u64),
                    Some(Err(_)) => return false,
                }
            }
            false
        };
        let cut = hopeless
            || !tokio::time::timeout(DRAIN_TIMEOUT, read)
                .await
                .unwrap_or(false);
        if cut {
            response
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
        cut
    }
}

impl http_body::Body for DrainableBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Incoming::size_hint)
    }
}

impl Drop for DrainableBody {
    fn drop(&mut self) {
        if let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) {
            *self.back.lock() = Some(body);
        }
    }
}
