//! The request chain: the steps of every request, in order, before and after its handler.

mod auditing;
mod measure;
mod rejection;
mod response_guard;
mod spans;

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use api_types::request_info::RequestInfo;
use axum::body::Body;
use futures_util::FutureExt as _;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body as _;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::{Instrument as _, Span, field};

use self::auditing::Records;
use self::measure::Observation;
use self::rejection::Rejection;
use self::response_guard::{End, GuardedBody, ResponseGuard, SMALL, SmallBody};
use crate::audit::{Auditor, Subject};
use crate::auth::{Authenticators, Peer};
use crate::authz::{Authorizers, Permit, impersonation};
use crate::reply;
use crate::request::probe::is_probe;
use crate::request::{Context, User, deadline, id};
use crate::serving::limits::{Overloaded, Seat, Shortage};
use crate::serving::unsent::{Charge, Outlet, Reader};
use crate::serving::{self, Lifecycle, Limits};
use crate::telemetry::Metrics;
use crate::telemetry::trace::{self, Tracer};

/// Default `Cache-Control`: every response requires authentication.
const NOT_CACHED: HeaderValue = HeaderValue::from_static("no-cache, private");

/// Threshold of slow requests in the log. kube-apiserver logs a trace after half of it.
const SLOW: Duration = Duration::from_secs(1);

/// Account of rejections, which may be sent before the user is known.
const REJECTED: &str = "";

/// The handlers behind the chain.
pub trait Inner: Send + Sync + 'static {
    /// Serves an authorized request.
    fn handle(
        &self,
        permit: Permit,
        info: RequestInfo,
        context: Context,
        request: Request<Body>,
    ) -> impl Future<Output = Response<Body>> + Send;

    /// Whether the resource of a request is served; metrics name no other resource.
    fn serves(&self, info: &RequestInfo) -> bool;
}

/// The chain and the state of its steps.
#[derive(Debug)]
pub struct Stack<I> {
    /// Authenticates requests.
    pub authenticators: Authenticators,
    /// Authorizes requests.
    pub authorizers: Authorizers,
    /// Limits concurrent requests.
    pub limits: Limits,
    /// Shutdown signals.
    pub lifecycle: Lifecycle,
    /// Request metrics.
    pub metrics: Metrics,
    /// Records requests.
    pub auditor: Auditor,
    /// Makes the spans of requests.
    pub tracer: Tracer,
    /// The handlers.
    pub inner: I,
}

