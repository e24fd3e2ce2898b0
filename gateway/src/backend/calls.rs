//! The connections to the driver, and single calls on them.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use api_types::revision::Revision;
use backend_client::Endpoint;
use backend_proto::AUDIT_ID_METADATA;
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
use crate::backend::seen::{Highest, Identity, Seen};

/// Longest wait for the answer to a read or to a start of a stream.
const READ_TIMEOUT: Duration = Duration::from_secs(3);
/// How much longer the other side works on a call than we wait for it.
const LEEWAY: Duration = Duration::from_secs(1);
/// Oldest protocol this program speaks.
const PROTOCOL_MINOR_MIN: u32 = 1;
/// What a driver says of itself.
#[derive(Clone, Debug)]
pub struct Description {
    /// The store now.
    pub header: Header,
    /// Name and version of the driver.
    pub driver: String,
    /// Whether past states can be listed.
    pub time_travel: bool,
    /// Largest value, bytes; 0 if it did not say.
    pub value_bytes: u64,
}

/// The connections, and what was seen through them. Every call passes [`Calls::live`], so that none
/// reaches a driver which was not described on this connection or does not fit; those that clients
/// cause pass [`Calls::admitted`] as well.
#[derive(Clone, Debug)]
pub(super) struct Calls {
    unary: Arc<Link>,
    watch: Arc<Link>,
    bulk: Arc<Link>,
    seen: Arc<Seen>,
    requests: Requests,
}

impl Calls {
    /// Connections are made when they are first needed.
    pub(super) fn new(endpoint: &Endpoint) -> Self {
        let link = || Arc::new(Link::new(endpoint));
        Self {
            unary: link(),
            watch: link(),
            bulk: link(),
            seen: Arc::new(Seen::new()),
            requests: Requests::default(),
        }
    }

    /// How often the backend was asked.
    pub(super) const fn requests(&self) -> &Requests {
        &self.requests
    }

    /// See [`Seen::admit`].
    pub(super) fn admit(&self, header: &Header) {
        self.seen.admit(header);
    }

    /// See [`Seen::identity`].
    pub(super) fn identity(&self) -> watch::Receiver<Option<Identity>> {
        self.seen.identity()
    }

    /// Asks who the driver is.
    pub(super) async fn describe(&self) -> Result<Description, Error> {
        self.on_live(&self.unary, |client| self.describe_on(client))
            .await
    }

    /// Starts a list.
    pub(super) async fn list(
        &self,
        request: v1::ListRequest,
    ) -> Result<Streaming<v1::ListResponse>, Error> {
        self.requests.count(Method::List);
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
        self.requests.count(Method::Watch);
        let start = |mut client: Client| {
            let request = request.clone();
            async move { within(READ_TIMEOUT, client.watch(request)).await }
        };
        self.on_live(&self.watch, start).await
    }

    /// Makes a call, once more if the connection turns out to have ended before it.
    async fn on_live<A, F>(&self, link: &Link, call: impl Fn(Client) -> F) -> Result<A, Error>
    where
        F: Future<Output = Result<A, Error>>,
    {
        let live = self.live(link).await?;
        match call(live.client.clone()).await {
            Err(_) if live.is_spent() => {}
            answer => return answer,
        }
        call(self.live(link).await?.client).await
    }

    /// A connection whose driver was described and fits. It may have ended since, without a call on
    /// it: then it is spent, and another is made.
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

    /// As [`Calls::live`], for what a client asks: only of the store that is loaded.
    async fn admitted(&self, link: &Link) -> Result<Live, Error> {
        let live = self.live(link).await?;
        self.seen.check_admitted()?;
        Ok(live)
    }

