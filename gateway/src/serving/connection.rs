//! One connection: handshake, then HTTP/1.1 or HTTP/2 until either side closes it.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::server::Acceptor;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::activity::{Activity, Clock, Open, Stage};
use super::backlog::{Backlog, Waiting};
use super::settings::SettingsMeter;
use super::slots::{Origin, Slot};
use super::socket::{Metered, Socket, Wire};
use super::stall::WriteStall;
use super::tasks::Tasks;
use super::turns::Turns;
use super::unsent::{Outlet, watched};
use super::websocket::{Handshake, Pending};
use super::{Bounds, Lifecycle, drainable_body, host, protocols};
use crate::auth::Peer;
use crate::reply::Framing;

/// Serves requests; the interface between sockets and the stack.
pub trait Service: Send + Sync + 'static {
    /// Whether the certificate of a peer identifies a user or a front proxy. Only requests of such
    /// a peer may cost long computation; other clients get short responses.
    fn recognizes(&self, peer: &Peer) -> bool;

    /// Serves one request of `peer`.
    fn serve(
        &self,
        peer: &Peer,
        request: Request<Body>,
    ) -> impl Future<Output = Response<Body>> + Send;

    /// Accounts the unsent responses of a new connection.
    fn connect(&self) -> Outlet;
}

/// State shared by all connections of a server.
pub(super) struct Shared<S> {
    pub(super) tls: Arc<arc_swap::ArcSwap<ServerConfig>>,
    pub(super) service: Arc<S>,
    pub(super) lifecycle: Lifecycle,
    pub(super) bounds: Bounds,
    pub(super) handshakes: Arc<Turns<Origin>>,
    /// Turns of clients with a valid certificate, by connection number.
    pub(super) polls: Arc<Turns<u64>>,
    pub(super) tasks: Tasks,
    /// Runtime that serves requests of clients with a valid certificate.
    pub(super) requests: Handle,
}

/// An accepted socket and the state to serve it.
pub(super) struct Connection<S> {
    pub(super) stream: TcpStream,
    pub(super) address: SocketAddr,
    pub(super) slot: Slot,
    pub(super) shared: Arc<Shared<S>>,
}

/// A connection after its handshake.
struct Established<S> {
    stream: TlsStream<Wire>,
    peer: Arc<Peer>,
    slot: Slot,
    outlet: Outlet,
    shared: Arc<Shared<S>>,
}

/// Turn state of a connection's requests.
#[derive(Clone)]
struct Polls {
    turns: Arc<Turns<u64>>,
    connection: u64,
    backlog: Backlog,
}

/// The body of a response; the request is open until it is dropped.
struct Counted {
    body: Body,
    _open: Open,
}

