//! A client's connection to the server that currently serves, as a load balancer and client-go
//! provide it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use bytes::Bytes;
use http::{Method, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use parking_lot::Mutex;
use tokio::time::{sleep, timeout};

use crate::client::{Client, FullResponse, describe};
use crate::kubeconfig;

/// Time after which a request without a final response fails; longer than any move.
const RETRY_TIMEOUT: Duration = Duration::from_secs(120);
/// Timeout of one attempt.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(20);
/// Pause after a failed connection, or after a response without Retry-After.
const PAUSE: Duration = Duration::from_millis(200);

/// The available servers, and the rejections that clients received.
pub(super) struct Servers {
    kubeconfig: PathBuf,
    authorities: Mutex<Vec<String>>,
    rejections: Mutex<Vec<Rejection>>,
}

/// A response that asks for a retry.
#[derive(Clone, Debug)]
pub(super) struct Rejection {
    pub(super) at: Instant,
    pub(super) write: bool,
    /// Status, Retry-After and message.
    pub(super) text: String,
}

/// The connection of one client.
pub(super) struct Route {
    servers: Arc<Servers>,
    next_server: usize,
    client: Option<Client>,
}

/// A request.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) path: &'a str,
    pub(super) kind: &'a str,
    pub(super) body: Bytes,
}

/// A final response.
pub(super) struct FinalResponse {
    pub(super) response: FullResponse,
    /// An earlier attempt may have been applied.
    pub(super) uncertain: bool,
}

// === impl Servers ===

impl Servers {
    /// Servers of a kubeconfig's user; the server of the kubeconfig is the first.
    pub(super) fn new(kubeconfig: PathBuf) -> Result<Arc<Self>> {
        let first = kubeconfig::load(&kubeconfig)?.authority;
        Ok(Arc::new(Self {
            kubeconfig,
            authorities: Mutex::new(vec![first]),
            rejections: Mutex::default(),
        }))
    }

    /// The server of the kubeconfig.
    pub(super) fn first(&self) -> String {
        self.authorities.lock()[0].clone()
    }

    /// Adds a server.
    pub(super) fn add(&self, authority: String) {
        self.authorities.lock().push(authority);
    }

    /// Rejections since `since`.
    pub(super) fn rejections(&self, since: Instant) -> Vec<Rejection> {
        let all = self.rejections.lock();
        all.iter().filter(|it| it.at >= since).cloned().collect()
    }

    /// Connects to a server.
    pub(super) async fn connect(&self, authority: String, connections: usize) -> Result<Client> {
        let mut endpoint = kubeconfig::load(&self.kubeconfig)?;
        endpoint.authority = authority;
        Client::connect(&endpoint, connections).await
    }
}

// === impl Route ===

impl Route {
    pub(super) fn new(servers: &Arc<Servers>) -> Self {
        Self {
            servers: Arc::clone(servers),
            next_server: 0,
            client: None,
        }
    }

    /// Switches to the next server.
    pub(super) fn switch_server(&mut self) {
        self.next_server += 1;
        self.client = None;
    }

    /// Sends the request until a response is final.
    pub(super) async fn send_until_final(&mut self, call: &Call<'_>) -> Result<FinalResponse> {
        let mut uncertain = false;
        let begun = Instant::now();
        while begun.elapsed() < RETRY_TIMEOUT {
            let Some(response) = self.open(call).await else {
                // The write may have been sent. A failed connection counts as well: the extra read
                // costs little.
                uncertain = true;
                continue;
            };
            let pause = retry_after(&response);
            let status = response.status();
            let body = match timeout(ATTEMPT_TIMEOUT, response.into_body().collect()).await {
                Ok(Ok(body)) => body.to_bytes(),
                Ok(Err(_)) | Err(_) => {
                    uncertain = true;
                    self.switch_server();
                    continue;
                }
            };
            let response = FullResponse { status, body };
            if !is_retryable(status) {
                return Ok(FinalResponse {
                    response,
                    uncertain,
                });
            }
            uncertain |= status == StatusCode::GATEWAY_TIMEOUT;
            self.record(call, &response, pause);
            self.switch_server();
            sleep(pause.unwrap_or(PAUSE)).await;
        }
        bail!(
            "{} {}: no final response within {RETRY_TIMEOUT:?}",
            call.method,
            call.path
        )
    }

    /// Sends the request; `None` after a pause if there was no response.
    pub(super) async fn open(&mut self, call: &Call<'_>) -> Option<Response<Incoming>> {
        let sent = timeout(ATTEMPT_TIMEOUT, self.send(call)).await;
        if let Ok(Ok(response)) = sent {
            return Some(response);
        }
        self.switch_server();
        sleep(PAUSE).await;
        None
    }

    async fn send(&mut self, call: &Call<'_>) -> Result<Response<Incoming>> {
        let client = match self.client.take() {
            Some(client) => client,
            None => {
                let authority = {
                    let known = self.servers.authorities.lock();
                    known[self.next_server % known.len()].clone()
                };
                self.servers.connect(authority, 1).await?
            }
        };
        let headers = [("content-type", call.kind)];
        let (method, body) = (call.method.clone(), call.body.clone());
        let response = client.open(0, method, call.path, &headers, body).await?;
        self.client = Some(client);
        Ok(response)
    }

    /// Records a rejection.
    pub(super) fn record(&self, call: &Call<'_>, response: &FullResponse, pause: Option<Duration>) {
        let message = serde_json::from_slice::<serde_json::Value>(&response.body)
            .ok()
            .and_then(|status| Some(status.get("message")?.as_str()?.to_owned()))
            .unwrap_or_else(|| describe(response));
        let after = pause.map_or("none".to_owned(), |pause| pause.as_secs().to_string());
        self.servers.rejections.lock().push(Rejection {
            at: Instant::now(),
            write: call.method != Method::GET,
            text: format!(
                "{}, Retry-After {after}: {message}",
                response.status.as_u16()
            ),
        });
    }
}

/// The value of Retry-After.
pub(super) fn retry_after(response: &Response<Incoming>) -> Option<Duration> {
    let text = response.headers().get("retry-after")?.to_str().ok()?;
    text.parse().ok().map(Duration::from_secs)
}

/// Whether a retry of the same request may succeed.
pub(super) fn is_retryable(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::SERVICE_UNAVAILABLE
        || status == StatusCode::GATEWAY_TIMEOUT
}
