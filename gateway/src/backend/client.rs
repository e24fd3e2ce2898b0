//! The calls.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use backend_client::Endpoint;
use backend_proto::AUDIT_ID_METADATA;
use backend_proto::limits::PROTOCOL_MINOR;
use backend_proto::v1;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::metadata::AsciiMetadataValue;
use tonic::{Request, Response, Status};

use crate::backend::check;
use crate::backend::current::{Asker, Current};
use crate::backend::error::{Error, Outcome, Reason};
use crate::backend::link::{Client, Link, Live};
use crate::backend::list::{LoadBudget, RecordStream};
use crate::backend::record::{Header, Op, Verdict, signed};
use crate::backend::requests::{Method, Requests};
use crate::backend::seen::{Highest, Identity, Seen};
use crate::backend::stream::ChangeStream;
use crate::backend::writer::{Queue, Writer};

/// Longest wait for the answer to a read or to a start of a stream.
const READ_TIMEOUT: Duration = Duration::from_secs(3);
/// How much longer the other side works on a call than we wait for it.
const LEEWAY: Duration = Duration::from_secs(1);
/// Oldest protocol this program speaks.
const PROTOCOL_MINOR_MIN: u32 = 1;
/// Longest silence of the change stream before the backend says that nothing happened.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);

/// Client of one backend; cheap to clone.
#[derive(Clone, Debug)]
pub struct Backend {
    calls: Calls,
    queue: Queue,
    asker: Asker,
}

/// The background work of a [`Backend`]; nothing is written or asked unless it runs.
#[derive(Debug)]
pub struct BackendTasks {
    writer: Writer,
    current: Current,
}

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

impl Backend {
    /// A client; connections are made when they are first needed.
    #[must_use]
    pub fn new(endpoint: &Endpoint) -> (Self, BackendTasks) {
        let link = || Arc::new(Link::new(endpoint));
        let seen = Arc::new(Seen::new());
        let calls = Calls {
            unary: link(),
            watch: link(),
            bulk: link(),
            seen,
            requests: Requests::default(),
        };
        let (queue, writer) = Writer::new(calls.clone());
        let (asker, current) = Current::new(calls.clone());
        let backend = Self {
            calls,
            queue,
            asker,
        };
        (backend, BackendTasks { writer, current })
    }

    /// Asks who the driver is.
    ///
    /// # Errors
    /// [`Reason::Refused`] with a sentence for an operator if it does not fit this program,
    /// [`Reason::NotReady`] while an import is unfinished.
    pub async fn describe(&self) -> Result<Description, Error> {
        let calls = &self.calls;
        let mut again = true;
        loop {
            let live = calls.live(&calls.unary).await?;
            match calls.describe(&live.client).await {
                Err(_) if live.is_spent() && again => again = false,
                answer => return answer,
            }
        }
    }

    /// Lets the calls of clients through, once the objects of the store are loaded that this header
    /// is of.
    pub fn admit(&self, header: &Header) {
        self.calls.seen.admit(header);
    }

    /// Makes one change, together with others that are made at the same time. What became of a
    /// broken call is found out by asking again.
    ///
    /// # Errors
    /// [`Reason::NotReady`] before [`Backend::admit`]; with [`Outcome::Unknown`] if that could not be
    /// found out in time.
    pub async fn write(&self, op: Op) -> Result<Verdict, Error> {
        self.queue.write(op).await
    }

    /// The newest revision: not below any that anybody was told before this was asked.
    ///
    /// # Errors
    /// [`Reason::NotReady`] before [`Backend::admit`], or if the backend does not answer.
    pub async fn current_revision(&self) -> Result<u64, Error> {
        self.asker.ask().await
    }

    /// Reads all records of a resource at a revision; 0 for now.
    ///
    /// # Errors
    /// [`Reason::Compacted`], or if the backend does not answer.
    pub(crate) async fn list(
        &self,
        group: &str,
        resource: &str,
        revision: u64,
        budget: &LoadBudget,
    ) -> Result<RecordStream, Error> {
        let range = v1::Range {
            group: group.to_owned(),
            resource: resource.to_owned(),
            ..v1::Range::default()
        };
        let request = v1::ListRequest {
            range: Some(range.clone()),
            revision: signed(revision),
            ..v1::ListRequest::default()
        };
        self.calls.requests.count(Method::List);
        let calls = &self.calls;
        let mut again = true;
        let stream = loop {
            let mut live = calls.live(&calls.bulk).await?;
            let stream = within(READ_TIMEOUT, live.client.list(request.clone())).await;
            match stream {
                Err(_) if live.is_spent() && again => again = false,
                stream => break stream?,
            }
        };
        RecordStream::open(stream, &self.calls, range, budget.clone()).await
    }

