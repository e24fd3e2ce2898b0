//! The connections to the driver, and single calls on them.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use api_types::revision::Revision;
use backend_client::Endpoint;
use backend_proto::AUDIT_ID_METADATA;
use backend_proto::fence::RETIRED;
use backend_proto::limits::PROTOCOL_MINOR;
use backend_proto::v1;
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::metadata::AsciiMetadataValue;
use tonic::{Request, Response, Status, Streaming};

use crate::backend::check;
use crate::backend::error::{Error, Outcome, Reason};
use crate::backend::link::{Client, Link, Live};
use crate::backend::record::Header;
use crate::backend::requests::{Method, Requests};
use crate::backend::revision_guard::{Identity, Position, RevisionGuard};
use crate::telemetry::trace;

/// Deadline of a read, and of the start of a stream.
const READ_TIMEOUT: Duration = Duration::from_secs(3);
/// Added to the deadline that the driver receives, so that this side's deadline expires first.
const LEEWAY: Duration = Duration::from_secs(1);
/// Metadata of the parent of the driver's spans (W3C Trace Context).
const TRACE_PARENT: &str = "traceparent";
/// Oldest minor version of the protocol that this program supports.
const PROTOCOL_MINOR_MIN: u32 = 1;

/// Description of a driver and its store.
#[derive(Clone, Debug)]
pub struct Description {
    /// Current state of the store.
    pub header: Header,
    /// Name and version of the driver.
    pub driver: String,
    /// Whether past states can be listed.
    pub time_travel: bool,
    /// Largest value, bytes; 0 if the driver reports none.
    pub value_bytes: u64,
    /// Whether a fence rejects all writes.
    pub fenced: bool,
    /// Why the store must not be served any more, if it is retired ([`RETIRED`]).
    pub retired: Option<String>,
}

/// The connections and the newest state that they reported. Every call passes [`Calls::live`], so
/// that none reaches an incompatible driver; calls that clients cause also pass
/// [`Calls::admitted`].
#[derive(Clone, Debug)]
pub(super) struct Calls {
    unary: Arc<Link>,
    watch: Arc<Link>,
    bulk: Arc<Link>,
    guard: Arc<RevisionGuard>,
    requests: Requests,
}

impl Calls {
    /// Calls over three links, each of which connects at its first use.
    pub(super) fn new(endpoint: &Endpoint) -> Self {
        let link = || Arc::new(Link::new(endpoint));
        Self {
            unary: link(),
            watch: link(),
            bulk: link(),
            guard: Arc::new(RevisionGuard::new()),
            requests: Requests::default(),
        }
    }

    /// Counters of requests.
    pub(super) const fn requests(&self) -> &Requests {
        &self.requests
    }

    /// See [`RevisionGuard::admit`].
    pub(super) fn admit(&self, header: &Header) {
        self.guard.admit(header);
    }

    /// See [`RevisionGuard::identity`].
    pub(super) fn identity(&self) -> watch::Receiver<Option<Identity>> {
        self.guard.identity()
    }

    /// Describes the driver and its store.
    pub(super) async fn describe(&self) -> Result<Description, Error> {
        self.on_live(&self.unary, |client| self.describe_on(client))
            .await
    }

    /// Starts a list.
    pub(super) async fn list(
        &self,
        request: v1::ListRequest,
    ) -> Result<Streaming<v1::ListResponse>, Error> {
        let _timer = self.requests.begin(Method::List);
        let start = |mut client: Client| {
            let request = request.clone();
            async move { within(READ_TIMEOUT, client.list(request)).await }
        };
        self.on_live(&self.bulk, start).await
    }

    /// Starts a change stream.
    pub(super) async fn watch(
        &self,
        request: v1::WatchRequest,
    ) -> Result<Streaming<v1::WatchResponse>, Error> {
        let _timer = self.requests.begin(Method::Watch);
        let start = |mut client: Client| {
            let request = request.clone();
            async move { within(READ_TIMEOUT, client.watch(request)).await }
        };
        self.on_live(&self.watch, start).await
    }

    /// Makes a call, and repeats it once if its connection had ended.
    async fn on_live<A, F>(&self, link: &Link, call: impl Fn(Client) -> F) -> Result<A, Error>
    where
        F: Future<Output = Result<A, Error>>,
    {
        let live = self.live(link).await?;
        match call(live.client.clone()).await {
            Err(_) if live.is_spent() => {}
            result => return result,
        }
        call(self.live(link).await?.client).await
    }

    /// A connection to a compatible driver. An idle connection may have ended: then it is spent,
    /// and a new one is made.
    async fn live(&self, link: &Link) -> Result<Live, Error> {
        if let Some(live) = link.serving() {
            return Ok(live);
        }
        let _turn = link.turn().await;
        if let Some(live) = link.serving() {
            return Ok(live);
        }
        let live = link.connect();
        self.describe_on(live.client.clone()).await?;
        link.keep(live.clone());
        Ok(live)
    }

    /// As [`Calls::live`], for calls that clients cause: they reach only the loaded store.
    async fn admitted(&self, link: &Link) -> Result<Live, Error> {
        let live = self.live(link).await?;
        self.guard.check_admitted()?;
        Ok(live)
    }

