//! The body of a review: shared pieces, so that all webhooks of a write send the same bytes of the
//! objects.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// Pieces of a document, sent one after another.
#[derive(Debug, Clone)]
pub(super) struct ReviewBody {
    pieces: VecDeque<Bytes>,
    left: u64,
}

impl ReviewBody {
    /// A body of these pieces.
    pub(super) fn new(pieces: impl IntoIterator<Item = Bytes>) -> Self {
        let pieces: VecDeque<Bytes> = pieces.into_iter().filter(|it| !it.is_empty()).collect();
        let left = pieces.iter().map(|it| it.len() as u64).sum();
        Self { pieces, left }
    }
}

impl Body for ReviewBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.pieces.pop_front();
        self.left -= piece.as_ref().map_or(0, |it| it.len() as u64);
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
