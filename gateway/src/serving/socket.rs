//! The bytes of a connection: a socket that can move to another runtime, and TLS over it with
//! accounting.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};
use tokio_rustls::server::TlsStream;

use super::activity::Activity;
use super::backlog::Backlog;
use super::settings::SettingsMeter;
use super::stall::WriteStall;

/// Bytes of a rejected request per read.
const SCRATCH_BYTES: usize = 8 << 10;

/// Bytes per read. hyper doubles its buffer whenever a read fills it, up to the largest head, so
/// with larger reads each upload would hold a mebibyte.
const READ_BYTES: usize = 2 << 10;
/// Bytes that are read from a connection before other connections are polled. Decoding small heads
/// of this size takes about 1 ms.
const TURN_BYTES: usize = 8 << 10;

/// A socket below TLS.
#[derive(Debug)]
pub(super) struct Socket(Option<TcpStream>);

/// The transport of TLS.
pub(super) type Wire = WriteStall<Socket>;

/// A TLS connection for HTTP, with accounting.
pub(super) struct Metered {
    tls: TlsStream<Wire>,
    activity: Arc<Activity>,
    backlog: Backlog,
    /// For HTTP/2.
    settings: Option<SettingsMeter>,
    /// Bytes read since the reader last had to wait.
    turn: usize,
    ended: bool,
    /// After the TLS shutdown: how long the rest of a request is read.
    linger: Option<Pin<Box<Sleep>>>,
    linger_for: Duration,
    linger_bytes: u64,
}

impl Socket {
    pub(super) const fn new(stream: TcpStream) -> Self {
        Self(Some(stream))
    }

    /// Moves the socket to the caller's runtime. The runtime that a socket is registered with
    /// reports its readiness; another one would be woken for every packet.
    pub(super) fn move_here(&mut self) -> io::Result<()> {
        let stream = self.0.take().ok_or(io::ErrorKind::NotConnected)?;
        self.0 = Some(TcpStream::from_std(stream.into_std()?)?);
        Ok(())
    }

    fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        let stream = self.0.as_mut().map(Pin::new);
        stream.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Metered {
    /// After shutdown, the rest of a rejected request is read for `linger_for` and up to
    /// `linger_bytes`.
    pub(super) fn new(
        tls: TlsStream<Wire>,
        activity: Arc<Activity>,
        backlog: Backlog,
        settings: Option<SettingsMeter>,
        linger_for: Duration,
        linger_bytes: u64,
    ) -> Self {
        Self {
            tls,
            activity,
            backlog,
            settings,
            turn: 0,
            ended: false,
            linger: None,
            linger_for,
            linger_bytes,
        }
    }

    /// Reads what the client still sends. Closing a socket with unread bytes sends a reset, which
    /// makes the client lose a response that it has not read yet.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut scratch = [0; SCRATCH_BYTES];
        while let Some(linger) = &mut self.linger
            && self.linger_bytes > 0
            && linger.as_mut().poll(cx).is_pending()
        {
            let mut buffer = ReadBuf::new(&mut scratch);
            // Below TLS, because the bytes need not be decrypted.
            let Ok(stream) = self.tls.get_mut().0.get_mut().stream() else {
                break;
            };
            let read = ready!(stream.poll_read(cx, &mut buffer));
            let bytes = buffer.filled().len() as u64;
            if read.is_err() || bytes == 0 {
                break;
            }
            self.linger_bytes = self.linger_bytes.saturating_sub(bytes);
        }
        Poll::Ready(())
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let most = ready!(self.backlog.poll_read(cx, READ_BYTES));
        if self.turn > TURN_BYTES {
            self.turn = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let wanted = buffer.remaining().min(most);
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(wanted));
        let read = match Pin::new(&mut self.tls).poll_read(cx, &mut part) {
            Poll::Ready(read) => read,
            Poll::Pending => {
                self.turn = 0;
                return Poll::Pending;
            }
        };
        let bytes = part.filled().len();
        if let Some(settings) = &mut self.settings {
            settings.note(part.filled()).map_err(io::Error::other)?;
        }
        self.turn += bytes;
        buffer.advance(bytes);
        match bytes {
            0 => self.ended = true,
            bytes => self.activity.received(bytes),
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for Metered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tls).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tls).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.tls.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger.is_none() {
            ready!(Pin::new(&mut self.tls).poll_shutdown(cx))?;
            if self.ended || !self.activity.is_unread() {
                return Poll::Ready(Ok(()));
            }
            self.linger = Some(Box::pin(sleep(self.linger_for)));
        }
        self.poll_linger(cx).map(Ok)
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream()?.poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(cx)
    }
}