    /// Describes the driver and checks that it is compatible.
    async fn describe_on(&self, mut client: Client) -> Result<Description, Error> {
        let request = v1::DescribeRequest {
            protocol_minor: PROTOCOL_MINOR,
            client: concat!("ark-apiserver ", env!("CARGO_PKG_VERSION")).to_owned(),
        };
        let floor = self.guard.position();
        let _timer = self.requests.begin(Method::Describe);
        let response = unary(READ_TIMEOUT, request, |request| client.describe(request)).await;
        // `Describe` stores nothing, so no failure leaves its outcome unknown.
        let response = response.map_err(|error| Error {
            outcome: Outcome::NotApplied,
            ..error
        })?;
        if response.import_progress.is_some() {
            // The import decides the identity and the revision of the store.
            let message = "an import into the store is unfinished";
            return Err(Error::new(Reason::NotReady, message));
        }
        let (low, high) = (response.protocol_minor_min, response.protocol_minor_max);
        if low > PROTOCOL_MINOR || high < PROTOCOL_MINOR_MIN {
            return Err(Error::incompatible(format!(
                "storage driver {} {} supports ark.backend.v1 minor {low} to {high}, this \
                 ark-apiserver {PROTOCOL_MINOR_MIN} to {PROTOCOL_MINOR}: upgrade the older one",
                response.driver, response.driver_version
            )));
        }
        // After the check, so that the state of an incompatible driver is not recorded.
        let header = self.note(response.header.clone(), floor)?;
        let time_travel = response
            .capabilities()
            .any(|it| it == v1::describe_response::Capability::TimeTravel);
        let value_bytes = response.limits.map_or(0, |limits| limits.value_bytes);
        Ok(Description {
            header,
            driver: format!("{} {}", response.driver, response.driver_version),
            time_travel,
            value_bytes: u64::try_from(value_bytes).unwrap_or(0),
            fenced: !response.fenced.is_empty(),
            retired: response.fenced.strip_prefix(RETIRED).map(ToOwned::to_owned),
        })
    }

    /// Records a header, which must not be below `floor`.
    pub(super) fn note(
        &self,
        header: Option<v1::Header>,
        floor: Position,
    ) -> Result<Header, Error> {
        let header = check::header(header)?;
        self.guard.note(&header, floor)?;
        Ok(header)
    }

    /// Records a header that may lag behind the newest reported revision.
    pub(super) fn note_lagging(&self, header: Option<v1::Header>) -> Result<Header, Error> {
        self.note(header, Position::default())
    }

    pub(super) async fn current_revision(&self) -> Result<Revision, Error> {
        let deadline = Instant::now() + READ_TIMEOUT;
        let mut live = self.connected(deadline).await?;
        let floor = self.guard.position();
        let _timer = self.requests.begin(Method::CurrentRevision);
        let request = v1::CurrentRevisionRequest {};
        let rest = deadline.saturating_duration_since(Instant::now());
        let response = unary(rest, request, |request| {
            live.client.current_revision(request)
        });
        Ok(self.note(response.await?.header, floor)?.revision)
    }

    /// One attempt to write a batch.
    pub(super) async fn write(
        &self,
        ops: Vec<v1::Op>,
        audit_ids: &[AsciiMetadataValue],
        parent: Option<trace::Context>,
        timeout: Duration,
    ) -> Result<Vec<v1::OpResult>, Error> {
        let mut live = self.connected(Instant::now() + timeout).await?;
        let count = ops.len();
        let _timer = self.requests.begin(Method::Write);
        let request = v1::WriteRequest { ops };
        let response = unary(timeout, request, |mut request| {
            let parent = parent.and_then(|parent| parent.to_header().parse().ok());
            if let Some(parent) = parent {
                request.metadata_mut().insert(TRACE_PARENT, parent);
            }
            for id in audit_ids {
                request.metadata_mut().append(AUDIT_ID_METADATA, id.clone());
            }
            live.client.write(request)
        });
        let response = response.await?;
        let open = |error| Error {
            outcome: Outcome::Unknown,
            ..error
        };
        self.note_lagging(response.header).map_err(open)?;
        if response.results.len() != count {
            let message = format!("{} verdicts for {count} writes", response.results.len());
            return Err(open(check::broken(message)));
        }
        Ok(response.results)
    }

    /// The connection for calls that clients cause. On an error, no call was made.
    async fn connected(&self, deadline: Instant) -> Result<Live, Error> {
        let connected = tokio::time::timeout_at(deadline, self.admitted(&self.unary));
        connected.await.map_err(|_| {
            let message = "no connection to a described storage driver before the deadline";
            Error::new(Reason::Deadline, message)
        })?
    }
}

/// A unary call whose deadline both sides enforce.
async fn unary<Q, A, F>(
    timeout: Duration,
    request: Q,
    call: impl FnOnce(Request<Q>) -> F,
) -> Result<A, Error>
where
    F: Future<Output = Result<Response<A>, Status>>,
{
    within(timeout, call(timed(request, timeout))).await
}

/// A request with a deadline for the driver. It is later than this side's: a driver whose deadline
/// expires first cancels the call, which is indistinguishable from a broken connection.
fn timed<Q>(request: Q, timeout: Duration) -> Request<Q> {
    let mut request = Request::new(request);
    request.set_timeout(timeout + LEEWAY);
    request
}

/// Bounds a call on this side, also if the connection hangs.
async fn within<A>(
    timeout: Duration,
    call: impl Future<Output = Result<Response<A>, Status>>,
) -> Result<A, Error> {
    match tokio::time::timeout(timeout, call).await {
        Ok(response) => Ok(response?.into_inner()),
        Err(_) => {
            let message = format!("no response within {} s", timeout.as_secs());
            Err(Error {
                outcome: Outcome::Unknown,
                ..Error::new(Reason::Deadline, message)
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{LEEWAY, READ_TIMEOUT, timed};

    #[test]
    fn driver_deadline_expires_after_this_side() {
        let request = timed((), READ_TIMEOUT);
        let timeout = request.metadata().get("grpc-timeout").expect("a deadline");
        let due = (READ_TIMEOUT + LEEWAY).as_micros();
        assert_eq!(timeout, format!("{due}u").as_str());
    }
}
