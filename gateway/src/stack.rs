//! THE request chain: what every request passes, in order, before and after its handler.

mod audit;
mod measure;
mod refusal;
mod tail;

use std::future::Future;
use std::panic::AssertUnwindSafe;

use api_types::request_info::RequestInfo;
use axum::body::Body;
use futures_util::FutureExt as _;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH};
use http::{HeaderValue, Method, Request, Response};
use http_body::Body as _;
use tokio::time::{Instant, sleep_until, timeout_at};

use self::measure::Observation;
use self::refusal::Refusal;
use self::tail::{Drain, End, Held, Tail};
use crate::auth::{Authenticator, Peer};
use crate::authz::{Authorizer, Permit};
use crate::request::{Context, deadline};
use crate::serving::{self, Lifecycle, Limits};
use crate::telemetry::Metrics;

/// Unless a handler says otherwise: every answer is behind authentication.
const NOT_CACHED: HeaderValue = HeaderValue::from_static("no-cache, private");

/// What lies behind the chain.
pub trait Inner: Send + Sync + 'static {
    /// Answers an authorized request.
    fn handle(
        &self,
        permit: Permit,
        info: RequestInfo,
        request: Request<Body>,
    ) -> impl Future<Output = Response<Body>> + Send;

    /// Whether the resource a request names is served; metrics name no other.
    fn serves(&self, info: &RequestInfo) -> bool;
}

/// The chain and what its links need.
#[derive(Debug)]
pub struct Stack<I> {
    /// Says who is asking.
    pub authenticator: Authenticator,
    /// Says whether they may.
    pub authorizer: Authorizer,
    /// Bounds how many are served at once.
    pub limits: Limits,
    /// Says whether the server still takes requests.
    pub lifecycle: Lifecycle,
    /// Counts answers.
    pub metrics: Metrics,
    /// Answers.
    pub inner: I,
}

impl<I: Inner> Stack<I> {
    /// Answers one request, whatever happens.
    pub async fn answer<B>(&self, peer: &Peer, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<axum::BoxError>,
    {
        let head = request.method() == Method::HEAD;
        // Outermost, so that whoever answers, both sides can name the request in their logs.
        let audit_id = audit::id_of(request.headers());
        let context = Context::new(audit_id.clone(), None);
        let warnings = context.warnings.clone();
        let chain = self.chain(peer, context, request.map(Body::new));
        // A bug in one request must not end the others of its connection.
        let mut answer = match AssertUnwindSafe(chain).catch_unwind().await {
            Ok(Ok(answer)) => answer,
            Ok(Err(refusal)) => refusal.answer(),
            Err(_) => Refusal::Panicked.answer(),
        };
        let headers = answer.headers_mut();
        headers.insert(audit::AUDIT_ID, audit_id);
        headers.entry(CACHE_CONTROL).or_insert(NOT_CACHED);
        // After the handler: only now is every warning known.
        warnings.write_to(headers);
        if head { without_body(answer) } else { answer }
    }

    async fn chain(
        &self,
        peer: &Peer,
        mut context: Context,
        mut request: Request<Body>,
    ) -> Result<Response<Body>, Refusal> {
        // Every later link decides by this one reading of the request.
        let uri = request.uri();
        let info = RequestInfo::parse(request.method().as_str(), uri.path(), uri.query())
            .map_err(Refusal::Path)?;
        let long_running = info.is_long_running();
        // From here on every answer is counted, refusals too.
        let mut observation =
            Observation::begin(&self.metrics, &info, &request, self.inner.serves(&info));
        let answer = async {
            // Counted before the look at the signal, so that the drain misses nobody.
            let in_flight = (!long_running).then(|| self.lifecycle.in_flight.token());
            if self.lifecycle.not_accepting_new_requests.is_cancelled() {
                return Err(Refusal::ShuttingDown);
            }
            // The clock started when the request came, not when its handler starts.
            if !long_running {
                let time = deadline::from_query(request.uri().query(), deadline::REQUEST_TIMEOUT)
                    .map_err(|message| Refusal::timeout(&request, message))?;
                context.deadline = Some(context.received + time);
            }
            let deadline = context.deadline;
            request.extensions_mut().insert(context);
            let user = self
                .authenticator
                .authenticate(peer, request.headers_mut(), &info.path)
                .map_err(|error| Refusal::unauthenticated(&request, &error))?;
            // After authentication, because administrators are exempt; before authorization, which
            // may cost a request to somebody else.
            let seat = self
                .limits
                .seat(&info, &user)
                .map_err(|_| Refusal::Overloaded)?;
            let permit = self
                .authorizer
                .authorize(user, &info)
                .map_err(|denied| Refusal::denied(&request, &denied))?;
            let handler = self.inner.handle(permit, info, request);
            let answer = match deadline {
                Some(deadline) => timeout_at(deadline, handler)
                    .await
                    .map_err(|_| Refusal::Late)?,
                None => handler.await,
            };
            Ok((answer, seat, in_flight, deadline))
        };
        let (answer, seat, in_flight, deadline) = match answer.await {
            Ok(answered) => answered,
            Err(refusal) => {
                let answer = refusal.answer();
                observation.answered(answer.status(), false);
                return Ok(answer);
            }
        };
        observation.answered(answer.status(), long_running);
        let held = Held {
            seat,
            observation,
            in_flight,
        };
        Ok(self.until_sent(answer, held, deadline))
    }

    /// Keeps what the request holds until a streamed answer has gone.
    fn until_sent(
        &self,
        answer: Response<Body>,
        held: Held,
        deadline: Option<Instant>,
    ) -> Response<Body> {
        if answer.body().size_hint().exact().is_some() {
            return answer;
        }
        let end = match deadline {
            Some(deadline) => End::Deadline(Box::pin(sleep_until(deadline))),
            None => End::Drain(Drain::of(&self.lifecycle)),
        };
        answer.map(|body| {
            Body::new(Tail {
                body,
                end,
                held: Some(held),
            })
        })
    }
}

impl<I: Inner> serving::Service for Stack<I> {
    fn knows(&self, peer: &Peer) -> bool {
        self.authenticator.knows(peer)
    }

    async fn serve(&self, peer: &Peer, request: Request<Body>) -> Response<Body> {
        self.answer(peer, request).await
    }
}

/// The answer to `HEAD`: the headers of the `GET` alone.
fn without_body(mut answer: Response<Body>) -> Response<Body> {
    if let Some(length) = answer.body().size_hint().exact() {
        answer
            .headers_mut()
            .entry(CONTENT_LENGTH)
            .or_insert(HeaderValue::from(length));
    }
    *answer.body_mut() = Body::empty();
    answer
}

#[cfg(test)]
mod tests;