    /// Asks who the driver is, and whether it fits.
    async fn describe_on(&self, mut client: Client) -> Result<Description, Error> {
        let request = v1::DescribeRequest {
            protocol_minor: PROTOCOL_MINOR,
            client: concat!("ark-apiserver ", env!("CARGO_PKG_VERSION")).to_owned(),
        };
        let floor = self.seen.highest();
        self.requests.count(Method::Describe);
        let answer = unary(READ_TIMEOUT, request, |request| client.describe(request)).await;
        // Whatever becomes of the question, nothing can have been stored by it.
        let answer = answer.map_err(|error| Error {
            outcome: Outcome::NotApplied,
            ..error
        })?;
        if answer.import_progress.is_some() {
            // What the store will be, and on which revision it will stand, the import decides.
            let message = "an import into the store is unfinished";
            return Err(Error::new(Reason::NotReady, message));
        }
        let (low, high) = (answer.protocol_minor_min, answer.protocol_minor_max);
        if low > PROTOCOL_MINOR || high < PROTOCOL_MINOR_MIN {
            return Err(Error::refused(format!(
                "storage driver {} {} speaks ark.backend.v1 minor {low} to {high}, this \
                 ark-apiserver {PROTOCOL_MINOR_MIN} to {PROTOCOL_MINOR}: upgrade the older one",
                answer.driver, answer.driver_version
            )));
        }
        // Only now: the state of an incompatible driver is not recorded.
        let header = self.note(answer.header.clone(), floor)?;
        let time_travel = answer
            .capabilities()
            .any(|it| it == v1::describe_response::Capability::TimeTravel);
        let value_bytes = answer.limits.map_or(0, |limits| limits.value_bytes);
        Ok(Description {
            header,
            driver: format!("{} {}", answer.driver, answer.driver_version),
            time_travel,
            value_bytes: u64::try_from(value_bytes).unwrap_or(0),
        })
    }

    pub(super) fn note(&self, header: Option<v1::Header>, floor: Highest) -> Result<Header, Error> {
        let header = check::header(header)?;
        self.seen.note(&header, floor)?;
        Ok(header)
    }

    /// Records a header that may lag behind revisions that others have observed.
    pub(super) fn note_lagging(&self, header: Option<v1::Header>) -> Result<Header, Error> {
        self.note(header, Highest::default())
    }

    pub(super) async fn current_revision(&self) -> Result<Revision, Error> {
        let deadline = Instant::now() + READ_TIMEOUT;
        let mut live = self.connected(deadline).await?;
        let floor = self.seen.highest();
        self.requests.count(Method::CurrentRevision);
        let request = v1::CurrentRevisionRequest {};
        let rest = deadline.saturating_duration_since(Instant::now());
        let answer = unary(rest, request, |request| {
            live.client.current_revision(request)
        });
        Ok(self.note(answer.await?.header, floor)?.revision)
    }

    /// One attempt to write a batch.
    pub(super) async fn write(
        &self,
        ops: Vec<v1::Op>,
        audit_ids: &[AsciiMetadataValue],
        timeout: Duration,
    ) -> Result<Vec<v1::OpResult>, Error> {
        let mut live = self.connected(Instant::now() + timeout).await?;
        let count = ops.len();
        self.requests.count(Method::Write);
        let request = v1::WriteRequest { ops };
        let answer = unary(timeout, request, |mut request| {
            for id in audit_ids {
                request.metadata_mut().append(AUDIT_ID_METADATA, id.clone());
            }
            live.client.write(request)
        });
        let answer = answer.await?;
        let open = |error| Error {
            outcome: Outcome::Unknown,
            ..error
        };
        self.note_lagging(answer.header).map_err(open)?;
        if answer.results.len() != count {
            let message = format!("{} verdicts for {count} writes", answer.results.len());
            return Err(open(check::broken(message)));
        }
        Ok(answer.results)
    }

    /// The connection for what clients ask, by a deadline; nothing was asked if there is none.
    async fn connected(&self, deadline: Instant) -> Result<Live, Error> {
        let connected = tokio::time::timeout_at(deadline, self.admitted(&self.unary));
        let late = |_| {
            Error::new(
                Reason::Deadline,
                "the storage backend does not say who it is",
            )
        };
        connected.await.map_err(late)?
    }
}

/// A unary call with a deadline that both sides know.
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

/// A request with a deadline for the other side. Ours comes first: an answer that it gave up may
/// overtake ours, and would not say whose time was up.
fn timed<Q>(request: Q, timeout: Duration) -> Request<Q> {
    let mut request = Request::new(request);
    request.set_timeout(timeout + LEEWAY);
    request
}

/// Bounds a call on this side, should the connection itself hang.
async fn within<A>(
    timeout: Duration,
    call: impl Future<Output = Result<Response<A>, Status>>,
) -> Result<A, Error> {
    match tokio::time::timeout(timeout, call).await {
        Ok(answer) => Ok(answer?.into_inner()),
        Err(_) => {
            let message = format!("no answer within {} s", timeout.as_secs());
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
    fn the_other_sides_timer_does_not_go_off_before_ours() {
        let request = timed((), READ_TIMEOUT);
        let timeout = request.metadata().get("grpc-timeout").expect("a deadline");
        let due = (READ_TIMEOUT + LEEWAY).as_micros();
        assert_eq!(timeout, format!("{due}u").as_str());
    }
}