impl<S: Service> Connection<S> {
    /// Serves the connection. If its client has a valid certificate, the connection moves to the
    /// runtime of requests together with `held`.
    pub(super) async fn serve<H: Send + 'static>(self, held: H) {
        let evicted = self.slot.activity.evicted.clone();
        let (address, shared) = (self.address, Arc::clone(&self.shared));
        let handshake = timeout(shared.bounds.handshake, self.handshake());
        let established = match evicted.run_until_cancelled(handshake).await {
            Some(Ok(Ok(established))) => established,
            Some(Ok(Err(err))) => {
                tracing::debug!(peer = %address, %err, "handshake failed");
                return;
            }
            Some(Err(_)) => {
                tracing::debug!(peer = %address, "handshake timed out");
                return;
            }
            None => {
                tracing::debug!(peer = %address, "evicted during handshake");
                return;
            }
        };
        if established.slot.activity.is_authenticated() {
            let serve = async move {
                Box::pin(established.serve_here()).await;
                drop(held);
            };
            shared.tasks.spawn_on(serve, &shared.requests);
        } else {
            Box::pin(established.serve()).await;
        }
    }

    async fn handshake(mut self) -> io::Result<Established<S>> {
        let (turns, origin) = (&self.shared.handshakes, self.slot.origin);
        let activity = Arc::clone(&self.slot.activity);
        let outlet = self.shared.service.connect();
        let wire = WriteStall::new(Socket::new(self.stream), outlet.stall());
        // No computation happens before a complete ClientHello.
        let hello = LazyConfigAcceptor::new(Acceptor::default(), wire).await?;
        activity.reached(Stage::Handshaking);
        let accept = {
            // The key exchange and the server's signature are computed here.
            let _turn = turns.turn(origin).await;
            hello.into_stream(self.shared.tls.load_full())
        };
        let backlog = Backlog::default();
        let stream = turns.run(origin, &backlog, backlog.wait(), accept).await?;
        let session = stream.get_ref().1;
        let certificates = session.peer_certificates().unwrap_or_default();
        let owned = certificates.iter().map(|it| it.clone().into_owned());
        let peer = Peer::new(self.address, owned.collect());
        let known = !certificates.is_empty() && {
            let _turn = turns.turn(origin).await;
            self.shared.service.recognizes(&peer)
        };
        if session.alpn_protocol() == Some(b"h2") {
            activity.speaks_http2();
        }
        if known {
            let full = |_| io::Error::other("every connection serves a request");
            self.slot.authenticate().map_err(full)?;
        } else {
            activity.reached(Stage::Unauthenticated);
        }
        Ok(Established {
            stream,
            peer: Arc::new(peer),
            slot: self.slot,
            outlet,
            shared: self.shared,
        })
    }
}

impl<S: Service> Established<S> {
    /// Moves the socket to the caller's runtime and serves there.
    async fn serve_here(mut self) {
        let wire = self.stream.get_mut().0;
        let moved = wire.get_mut().move_here();
        wire.restart();
        match moved {
            Ok(()) => Box::pin(self.serve()).await,
            Err(err) => tracing::error!(%err, "cannot move a connection to another runtime"),
        }
    }

    async fn serve(self) {
        let activity = Arc::clone(&self.slot.activity);
        let authenticated = activity.is_authenticated();
        let bounds = &self.shared.bounds;
        let linger = if authenticated {
            bounds.linger
        } else {
            bounds.unauthenticated_linger
        };
        let http2 = self.stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let backlog = Backlog::default();
        let stream = Metered::new(
            self.stream,
            Arc::clone(&activity),
            backlog.clone(),
            http2.then(SettingsMeter::new),
            linger,
            bounds.linger_bytes,
        );
        let io = TokioIo::new(stream);
        let address = self.peer.address;
        let (service, shared) = (Arc::clone(&self.shared.service), &self.shared);
        let pending = Pending::default();
        let response = {
            let (activity, owed) = (Arc::clone(&activity), self.outlet.clone());
            let pending = pending.clone();
            // Clients without a certificate have one request per connection, on other threads.
            let turns = authenticated.then(|| Polls {
                turns: Arc::clone(&shared.polls),
                connection: owed.connection_number(),
                backlog,
            });
            service_fn(move |mut request: Request<Incoming>| {
                request.extensions_mut().insert(owed.clone());
                let open = activity.begin();
                let (service, peer) = (Arc::clone(&service), Arc::clone(&self.peer));
                // Counted from arrival, not from the first poll: many requests may be accepted
                // before that.
                let polls = turns.clone().map(|polls| (polls.backlog.wait(), polls));
                respond(service, peer, polls, request, open, pending.clone())
            })
        };
        let serving = async {
            if http2 {
                let builder = protocols::http2(authenticated, shared.tasks.clone());
                let connection = builder.serve_connection(io, response);
                let shut_down = http2::Connection::graceful_shutdown;
                drive(connection, shut_down, &activity, shared).await
            } else {
                let builder = protocols::http1(authenticated);
                let connection = builder.serve_connection(io, response).with_upgrades();
                let shut_down = http1::UpgradeableConnection::graceful_shutdown;
                drive(connection, shut_down, &activity, shared).await?;
                // Here, so that the connection keeps its slot and its deadlines for writes.
                let _open = activity.begin();
                let evicted = activity.evicted.cancelled();
                tokio::select! {
                    () = pending.serve() => Ok(()),
                    () = evicted => Ok(()),
                }
            }
        };
        let served = tokio::select! {
            served = watched(serving) => served,
            () = self.outlet.stalled() => None,
        };
        match served {
            Some(Ok(())) => {}
            Some(Err(err)) => tracing::debug!(peer = %address, %err, "connection ended"),
            None => tracing::debug!(peer = %address, "connection closed: client does not read"),
        }
    }
}

