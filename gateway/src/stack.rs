//! THE request chain: what every request passes, in order, before and after its handler.

mod measure;
mod rejection;
mod response_guard;

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use api_types::request_info::RequestInfo;
use axum::body::Body;
use futures_util::FutureExt as _;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH};
use http::{HeaderValue, Method, Request, Response};
use http_body::Body as _;
use tokio::time::{Instant, timeout_at};
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::{Instrument as _, Span, field};

use self::measure::Observation;
use self::rejection::Rejection;
use self::response_guard::{End, GuardedBody, ResponseGuard, SMALL, SmallBody};
use crate::auth::{Authenticators, Peer};
use crate::authz::{Authorizers, Permit, impersonation};
use crate::reply;
use crate::request::probe::is_probe;
use crate::request::{Context, User, deadline, id};
use crate::serving::limits::{Overloaded, Seat};
use crate::serving::unsent::{Charge, Outlet, Reader};
use crate::serving::{self, Lifecycle, Limits};
use crate::telemetry::Metrics;

/// Unless a handler says otherwise: every answer is behind authentication.
const NOT_CACHED: HeaderValue = HeaderValue::from_static("no-cache, private");

/// Requests that take longer have a line in the log. kube-apiserver logs a trace after half of that.
const SLOW: Duration = Duration::from_secs(1);

/// The account of refusals, which may be sent before the user is known.
const REJECTED: &str = "";

/// What lies behind the chain.
pub trait Inner: Send + Sync + 'static {
    /// Answers an authorized request.
    fn handle(
        &self,
        permit: Permit,
        info: RequestInfo,
        context: Context,
        request: Request<Body>,
    ) -> impl Future<Output = Response<Body>> + Send;

    /// Whether the resource a request names is served; metrics name no other.
    fn serves(&self, info: &RequestInfo) -> bool;
}

