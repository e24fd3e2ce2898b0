//! Response bodies that are produced while they are sent.

use std::io;

use api_types::status::ApiError;
use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, VARY};
use http::{HeaderValue, Response, StatusCode};

use super::Negotiated;
use super::compress::{self, Gzip, THRESHOLD};
use crate::reply;
use crate::store::DecodeError;

/// Approximate size of a chunk, bytes. A smaller body is sent in one piece with `Content-Length`.
pub(super) const PIECE: usize = THRESHOLD;

const GZIP: HeaderValue = HeaderValue::from_static("gzip");
const ACCEPT_ENCODING: HeaderValue = HeaderValue::from_static("Accept-Encoding");

/// Produces a body chunk by chunk. Its memory does not grow with the body.
pub(super) trait Source: Send + 'static {
    /// Yields the thread, and runs on the pool whatever would occupy the thread for too long in
    /// [`Source::fill`].
    ///
    /// # Errors
    /// If an object cannot be encoded.
    fn prepare(&mut self) -> impl Future<Output = Result<(), DecodeError>> + Send {
        async {
            tokio::task::yield_now().await;
            Ok(())
        }
    }

    /// Appends until more than [`PIECE`] bytes are ready, a turn is over, an object must be
    /// prepared, or the body is complete; returns whether there is more.
    ///
    /// # Errors
    /// If an object cannot be encoded. The body then breaks; it never ends early without an error.
    fn fill(&mut self, out: &mut Vec<u8>) -> Result<bool, DecodeError>;

    /// Yields the thread; called after each chunk was compressed.
    fn rest(&mut self) {}

    /// Bytes that are held until the body is complete.
    fn retained(&self) -> usize {
        0
    }
}

/// A body that is being produced.
struct Running<S> {
    /// The first chunk, which was produced to learn the size.
    first: Option<Vec<u8>>,
    /// `None` at the end of the body.
    source: Option<S>,
    gzip: Option<Gzip>,
}

/// A response with this body.
///
/// # Errors
/// If the first chunk cannot be produced.
pub(super) fn respond(
    negotiated: &Negotiated,
    status: StatusCode,
    mut source: impl Source,
) -> Result<Response<Body>, ApiError> {
    let mut first = Vec::new();
    let more = source.fill(&mut first)?;
    Ok(begun(negotiated, status, first, more.then_some(source)))
}

/// As [`respond`], for a body whose first chunk may take more than a turn.
///
/// # Errors
/// If the first chunk cannot be produced.
pub(super) async fn respond_in_turns<S: Source>(
    negotiated: &Negotiated,
    status: StatusCode,
    mut source: S,
) -> Result<Response<Body>, ApiError> {
    let mut first = Vec::new();
    while source.fill(&mut first)? {
        source.rest();
        if first.len() > PIECE {
            return Ok(begun(negotiated, status, first, Some(source)));
        }
        // The request may be cancelled at its deadline here.
        source.prepare().await?;
    }
    Ok(begun(negotiated, status, first, None::<S>))
}

/// A response that starts with these bytes and continues with `source`.
fn begun(
    negotiated: &Negotiated,
    status: StatusCode,
    first: Vec<u8>,
    source: Option<impl Source>,
) -> Response<Body> {
    let compressed = negotiated.gzip() && first.len() > THRESHOLD;
    let begun = source.as_ref().map(|source| reply::Begun {
        first: first.len(),
        retained: source.retained(),
    });
    let body = match (source, compressed) {
        (None, false) => Body::from(first),
        (None, true) => Body::from(compress::whole(&first)),
        (Some(source), compressed) => streamed(Running {
            first: Some(first),
            source: Some(source),
            gzip: compressed.then(Gzip::new),
        }),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    if let Some(begun) = begun {
        response.extensions_mut().insert(begun);
    }
    let content_type = HeaderValue::from_static(negotiated.encoding().content_type());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    if compressed {
        headers.insert(CONTENT_ENCODING, GZIP);
        headers.insert(VARY, ACCEPT_ENCODING);
    }
    response
}

fn streamed(running: Running<impl Source>) -> Body {
    Body::from_stream(stream::try_unfold(running, |mut running| async move {
        let piece = running.next().await?;
        Ok::<_, io::Error>(piece.map(|piece| (piece, running)))
    }))
}

impl<S: Source> Running<S> {
    /// The next chunk, never empty.
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        if let Some(first) = self.first.take() {
            let piece = match &mut self.gzip {
                Some(gzip) => gzip.feed(&first)?,
                None => first.into(),
            };
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
        let mut text = Vec::with_capacity(PIECE + PIECE / 8);
        while let Some(source) = &mut self.source {
            source.prepare().await.map_err(cut)?;
            let more = source.fill(&mut text).map_err(cut)?;
            let piece = match &mut self.gzip {
                Some(gzip) => {
                    let piece = gzip.feed(&text)?;
                    text.clear();
                    piece
                }
                // A small chunk costs as much as a large one, so gather more before sending.
                None if more && text.len() <= PIECE => Bytes::new(),
                None => std::mem::take(&mut text).into(),
            };
            source.rest();
            if !more {
                self.source = None;
            }
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
        match self.gzip.take() {
            Some(gzip) => gzip.finish().map(Some),
            None => Ok(None),
        }
    }
}

fn cut(error: DecodeError) -> io::Error {
    tracing::error!(%error, "aborted response: cannot encode object");
    io::Error::other(error)
}