/// Serves one request, and records whether its body remains unread on the connection.
async fn respond<S: Service>(
    service: Arc<S>,
    peer: Arc<Peer>,
    polls: Option<(Waiting, Polls)>,
    mut request: Request<Incoming>,
    open: Open,
    pending: Pending,
) -> Result<Response<Counted>, Infallible> {
    if let Some(rejection) = host::rejection(&request) {
        open.left_unread();
        return Ok(rejection.map(|body| Counted { body, _open: open }));
    }
    let handshake = Handshake::of(&mut request);
    // An HTTP/2 connection that stays open can discard the rest of a body at any time.
    let unread = !request.body().is_end_stream() && open.is_last();
    let (request, unread_body) = drainable_body::drainable(request);
    // Boxed: the task of a stream is moved several times on its way to the runtime.
    let response = Box::pin(service.serve(&peer, request));
    let mut response = match polls {
        Some((waiting, polls)) => {
            let Polls {
                turns,
                connection,
                backlog,
            } = polls;
            turns.run(connection, &backlog, waiting, response).await
        }
        None => response.await,
    };
    let cut = match unread_body {
        Some(unread_body) => unread_body.drain(&mut response).await,
        None => unread,
    };
    if cut {
        open.left_unread();
    }
    let framing = response.extensions().get::<Framing>().copied();
    if let (Some(handshake), Some(framing)) = (handshake, framing) {
        response = handshake.respond(response, framing, &pending);
    }
    Ok(response.map(|body| Counted { body, _open: open }))
}

/// Runs a connection until it ends or reaches its deadline. `shut_down` begins its orderly end.
async fn drive<C, S>(
    connection: C,
    shut_down: impl FnOnce(Pin<&mut C>),
    activity: &Arc<Activity>,
    shared: &Shared<S>,
) -> hyper::Result<()>
where
    C: Future<Output = hyper::Result<()>>,
{
    let bounds = &shared.bounds;
    let mut connection = pin!(connection);
    let mut clock = Clock::new(Arc::clone(activity), *bounds);
    let draining = tokio::select! {
        biased;
        served = connection.as_mut() => return served,
        () = activity.evicted.cancelled() => return Ok(()),
        () = shared.lifecycle.not_accepting_new_requests.cancelled() => true,
        () = poll_fn(|cx| clock.poll(cx)) => false,
    };
    // GOAWAY: the peer opens no more streams, and open streams finish.
    shut_down(connection.as_mut());
    if draining {
        let evicted = activity.evicted.cancelled();
        return tokio::select! {
            served = connection => served,
            () = evicted => Ok(()),
        };
    }
    let latest = Instant::now() + bounds.head;
    loop {
        let evicted_or_served = async {
            tokio::select! {
                served = connection.as_mut() => served,
                () = activity.evicted.cancelled() => Ok(()),
            }
        };
        match timeout(bounds.goodbye, evicted_or_served).await {
            Ok(served) => return served,
            Err(_) if !activity.is_busy() => return Ok(()),
            Err(_) if activity.is_authenticated() || Instant::now() < latest => {}
            Err(_) => return Ok(()),
        }
    }
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