    /// Follows all changes after a revision.
    ///
    /// # Errors
    /// [`Reason::Compacted`], [`Reason::FutureRevision`], or if the backend does not answer.
    pub async fn watch(&self, after: u64) -> Result<ChangeStream, Error> {
        let interval = i64::try_from(PROGRESS_INTERVAL.as_millis()).unwrap_or(i64::MAX);
        let request = v1::WatchRequest {
            ranges: Vec::new(),
            start_revision: signed(after),
            progress_interval_ms: interval,
        };
        self.calls.requests.count(Method::Watch);
        let calls = &self.calls;
        let mut again = true;
        let stream = loop {
            let mut live = calls.live(&calls.watch).await?;
            let stream = within(READ_TIMEOUT, live.client.watch(request.clone())).await;
            match stream {
                Err(_) if live.is_spent() && again => again = false,
                stream => break stream?,
            }
        };
        Ok(ChangeStream::new(stream, self.calls.clone(), after))
    }

    /// How often the backend was asked.
    pub(crate) const fn requests(&self) -> &Requests {
        &self.calls.requests
    }

    /// Tells when the store is another one or its epoch changed: every cache is then void.
    pub(crate) fn identity(&self) -> IdentityWatch {
        IdentityWatch(self.calls.seen.identity())
    }
}

/// See [`Backend::identity`].
#[derive(Debug)]
pub(crate) struct IdentityWatch(watch::Receiver<Option<Identity>>);

impl IdentityWatch {
    /// Takes the identity seen by now as the known one, if it is of this epoch.
    pub(crate) fn accept(&mut self, epoch: u64) {
        let seen = self
            .0
            .borrow_and_update()
            .as_ref()
            .map(|identity| identity.epoch);
        if seen.is_some_and(|seen| seen != epoch) {
            self.0.mark_changed();
        }
    }

    /// Waits until it differs from the accepted one.
    pub(crate) async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            // The sender lives as long as any client; without one nothing changes.
            std::future::pending::<()>().await;
        }
    }
}

impl Calls {
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
        self.describe(&live.client).await?;
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
    async fn describe(&self, client: &Client) -> Result<Description, Error> {
        let request = v1::DescribeRequest {
            protocol_minor: PROTOCOL_MINOR,
            client: concat!("ark-apiserver ", env!("CARGO_PKG_VERSION")).to_owned(),
        };
        let floor = self.seen.highest();
        self.requests.count(Method::Describe);
        let mut client = client.clone();
        let answer = unary(READ_TIMEOUT, request, |request| client.describe(request)).await;
        // Whatever becomes of the question, nothing can have been stored by it.
        let answer = answer.map_err(|error| Error {
            outcome: Outcome::NotApplied,
            ..error
        })?;
        if answer.import.is_some() {
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
        // Only now: a driver that does not fit tells nothing that is worth remembering.
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

    /// Takes note of a header that may lawfully lag behind what others were told.
    pub(super) fn note_lagging(&self, header: Option<v1::Header>) -> Result<Header, Error> {
        self.note(header, Highest::default())
    }

    pub(super) async fn current_revision(&self) -> Result<u64, Error> {
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

impl BackendTasks {
    /// Runs until cancelled, then finishes the writes under way.
    pub async fn run(self, cancel: CancellationToken) {
        let mut tasks = JoinSet::new();
        tasks.spawn(self.writer.run(cancel.clone()));
        tasks.spawn(self.current.run(cancel));
        while tasks.join_next().await.is_some() {}
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
        let told = request.metadata().get("grpc-timeout").expect("a deadline");
        let due = (READ_TIMEOUT + LEEWAY).as_micros();
        assert_eq!(told, format!("{due}u").as_str());
    }
}