/// The chain and what its links need.
#[derive(Debug)]
pub struct Stack<I> {
    /// Says who is asking.
    pub authenticators: Authenticators,
    /// Says whether they may.
    pub authorizers: Authorizers,
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
    pub async fn respond<B>(&self, peer: &Peer, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<axum::BoxError>,
    {
        let head = request.method() == Method::HEAD;
        // Outermost, so that whoever answers, both sides can name the request in their logs.
        let audit_id = id::id_of(request.headers());
        let mut request = request.map(Body::new);
        let outlet = request.extensions_mut().remove::<Outlet>();
        let outlet = outlet.unwrap_or_else(|| self.limits.connect());
        let mut context = Context::new(audit_id.clone(), None);
        context.connection = outlet.connection_number();
        let warnings = context.warnings.clone();
        let chain = self.chain(peer, &outlet, context, request);
        // A bug in one request must not end the others of its connection.
        let mut response = match AssertUnwindSafe(chain).catch_unwind().await {
            Ok(Ok(response)) => response,
            Ok(Err(rejection)) => rejected(rejection, &outlet),
            Err(_) => rejected(Rejection::Panicked, &outlet),
        };
        let headers = response.headers_mut();
        headers.insert(id::AUDIT_ID, audit_id);
        headers.entry(CACHE_CONTROL).or_insert(NOT_CACHED);
        // After the handler: only now is every warning known.
        warnings.write_to(headers);
        if head {
            without_body(response)
        } else {
            response
        }
    }

    async fn chain(
        &self,
        peer: &Peer,
        outlet: &Outlet,
        context: Context,
        request: Request<Body>,
    ) -> Result<Response<Body>, Rejection> {
        // Every later link decides by this one reading of the request.
        let uri = request.uri();
        let info = RequestInfo::parse(request.method().as_str(), uri.path(), uri.query())
            .map_err(Rejection::Path)?;
        let long_running = info.is_long_running();
        // From here on every answer is counted, refusals too.
        let mut observation =
            Observation::begin(&self.metrics, &info, &request, self.inner.serves(&info));
        let (received, span) = (context.received, span(&context, &info));
        let served = self.handled(peer, outlet, context, info, request);
        let served = served.instrument(span.clone()).await;
        if !long_running
            && received.elapsed() > SLOW
            && let Some(left_out) = self.limits.may_log_slow()
        {
            let code = served
                .as_ref()
                .map_or(0, |served| served.response.status().as_u16());
            let milliseconds = received.elapsed().as_millis();
            span.in_scope(|| tracing::info!(code, milliseconds, left_out, "slow request"));
        }
        let handled = match served {
            Ok(handled) => handled,
            Err(rejection) => {
                let response = rejected(rejection, outlet);
                observation.record_response(response.status(), false);
                return Ok(response);
            }
        };
        observation.record_response(handled.response.status(), long_running);
        Ok(self.until_sent(handled, observation))
    }

    /// The handler's answer to a request that gets through to it.
    async fn handled(
        &self,
        peer: &Peer,
        outlet: &Outlet,
        mut context: Context,
        info: RequestInfo,
        mut request: Request<Body>,
    ) -> Result<Handled, Rejection> {
        let long_running = info.is_long_running();
        // Counted before the look at the signal, so that the drain misses nobody.
        let in_flight = (!long_running).then(|| self.lifecycle.in_flight.token());
        if self.lifecycle.not_accepting_new_requests.is_cancelled() {
            return Err(Rejection::ShuttingDown);
        }
        // The clock started when the request came, not when its handler starts.
        if !long_running {
            let time = deadline::from_query(request.uri().query(), deadline::REQUEST_TIMEOUT)
                .map_err(|message| Rejection::timeout(&request, message))?;
            context.deadline = Some(context.received + time);
        }
        let deadline = context.deadline;
        // Until the handler has answered: it keeps the head while it waits for the body.
        let _head = self
            .limits
            .head(request.headers())
            .map_err(|_| Rejection::Overloaded)?;
        // Watches have no deadline, but their decisions do.
        let decided_by = deadline.unwrap_or(context.received + deadline::REQUEST_TIMEOUT);
        let user = self
            .authenticators
            .authenticate(peer, request.headers_mut(), &info.path);
        let user = timeout_at(decided_by, user)
            .await
            .map_err(|_| Rejection::DeadlineExceeded)?
            .map_err(|error| Rejection::unauthenticated(&request, &error))?;
        // Before anything is done with the rights of who sent it.
        impersonation::reject(request.headers(), &user, &info)
            .map_err(|rejected| Rejection::impersonating(&request, rejected))?;
        // After authentication, because administrators have more; before authorization, which
        // may cost a request to somebody else.
        let seat = self.seat(&info, &user, outlet, request.uri().query());
        let seat = seat.map_err(|_| Rejection::Overloaded)?;
        Span::current().record("user", &*user.name);
        let reader = outlet.reader(&user.name);
        // What was written cannot be refused any more, and probes are never shed.
        let rejectable = info.is_read_only() && !is_probe(&info.path);
        let permit = timeout_at(decided_by, self.authorizers.authorize(user, &info))
            .await
            .map_err(|_| Rejection::DeadlineExceeded)?
            .map_err(|rejection| Rejection::unauthorized(&request, rejection))?;
        if !info.is_read_only() {
            let intake = self.limits.intake().clone();
            request.extensions_mut().insert(intake);
        }
        // Boxed, because the future of a request is moved several times before it is polled.
        let handler = Box::pin(self.inner.handle(permit, info, context, request));
        let response = match deadline {
            Some(deadline) => timeout_at(deadline, handler)
                .await
                .map_err(|_| Rejection::DeadlineExceeded)?,
            None => handler.await,
        };
        // A handler that never had to wait was not interrupted.
        let overdue = deadline.is_some_and(|deadline| Instant::now() >= deadline);
        if overdue && rejectable {
            return Err(Rejection::DeadlineExceeded);
        }
        let charge = charge(&reader, &response, rejectable).map_err(|_| Rejection::Overloaded)?;
        Ok(Handled {
            response,
            reader,
            charge,
            deadline,
            seat,
            in_flight,
        })
    }

    /// A seat, and for a watch the memory of its selectors.
    fn seat(
        &self,
        info: &RequestInfo,
        user: &User,
        outlet: &Outlet,
        query: Option<&str>,
    ) -> Result<Seat, Overloaded> {
        let mut seat = self.limits.seat(info, user, outlet)?;
        if info.is_long_running() {
            self.limits.selectors(&mut seat, query)?;
        }
        Ok(seat)
    }

    /// Keeps what the request holds until its answer has gone; a small one goes at once.
    fn until_sent(&self, handled: Handled, observation: Observation) -> Response<Body> {
        let Handled {
            response,
            reader,
            charge,
            deadline,
            seat,
            in_flight,
        } = handled;
        let guard = ResponseGuard {
            seat,
            observation,
            in_flight,
        };
        let small = response.body().size_hint().exact();
        match (small.filter(|bytes| *bytes <= SMALL), charge) {
            (Some(_), Some(charge)) => response.map(|body| Body::new(SmallBody::new(body, charge))),
            (_, charge) => {
                let end = End::of(deadline, &self.lifecycle);
                let kept = begun(&response).map_or(0, |begun| begun.kept);
                let paid = (charge, kept);
                response.map(|body| Body::new(GuardedBody::new(body, end, guard, reader, paid)))
            }
        }
    }
}

/// The span of a request: each log line below it says which request it is about.
fn span(context: &Context, info: &RequestInfo) -> Span {
    tracing::info_span!(
        "request",
        audit_id = context.shown_id(),
        verb = info.verb.as_str(),
        resource = &*info.resource,
        namespace = &*info.namespace,
        name = &*info.name,
        user = field::Empty,
    )
}

/// An answer, who reads it, and what goes with it.
struct Handled {
    response: Response<Body>,
    reader: Reader,
    charge: Option<Charge>,
    deadline: Option<Instant>,
    seat: Seat,
    in_flight: Option<TaskTrackerToken>,
}

/// The answer to a request that got no further. A client that does not read it is found out as well.
fn rejected(rejection: Rejection, outlet: &Outlet) -> Response<Body> {
    let response = rejection.into_response();
    let bytes = response.body().size_hint().upper().unwrap_or(0);
    let charge = outlet
        .reader(REJECTED)
        .charge(usize::try_from(bytes).unwrap_or(0));
    response.map(|body| Body::new(SmallBody::new(body, charge)))
}

fn begun(response: &Response<Body>) -> Option<reply::Begun> {
    response.extensions().get().copied()
}

/// Charges what is there of an answer.
fn charge(
    reader: &Reader,
    response: &Response<Body>,
    rejectable: bool,
) -> Result<Option<Charge>, Overloaded> {
    let bytes = match (response.body().size_hint().exact(), begun(response)) {
        (Some(bytes), _) => usize::try_from(bytes).unwrap_or(usize::MAX),
        (None, Some(begun)) => begun.first + begun.kept,
        (None, None) => return Ok(None),
    };
    if !rejectable {
        return Ok(Some(reader.charge(bytes)));
    }
    let charge = reader.try_charge(bytes).ok_or(Overloaded)?;
    Ok(Some(charge))
}

impl<I: Inner> serving::Service for Stack<I> {
    fn knows(&self, peer: &Peer) -> bool {
        self.authenticators.knows(peer)
    }

    async fn serve(&self, peer: &Peer, request: Request<Body>) -> Response<Body> {
        self.respond(peer, request).await
    }

    fn connect(&self) -> Outlet {
        self.limits.connect()
    }
}

/// The answer to `HEAD`: the headers of the `GET` alone.
fn without_body(mut response: Response<Body>) -> Response<Body> {
    if let Some(length) = response.body().size_hint().exact() {
        response
            .headers_mut()
            .entry(CONTENT_LENGTH)
            .or_insert(HeaderValue::from(length));
    }
    *response.body_mut() = Body::empty();
    response
}

#[cfg(test)]
mod tests;
