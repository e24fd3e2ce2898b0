//! Connections to one webhook: kept for the next call, without a task of their own. A call polls its
//! connection itself, so that a dropped call closes it.

use std::pin::Pin;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;

use super::failure::CallFailure;
use crate::admission::webhook::body::ReviewBody;

/// Idle connections per webhook: `MaxIdleConnsPerHost` of client-go.
const MAX_IDLE: usize = 25;
/// Time after which an idle connection is not used again: `IdleConnTimeout` of client-go.
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);

type Stream = TlsStream<TcpStream>;
type Driver = Pin<Box<http1::Connection<TokioIo<Stream>, ReviewBody>>>;

/// The idle connections to a webhook.
#[derive(Debug, Default)]
pub(super) struct Connections {
    /// The most recently used one is last.
    idle: Mutex<Vec<Idle>>,
}

#[derive(Debug)]
struct Idle {
    open: Open,
    since: Instant,
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Open {
    sender: http1::SendRequest<ReviewBody>,
    /// None once it has ended.
    driver: Option<Driver>,
}

/// A request without a response.
pub(super) struct Unsent {
    /// The request, if nothing of it was sent.
    pub(super) request: Option<Request<ReviewBody>>,
    pub(super) failure: CallFailure,
}

impl Connections {
    /// An idle connection that the webhook has not closed.
    pub(super) async fn take(&self) -> Option<Open> {
        loop {
            let idle = self.idle.lock().pop()?;
            let mut open = idle.open;
            if idle.since.elapsed() < IDLE_TIMEOUT && open.is_ready().await {
                return Some(open);
            }
        }
    }

    /// Keeps a connection for the next call. Above the limit it is closed.
    pub(super) fn put(&self, open: Open) {
        let mut idle = self.idle.lock();
        if open.driver.is_some() && idle.len() < MAX_IDLE {
            let since = Instant::now();
            idle.push(Idle { open, since });
        }
    }

    /// Closes connections that are too old to be used.
    pub(super) fn close_idle(&self) {
        let mut idle = self.idle.lock();
        idle.retain(|idle| idle.since.elapsed() < IDLE_TIMEOUT);
    }
}

impl Open {
    /// HTTP on a stream.
    pub(super) async fn new(stream: Stream) -> Result<Self, CallFailure> {
        let (sender, driver) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| CallFailure::of_http(&error))?;
        Ok(Self {
            sender,
            driver: Some(Box::pin(driver)),
        })
    }

    /// Waits for the end of the previous exchange; false if the connection has ended.
    async fn is_ready(&mut self) -> bool {
        let Some(driver) = &mut self.driver else {
            return false;
        };
        tokio::select! {
            // First, so that the end of the stream is seen.
            biased;
            _ = driver => false,
            ready = self.sender.ready() => ready.is_ok(),
        }
    }

    /// Sends a request; the head of the response.
    pub(super) async fn send(
        &mut self,
        request: Request<ReviewBody>,
    ) -> Result<Response<Incoming>, Unsent> {
        let sent = self.sender.try_send_request(request);
        let sent = drive(&mut self.driver, sent).await;
        sent.map_err(|mut error| Unsent {
            request: error.take_message(),
            failure: CallFailure::of_http(error.error()),
        })
    }

    /// Runs the connection while a part of the exchange waits for it.
    pub(super) async fn while_driven<T>(&mut self, part: impl Future<Output = T>) -> T {
        drive(&mut self.driver, part).await
    }
}

async fn drive<T>(driver: &mut Option<Driver>, part: impl Future<Output = T>) -> T {
    let mut part = std::pin::pin!(part);
    if let Some(open) = driver {
        tokio::select! {
            biased;
            done = &mut part => return done,
            _ = open => {}
        }
        *driver = None;
    }
    // The end of the connection has reached the exchange.
    part.await
}
