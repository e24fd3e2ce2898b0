//! Bodies that are made while they are read.

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

/// Bytes of a piece, about; what is smaller is sent in one with its length.
pub(super) const PIECE: usize = THRESHOLD;

const GZIP: HeaderValue = HeaderValue::from_static("gzip");
const ACCEPT_ENCODING: HeaderValue = HeaderValue::from_static("Accept-Encoding");

/// Makes a body piece by piece. What it holds does not grow with the body.
pub(super) trait Source: Send + 'static {
    /// Lets others have the thread, and does elsewhere what would keep it for too long in
    /// [`Source::fill`].
    ///
    /// # Errors
    /// If an object cannot be written.
    fn prepare(&mut self) -> impl Future<Output = Result<(), DecodeError>> + Send {
        async {
            tokio::task::yield_now().await;
            Ok(())
        }
    }

    /// Appends until more than [`PIECE`] bytes are there, a turn is over, something is to be
    /// prepared, or the body is complete; whether there is more.
    ///
    /// # Errors
    /// If an object cannot be written. The body is then broken, not merely short.
    fn fill(&mut self, out: &mut Vec<u8>) -> Result<bool, DecodeError>;

    /// Leaves the thread to others; called when what was filled has been packed.
    fn rest(&mut self) {}

    /// Bytes that are held until the body is complete.
    fn kept(&self) -> usize {
        0
    }
}

/// A body under way.
struct Running<S> {
    /// What comes first; made to know the size.
    first: Option<Vec<u8>>,
    /// `None` when it has given everything.
    source: Option<S>,
    gzip: Option<Gzip>,
}

/// An answer with this body.
///
/// # Errors
/// If its beginning cannot be made.
pub(super) fn respond(
    negotiated: &Negotiated,
    status: StatusCode,
    mut source: impl Source,
) -> Result<Response<Body>, ApiError> {
    let mut first = Vec::new();
    let more = source.fill(&mut first)?;
    Ok(begun(negotiated, status, first, more.then_some(source)))
}

/// The same for a body whose beginning may take more than a turn.
///
/// # Errors
/// If its beginning cannot be made.
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
        // The time of this request may be over.
        source.prepare().await?;
    }
    Ok(begun(negotiated, status, first, None::<S>))
}

/// An answer that begins with these bytes, and goes on if there is more.
fn begun(
    negotiated: &Negotiated,
    status: StatusCode,
    first: Vec<u8>,
    source: Option<impl Source>,
) -> Response<Body> {
    let compressed = negotiated.gzip() && first.len() > THRESHOLD;
    let begun = source.as_ref().map(|source| reply::Begun {
        first: first.len(),
        kept: source.kept(),
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
    /// The next piece, never an empty one.
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
                // Small pieces cost as much as large ones.
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
    tracing::error!(%error, "an answer was cut, an object cannot be written");
    io::Error::other(error)
}