impl<I: Inner> Stack<I> {
    /// Serves one request; a panic or rejection is a response as well.
    pub async fn respond<B>(&self, peer: &Peer, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<axum::BoxError>,
    {
        let head = request.method() == Method::HEAD;
        // Outermost, so that every response carries the ID that both sides log.
        let audit_id = id::id_of(request.headers());
        let mut request = request.map(Body::new);
        let outlet = request.extensions_mut().remove::<Outlet>();
        let outlet = outlet.unwrap_or_else(|| self.limits.connect());
        let mut context = Context::new(audit_id.clone(), None);
        context.connection = outlet.connection_number();
        let warnings = context.warnings.clone();
        let chain = self.chain(peer, &outlet, context, request);
        // A panic in one request must not end the other requests of its connection.
        let mut response = match AssertUnwindSafe(chain).catch_unwind().await {
            Ok(Ok(response)) => response,
            Ok(Err(rejection)) => rejected(rejection, &outlet),
            Err(_) => rejected(Rejection::Panicked, &outlet),
        };
        let headers = response.headers_mut();
        headers.insert(id::AUDIT_ID, audit_id);
        headers.entry(CACHE_CONTROL).or_insert(NOT_CACHED);
        // Handlers add warnings, so write the headers after the handler returns.
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
        // Every later step uses this parsed request info.
        let uri = request.uri();
        let info = RequestInfo::parse(request.method().as_str(), uri.path(), uri.query())
            .map_err(Rejection::Path)?;
        let long_running = info.is_long_running();
        // Every response from here on is counted, including rejections.
        let mut observation =
            Observation::begin(&self.metrics, &info, &request, self.inner.serves(&info));
        let (received, span) = (context.received, span(&context, &info));
        let deadline = context.received + deadline::REQUEST_TIMEOUT;
        let mut records = Records::default();
        let served = self.handled(peer, outlet, context, info, request, &mut records);
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
        let mut handled = match served {
            Ok(handled) => handled,
            Err(rejection) => {
                let response = rejected(rejection, outlet);
                self.record_shortage(&response);
                observation.record_response(response.status(), false);
                return Ok(records.respond(response, false, deadline).await);
            }
        };
        self.record_shortage(&handled.response);
        observation.record_response(handled.response.status(), long_running);
        let response = handled.response;
        handled.response = records.respond(response, long_running, deadline).await;
        Ok(self.until_sent(handled, observation, records))
    }

    /// Runs the steps up to the handler and its response.
    async fn handled(
        &self,
        peer: &Peer,
        outlet: &Outlet,
        mut context: Context,
        info: RequestInfo,
        mut request: Request<Body>,
        records: &mut Records,
    ) -> Result<Handled, Rejection> {
        let long_running = info.is_long_running();
        // Counted before the check of the signal, so that the drain waits for this request.
        let in_flight = (!long_running).then(|| self.lifecycle.in_flight.token());
        if self.lifecycle.not_accepting_new_requests.is_cancelled() {
            return Err(Rejection::ShuttingDown);
        }
        let identified = self.identify(peer, &mut context, &info, &mut request).await;
        let Identified { user, _head } = match identified {
            Ok(identified) => identified,
            Err(rejection) => {
                let subject = subject(peer, &context, &info, &request);
                records.trail = self.auditor.begin_rejected(subject);
                return Err(rejection);
            }
        };
        let deadline = context.deadline;
        // Watches have no deadline, but authorization has one.
        let decided_by = decided_by(&context);
        // After authentication, because the policy depends on the user; before everything that may
        // reject the request of a user.
        let audited = subject(peer, &context, &info, &request);
        records.trail = self.auditor.begin(audited, &user);
        // After authentication, because only trusted clients choose whether they are sampled.
        records.span = spans::begin(&self.tracer, audited, &request, &user);
        context.span = records.span.as_ref().map(trace::Span::as_parent);
        if let Some(trail) = &mut records.trail {
            context.recording = trail.recording();
            let stored = trail.received(decided_by).await;
            stored.map_err(|error| Rejection::not_stored(&request, &error))?;
        }
        // Before the request uses any right of its sender.
        impersonation::reject(request.headers(), &user, &info)
            .map_err(|rejected| Rejection::impersonating(&request, rejected))?;
        // After authentication, because administrators have extra seats; before authorization,
        // which may call another server.
        let seat = self.seat(&info, &user, outlet, request.uri().query())?;
        Span::current().record("user", &*user.name);
        let reader = outlet.reader(&user.name);
        let (read_only, probe) = (info.is_read_only(), is_probe(&info.path));
        let query = request.uri().query();
        let permit = timeout_at(decided_by, self.authorizers.authorize(user, &info, query));
        let permit = permit.await.map_err(|_| Rejection::DeadlineExceeded)?;
        if records.trail.is_some() {
            auditing::annotate(&context.annotations, &permit);
        }
        let permit = permit.map_err(|rejection| Rejection::unauthorized(&request, rejection))?;
        if !info.is_read_only() {
            let intake = self.limits.intake().clone();
            request.extensions_mut().insert(intake);
        }
        // Boxed, because the future of a request is moved several times before it is polled.
        let handler = Box::pin(self.inner.handle(permit, info, context, request));
        let response = within(deadline, handler).await?;
        // The timeout cannot interrupt a handler that never awaits, so check the clock.
        let overdue = deadline.is_some_and(|deadline| Instant::now() >= deadline);
        if overdue && read_only && !probe {
            return Err(Rejection::DeadlineExceeded);
        }
        // The result of a write that may be committed must be sent, and probes are never shed.
        let committed = !read_only && !response.status().is_client_error();
        let charge = charge(&reader, &response, committed || probe)?;
        Ok(Handled {
            response,
            reader,
            charge,
            deadline,
            seat,
            in_flight,
        })
    }

    /// Determines the deadline and the user of a request.
    async fn identify(
        &self,
        peer: &Peer,
        context: &mut Context,
        info: &RequestInfo,
        request: &mut Request<Body>,
    ) -> Result<Identified, Rejection> {
        // The timeout starts at the arrival of the request, not at its handler.
        if !info.is_long_running() {
            let time = deadline::from_query(request.uri().query(), deadline::REQUEST_TIMEOUT)
                .map_err(|message| Rejection::timeout(request, message))?;
            context.deadline = Some(context.received + time);
        }
        let head = self.limits.head(request.headers())?;
        let user = self
            .authenticators
            .authenticate(peer, request.headers_mut(), &info.path);
        let user = timeout_at(decided_by(context), user)
            .await
            .map_err(|_| Rejection::DeadlineExceeded)?
            .map_err(|error| Rejection::unauthenticated(request, &error))?;
        Ok(Identified { user, _head: head })
    }

    /// Counts a response with which a request was rejected for want of something.
    fn record_shortage(&self, response: &Response<Body>) {
        if response.status() == StatusCode::TOO_MANY_REQUESTS {
            // Handlers reject only for want of memory or room in a queue.
            let shortage = response.extensions().get().copied();
            self.metrics
                .record_rejection(shortage.unwrap_or(Shortage::Work).reason());
        }
    }

    /// Takes a seat, and for a watch the memory of its selectors.
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

    /// Keeps the seat until the response is sent; a small response releases it at once.
    fn until_sent(
        &self,
        handled: Handled,
        observation: Observation,
        records: Records,
    ) -> Response<Body> {
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
            records,
        };
        let small = response.body().size_hint().exact();
        match (small.filter(|bytes| *bytes <= SMALL), charge) {
            (Some(_), Some(charge)) => response.map(|body| Body::new(SmallBody::new(body, charge))),
            (_, charge) => {
                let end = End::of(deadline, &self.lifecycle);
                let retained = begun(&response).map_or(0, |begun| begun.retained);
                let paid = (charge, retained);
                response.map(|body| Body::new(GuardedBody::new(body, end, guard, reader, paid)))
            }
        }
    }
}

