//! A client's way to whichever server serves: what a load balancer and client-go do together.

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

use crate::client::{Answer, Client, describe};
use crate::kubeconfig;

/// No server answers well for this long: more than any move may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// One answer.
const DEADLINE: Duration = Duration::from_secs(20);
/// Pause after a server that cannot be reached, or that names no other.
const PAUSE: Duration = Duration::from_millis(200);

/// The servers that there are, and what clients were told that they refused.
pub(super) struct Servers {
    kubeconfig: PathBuf,
    authorities: Mutex<Vec<String>>,
    refusals: Mutex<Vec<Refusal>>,
}

/// An answer that means: later.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) at: Instant,
    pub(super) write: bool,
    /// Status, Retry-After and message.
    pub(super) text: String,
}

/// One client's connection.
pub(super) struct Route {
    servers: Arc<Servers>,
    turn: usize,
    client: Option<Client>,
}

/// What is asked for.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) path: &'a str,
    pub(super) kind: &'a str,
    pub(super) body: Bytes,
}

/// An answer that is final.
pub(super) struct Settled {
    pub(super) answer: Answer,
    /// An earlier attempt may have been carried out.
    pub(super) uncertain: bool,
}

// === impl Servers ===

impl Servers {
    /// Servers that the user of a kubeconfig may use; the one in it is the first.
    pub(super) fn new(kubeconfig: PathBuf) -> Result<Arc<Self>> {
        let first = kubeconfig::load(&kubeconfig)?.authority;
        Ok(Arc::new(Self {
            kubeconfig,
            authorities: Mutex::new(vec![first]),
            refusals: Mutex::default(),
        }))
    }

    /// The one that was there from the beginning.
    pub(super) fn first(&self) -> String {
        self.authorities.lock()[0].clone()
    }

    /// One more that may serve.
    pub(super) fn add(&self, authority: String) {
        self.authorities.lock().push(authority);
    }

    /// What was refused since then.
    pub(super) fn refusals(&self, since: Instant) -> Vec<Refusal> {
        let all = self.refusals.lock();
        all.iter().filter(|it| it.at >= since).cloned().collect()
    }

    /// A connection to one of them.
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
            turn: 0,
            client: None,
        }
    }

    /// Goes on to the next server, as a load balancer would.
    pub(super) fn turn(&mut self) {
        self.turn += 1;
        self.client = None;
    }

    /// Asks until somebody gives an answer that is not `later`.
    pub(super) async fn settle(&mut self, call: &Call<'_>) -> Result<Settled> {
        let mut uncertain = false;
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            let Some(response) = self.open(call).await else {
                // A write may have been sent; a connection that never was is no reason to doubt,
                // and to look costs little.
                uncertain = true;
                continue;
            };
            let pause = retry_after(&response);
            let status = response.status();
            let body = match timeout(DEADLINE, response.into_body().collect()).await {
                Ok(Ok(body)) => body.to_bytes(),
                Ok(Err(_)) | Err(_) => {
                    uncertain = true;
                    self.turn();
                    continue;
                }
            };
            let answer = Answer { status, body };
            if !later(status) {
                return Ok(Settled { answer, uncertain });
            }
            uncertain |= status == StatusCode::GATEWAY_TIMEOUT;
            self.note(call, &answer, pause);
            self.turn();
            sleep(pause.unwrap_or(PAUSE)).await;
        }
        bail!(
            "{} {}: nobody served for {PATIENCE:?}",
            call.method,
            call.path
        )
    }

    /// Sends the request; `None` after a pause if there was no answer.
    pub(super) async fn open(&mut self, call: &Call<'_>) -> Option<Response<Incoming>> {
        let sent = timeout(DEADLINE, self.send(call)).await;
        if let Ok(Ok(response)) = sent {
            return Some(response);
        }
        self.turn();
        sleep(PAUSE).await;
        None
    }

    async fn send(&mut self, call: &Call<'_>) -> Result<Response<Incoming>> {
        let client = match self.client.take() {
            Some(client) => client,
            None => {
                let authority = {
                    let known = self.servers.authorities.lock();
                    known[self.turn % known.len()].clone()
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

    /// Remembers what a client was told.
    pub(super) fn note(&self, call: &Call<'_>, answer: &Answer, pause: Option<Duration>) {
        let message = serde_json::from_slice::<serde_json::Value>(&answer.body)
            .ok()
            .and_then(|status| Some(status.get("message")?.as_str()?.to_owned()))
            .unwrap_or_else(|| describe(answer));
        let after = pause.map_or("none".to_owned(), |pause| pause.as_secs().to_string());
        self.servers.refusals.lock().push(Refusal {
            at: Instant::now(),
            write: call.method != Method::GET,
            text: format!("{}, Retry-After {after}: {message}", answer.status.as_u16()),
        });
    }
}

/// What a server asks to wait.
pub(super) fn retry_after(response: &Response<Incoming>) -> Option<Duration> {
    let text = response.headers().get("retry-after")?.to_str().ok()?;
    text.parse().ok().map(Duration::from_secs)
}

/// Whether the same request may do better in a while.
pub(super) fn later(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::SERVICE_UNAVAILABLE
        || status == StatusCode::GATEWAY_TIMEOUT
}
