//! HTTP calls of webhooks: where a webhook is, and one exchange with it.
//!
//! As `k8s.io/apiserver/pkg/util/webhook`: HTTP/1.1, the Service's name as TLS name, one attempt.
//! Unlike there, redirects to other hosts are not followed, and a response is bounded
//! (docs/adr/0027-admission-webhooks.md).

mod connection;
mod credentials;
mod dial;
mod failure;
mod location;
mod redirect;
mod response;
mod verifier;

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT};
use http::{Method, Request};
use parking_lot::Mutex;
use rustls::RootCertStore;
use std::sync::OnceLock;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use self::connection::{Connections, Open};
use self::credentials::User;
use self::dial::Dialer;
use self::location::Location;
use self::response::Read;
use super::body::ReviewBody;
use crate::kube::Services;
use crate::kube::informer::webhooks::ClientConfig;

pub use self::credentials::Credentials;
pub(super) use self::failure::CallFailure;

/// Calls in flight, all webhooks of a kind together. Further ones wait within their timeout.
const MAX_CALLS: usize = 256;
/// Responses above [`response::SMALL`] that are read at the same time.
const MAX_LARGE: usize = 4;
/// Timeout of a call, whatever the webhook's: that of `rest.Config` in `k8s.io/apiserver`.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Makes and keeps the clients of webhooks.
#[derive(Debug)]
pub(super) struct Clients {
    services: Services,
    credentials: Credentials,
    bounds: Arc<Bounds>,
    system: OnceLock<Arc<RootCertStore>>,
    /// Clients in use: a changed configuration keeps the connections of unchanged webhooks.
    known: Mutex<HashMap<ClientConfig, Weak<WebhookClient>>>,
}

/// Bounds of all calls.
#[derive(Debug)]
struct Bounds {
    calls: Semaphore,
    large: Semaphore,
}

/// The client of one webhook.
#[derive(Debug)]
pub(super) struct WebhookClient {
    location: Location,
    dialer: Dialer,
    user: Option<Arc<User>>,
    connections: Connections,
    bounds: Arc<Bounds>,
}

impl Clients {
    /// Clients that find Services with `services` and authenticate with `credentials`.
    pub(super) fn new(services: Services, credentials: Credentials) -> Self {
        Self {
            services,
            credentials,
            bounds: Arc::new(Bounds {
                calls: Semaphore::new(MAX_CALLS),
                large: Semaphore::new(MAX_LARGE),
            }),
            system: OnceLock::new(),
            known: Mutex::default(),
        }
    }

    /// The client of a webhook.
    ///
    /// # Errors
    /// If the webhook has no usable address or authority. kube-apiserver rejects such
    /// configurations.
    pub(super) fn client(&self, config: &ClientConfig) -> Result<Arc<WebhookClient>, String> {
        let mut known = self.known.lock();
        if let Some(client) = known.get(config).and_then(Weak::upgrade) {
            return Ok(client);
        }
        let location = Location::of(config)?;
        let user = self.credentials.find(&location.host_port()).cloned();
        let dialer = Dialer::new(
            &location,
            config.ca_bundle.as_deref(),
            user.as_deref(),
            || Arc::clone(self.system.get_or_init(dial::system_roots)),
            self.services.clone(),
        )?;
        let client = Arc::new(WebhookClient {
            location,
            dialer,
            user,
            connections: Connections::default(),
            bounds: Arc::clone(&self.bounds),
        });
        // bounded: by the webhooks that are configured; those of deleted ones are removed here.
        known.retain(|_, client| client.strong_count() > 0);
        known.insert(config.clone(), Arc::downgrade(&client));
        Ok(client)
    }

    /// Closes connections that have not been used for a while.
    pub(super) fn close_idle(&self) {
        for client in self.known.lock().values().filter_map(Weak::upgrade) {
            client.connections.close_idle();
        }
    }
}

impl WebhookClient {
    /// Sends a review; returns the body of the response.
    ///
    /// # Errors
    /// If there is no response with a code of success before `deadline`.
    pub(super) async fn call(
        &self,
        review: ReviewBody,
        deadline: Instant,
    ) -> Result<Bytes, CallFailure> {
        let now = Instant::now();
        let deadline = deadline.min(now + CALL_TIMEOUT);
        let seconds = (deadline - now).as_secs_f64().ceil();
        let mut target = format!("{}?timeout={seconds}s", self.location.path);
        let call = async {
            // The semaphore is never closed.
            let _permit = self.bounds.calls.acquire().await;
            self.follow(review, &mut target).await
        };
        let result = timeout_at(deadline, call).await;
        let result = result.unwrap_or_else(|_| Err(CallFailure::DeadlineExceeded));
        result.map_err(|failure| failure.at(&self.location.url(&target)))
    }

    /// The response to a review, after redirects within the host. `target` is path and query of the
    /// last request.
    async fn follow(&self, review: ReviewBody, target: &mut String) -> Result<Bytes, CallFailure> {
        let mut body = Some(review);
        for _ in 0..redirect::MAX_REQUESTS {
            let read = self.exchange(body.clone(), target).await?;
            let Some(next) = redirect::next(&self.location, target, &read) else {
                return read.body();
            };
            body = body.filter(|_| next.keeps_body);
            next.target.clone_into(target);
        }
        let text = format!("stopped after {} redirects", redirect::MAX_REQUESTS);
        Err(CallFailure::Transport(text))
    }

    async fn exchange(&self, body: Option<ReviewBody>, target: &str) -> Result<Read, CallFailure> {
        let mut request = self.request(body, target).await?;
        // At most as many attempts as there are idle connections, each of which was closed by the
        // webhook before the request was sent.
        while let Some(mut open) = self.connections.take().await {
            match open.send(request).await {
                Ok(head) => return self.read(open, head).await,
                Err(unsent) => match unsent.request {
                    Some(unsent) => request = unsent,
                    None => return Err(unsent.failure),
                },
            }
        }
        let mut open = Open::new(self.dialer.dial(&self.location).await?).await?;
        match open.send(request).await {
            Ok(head) => self.read(open, head).await,
            Err(unsent) => Err(unsent.failure),
        }
    }

    async fn read(
        &self,
        mut open: Open,
        head: http::Response<hyper::body::Incoming>,
    ) -> Result<Read, CallFailure> {
        let read = response::read(&mut open, head, &self.bounds.large).await?;
        self.connections.put(open);
        Ok(read)
    }

    async fn request(
        &self,
        body: Option<ReviewBody>,
        target: &str,
    ) -> Result<Request<ReviewBody>, CallFailure> {
        let method = if body.is_some() {
            Method::POST
        } else {
            Method::GET
        };
        let mut request = Request::builder()
            .method(method)
            .uri(target)
            .header(HOST, &self.location.authority)
            .header(USER_AGENT, "kube-apiserver-admission")
            .header(ACCEPT, "application/json, */*")
            .header(CONTENT_TYPE, "application/json");
        if let Some(user) = &self.user
            && let Some(authorization) = user.authorization().await?
        {
            request = request.header(AUTHORIZATION, authorization);
        }
        let request = request.body(body.unwrap_or_else(|| ReviewBody::new([])));
        request.map_err(|error| CallFailure::Transport(error.to_string()))
    }
}
