//! A text and its final newline, without a copy of the text.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

/// A body of shared bytes and a newline.
#[derive(Debug)]
pub struct Line {
    text: Bytes,
    newline: Bytes,
}

impl Line {
    /// The line of a non-empty text.
    #[must_use]
    pub const fn new(text: Bytes) -> Self {
        Self {
            text,
            newline: Bytes::from_static(b"\n"),
        }
    }
}

impl http_body::Body for Line {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let mut part = std::mem::take(&mut self.text);
        if part.is_empty() {
            part = std::mem::take(&mut self.newline);
        }
        Poll::Ready((!part.is_empty()).then(|| Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.text.is_empty() && self.newline.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact((self.text.len() + self.newline.len()) as u64)
    }
}