/// The response of a handler, if it arrives before the deadline.
async fn within(
    deadline: Option<Instant>,
    handler: impl Future<Output = Response<Body>>,
) -> Result<Response<Body>, Rejection> {
    match deadline {
        Some(deadline) => timeout_at(deadline, handler)
            .await
            .map_err(|_| Rejection::DeadlineExceeded),
        None => Ok(handler.await),
    }
}

/// The tracing span of a request, which identifies it in each log line.
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

/// A user, and the memory of the head of the request: held until the handler returns, because the
/// head stays in memory while the body is awaited.
struct Identified {
    user: Arc<User>,
    _head: Option<OwnedSemaphorePermit>,
}

/// The deadline of authentication and authorization.
fn decided_by(context: &Context) -> Instant {
    context
        .deadline
        .unwrap_or(context.received + deadline::REQUEST_TIMEOUT)
}

/// What is audited of a request.
fn subject<'a>(
    peer: &Peer,
    context: &'a Context,
    info: &'a RequestInfo,
    request: &'a Request<Body>,
) -> Subject<'a> {
    Subject {
        info,
        uri: request.uri(),
        headers: request.headers(),
        peer: peer.address.ip(),
        context,
    }
}

/// A response, its reader and its resources.
struct Handled {
    response: Response<Body>,
    reader: Reader,
    charge: Option<Charge>,
    deadline: Option<Instant>,
    seat: Seat,
    in_flight: Option<TaskTrackerToken>,
}

/// The response of a rejection. It is charged too, so that clients that do not read it are
/// detected; one without room for its text, which may quote the request, becomes a short 429.
fn rejected(rejection: Rejection, outlet: &Outlet) -> Response<Body> {
    let reader = outlet.reader(REJECTED);
    let bytes = |response: &Response<Body>| {
        let bytes = response.body().size_hint().upper().unwrap_or(0);
        usize::try_from(bytes).unwrap_or(usize::MAX)
    };
    let mut response = rejection.into_response();
    let charge = reader.try_charge(bytes(&response)).unwrap_or_else(|| {
        response = Rejection::Overloaded(Shortage::Responses).into_response();
        reader.charge(bytes(&response))
    });
    response.map(|body| Body::new(SmallBody::new(body, charge)))
}

fn begun(response: &Response<Body>) -> Option<reply::Begun> {
    response.extensions().get().copied()
}

/// Charges the existing bytes of a response.
fn charge(
    reader: &Reader,
    response: &Response<Body>,
    must_be_sent: bool,
) -> Result<Option<Charge>, Overloaded> {
    let bytes = match (response.body().size_hint().exact(), begun(response)) {
        (Some(bytes), _) => usize::try_from(bytes).unwrap_or(usize::MAX),
        (None, Some(begun)) => begun.first + begun.retained,
        (None, None) => return Ok(None),
    };
    if must_be_sent {
        return Ok(Some(reader.charge(bytes)));
    }
    let charge = reader
        .try_charge(bytes)
        .ok_or(Overloaded(Shortage::Responses))?;
    Ok(Some(charge))
}

impl<I: Inner> serving::Service for Stack<I> {
    fn recognizes(&self, peer: &Peer) -> bool {
        self.authenticators.recognizes(peer)
    }

    async fn serve(&self, peer: &Peer, request: Request<Body>) -> Response<Body> {
        self.respond(peer, request).await
    }

    fn connect(&self) -> Outlet {
        self.limits.connect()
    }
}

/// The response to `HEAD`: the headers of the `GET` response.
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
