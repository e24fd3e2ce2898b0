//! A socket that fails if its peer does not read.
//!
//! While the socket cannot be written, hyper polls neither bodies nor its own timers, so a client
//! that never reads would be served forever.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// Fails a write that could not proceed within the timeout.
#[derive(Debug)]
pub(super) struct WriteStall<T> {
    io: T,
    longest: Duration,
    /// Fires when the pending write times out.
    alarm: Pin<Box<Sleep>>,
    waiting: bool,
}

impl<T> WriteStall<T> {
    pub(super) fn new(io: T, longest: Duration) -> Self {
        Self {
            io,
            longest,
            alarm: Box::pin(sleep(longest)),
            waiting: false,
        }
    }

    /// The wrapped socket.
    pub(super) const fn get_mut(&mut self) -> &mut T {
        &mut self.io
    }

    /// Uses the timers of the caller's runtime from now on.
    pub(super) fn restart(&mut self) {
        self.alarm = Box::pin(sleep(self.longest));
        self.waiting = false;
    }

    /// Converts a write that timed out to an error.
    fn timed<V>(
        &mut self,
        cx: &mut Context<'_>,
        write: Poll<io::Result<V>>,
    ) -> Poll<io::Result<V>> {
        if write.is_ready() {
            self.waiting = false;
            return write;
        }
        if !self.waiting {
            self.waiting = true;
            let at = Instant::now() + self.longest;
            self.alarm.as_mut().reset(at);
        }
        match self.alarm.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the peer takes nothing of what is written",
            ))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for WriteStall<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for WriteStall<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.timed(cx, write)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        self.timed(cx, write)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flush = Pin::new(&mut self.io).poll_flush(cx);
        self.timed(cx, flush)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shutdown = Pin::new(&mut self.io).poll_shutdown(cx);
        self.timed(cx, shutdown)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn stalled_write_fails_and_slow_reader_continues() {
        let (ours, mut theirs) = duplex(4);
        let mut io = WriteStall::new(ours, Duration::from_secs(30));
        let slow = async {
            let mut read = [0; 8];
            for byte in &mut read {
                tokio::time::sleep(Duration::from_secs(20)).await;
                *byte = theirs.read_u8().await.unwrap();
            }
            read
        };
        let (written, read) = tokio::join!(io.write_all(b"12345678"), slow);
        written.unwrap();
        assert_eq!(&read, b"12345678");
        let begun = Instant::now();
        let error = io.write_all(b"12345").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(begun.elapsed().as_secs(), 30);
    }
}
