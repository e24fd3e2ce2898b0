//! Requests and responses over one connection, with a limit on the bytes read.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::{Bytes, BytesMut};
use http::{Method, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::task::JoinSet;

use crate::tls::{Identity, Protocol, Target};

/// Limit of bytes read of one response; a longer one is a problem.
pub(crate) const LARGEST_RESPONSE: usize = 64 << 20;

#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Bytes,
}

impl Request {
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self {
            method: Method::GET,
            path: path.into(),
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }

    pub(crate) fn send(
        method: Method,
        path: impl Into<String>,
        content_type: &str,
        body: impl Into<Bytes>,
    ) -> Self {
        Self {
            method,
            path: path.into(),
            headers: vec![("content-type", content_type.to_owned())],
            body: body.into(),
        }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Approximate bytes on the wire.
    pub(crate) fn size(&self) -> usize {
        let headers: usize = self
            .headers
            .iter()
            .map(|(n, v)| n.len() + v.len() + 4)
            .sum();
        self.path.len() + headers + self.body.len()
    }
}

#[derive(Debug)]
pub(crate) struct FullResponse {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

impl FullResponse {
    /// Status and the beginning of the body, for messages.
    pub(crate) fn describe(&self) -> String {
        let text = String::from_utf8_lossy(&self.body[..self.body.len().min(200)]);
        format!("{} {text}", self.status)
    }
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

pub(crate) struct Connection {
    authority: String,
    sender: Sender,
    /// Task that drives the connection; aborted on drop.
    _driver: JoinSet<()>,
}

impl Connection {
    /// Connects from an address of the loopback network.
    pub(crate) async fn open(
        target: &Target,
        from: Ipv4Addr,
        identity: Identity,
        protocol: Protocol,
    ) -> Result<Self> {
        let io = TokioIo::new(target.tls(from, identity, protocol).await?);
        let mut driver = JoinSet::new();
        // A connection error also fails the requests on it, so the driver's result is dropped.
        let sender = match protocol {
            Protocol::Http1 => {
                let (sender, connection) = http1::Builder::new()
                    // Each warning is a header; hyper's default limit is 100.
                    .max_headers(4096)
                    .handshake(io)
                    .await?;
                driver.spawn(async move { drop(connection.await) });
                Sender::Http1(sender)
            }
            Protocol::Http2 => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
                driver.spawn(async move { drop(connection.await) });
                Sender::Http2(sender)
            }
        };
        Ok(Self {
            authority: target.address.to_string(),
            sender,
            _driver: driver,
        })
    }

    /// Sends a request and returns the response with its unread body.
    pub(crate) async fn begin(&mut self, request: &Request) -> Result<Response<Incoming>> {
        let origin = match self.sender {
            Sender::Http1(_) => String::new(),
            Sender::Http2(_) => format!("https://{}", self.authority),
        };
        let mut built = http::Request::builder()
            .method(request.method.clone())
            .uri(format!("{origin}{}", request.path));
        if origin.is_empty() {
            built = built.header("host", &self.authority);
        }
        for (name, value) in &request.headers {
            built = built.header(*name, value);
        }
        let built = built.body(Full::new(request.body.clone()))?;
        Ok(match &mut self.sender {
            Sender::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(built).await?
            }
            Sender::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(built).await?
            }
        })
    }

    /// Sends a request and reads the whole response.
    pub(crate) async fn call(
        &mut self,
        request: &Request,
        within: Duration,
    ) -> Result<FullResponse> {
        let whole = async {
            let response = self.begin(request).await?;
            let status = response.status();
            let mut incoming = response.into_body();
            let mut body = BytesMut::new();
            while let Some(frame) = incoming.frame().await {
                if let Ok(data) = frame?.into_data() {
                    body.extend_from_slice(&data);
                }
                if body.len() > LARGEST_RESPONSE {
                    bail!(
                        "{status}, a response of more than {} MiB",
                        LARGEST_RESPONSE >> 20
                    );
                }
            }
            let body = body.freeze();
            anyhow::Ok(FullResponse { status, body })
        };
        let response = tokio::time::timeout(within, whole).await;
        response.with_context(|| format!("no response within {within:?}"))?
    }
}
