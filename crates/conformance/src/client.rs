//! Calls of `ark.backend.v1` with deadlines and checked responses, as cases need them.

use std::time::Duration;

use backend_proto::v1::list_response::Part;
use backend_proto::v1::op_result::{Applied, Conflict, Verdict};
use backend_proto::v1::{
    BackendError, CompactRequest, CompactResponse, CurrentRevisionRequest, DescribeRequest,
    DescribeResponse, GetRequest, GetResponse, Header, Key, ListRequest, Op, OpResult, Record,
    WatchRequest, WriteRequest, WriteResponse,
};
use prost::Message as _;
use tokio::time::timeout;
use tonic::{Request, Status, Streaming};

use crate::calls::{Calls, LastCall};
use crate::check::{Check, Stop, ensure, same, some};
use crate::stream::Stream;
use backend_client::Endpoint;

/// Deadline of a unary call, and timeout of one message of a list.
pub(crate) const CALL: Duration = Duration::from_secs(20);

/// Newest minor version of the protocol that the suite supports.
const MINOR: u32 = backend_proto::limits::PROTOCOL_MINOR;

/// A client with its own connection.
#[derive(Clone, Debug)]
pub struct Client {
    raw: Calls,
}

/// A complete list.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Header of the snapshot that all records belong to.
    pub header: Header,
    /// The records, in key order.
    pub records: Vec<Record>,
    /// Encoded size and number of records, per chunk.
    pub(crate) chunks: Vec<(usize, usize)>,
    pub(crate) more: bool,
}

/// Builds a request with the deadline of unary calls.
pub(crate) fn timed<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(CALL);
    request
}

// === impl Client ===

impl Client {
    /// Creates a client that connects on its first call.
    #[must_use]
    pub fn new(endpoint: &Endpoint) -> Self {
        Self::noting(endpoint, LastCall::default())
    }

    /// As [`Client::new`]; `last` keeps the last request.
    pub(crate) fn noting(endpoint: &Endpoint, last: LastCall) -> Self {
        Self {
            raw: Calls::new(endpoint.client(), last),
        }
    }

    /// Returns the calls without a helper.
    pub(crate) fn raw(&self) -> Calls {
        self.raw.clone()
    }

    /// Calls Describe.
    ///
    /// # Errors
    /// The driver's error.
    pub async fn describe(&self) -> Result<DescribeResponse, Status> {
        let request = DescribeRequest {
            protocol_minor: MINOR,
            client: concat!("backend-conformance ", env!("CARGO_PKG_VERSION")).to_owned(),
        };
        let response = self.raw().describe(timed(request)).await?;
        Ok(response.into_inner())
    }

    pub(crate) async fn write(&self, ops: Vec<Op>) -> Result<WriteResponse, Status> {
        let response = self.raw().write(timed(WriteRequest { ops })).await?;
        Ok(response.into_inner())
    }

    /// Writes several operations; returns one verdict for each.
    pub(crate) async fn verdicts(&self, ops: Vec<Op>) -> Check<Vec<Verdict>> {
        let count = ops.len();
        let response = self.write(ops).await?;
        same!(response.results.len(), count, "number of verdicts");
        let verdicts = response
            .results
            .into_iter()
            .map(|OpResult { verdict }| verdict);
        verdicts.map(|found| some(found, "a verdict")).collect()
    }

    /// Writes one operation; returns its verdict.
    ///
    /// # Errors
    /// If the call failed.
    pub async fn verdict(&self, op: Op) -> Check<Verdict> {
        let mut verdicts = self.verdicts(vec![op]).await?;
        some(verdicts.pop(), "a verdict")
    }

    /// Writes an operation that must be applied.
    pub(crate) async fn apply(&self, op: Op) -> Check<Applied> {
        match self.verdict(op).await? {
            Verdict::Applied(applied) => Ok(applied),
            other => Err(unexpected("applied", &other)),
        }
    }

    /// Writes operations in one request that must all be applied; returns their revisions.
    pub(crate) async fn apply_all(&self, ops: Vec<Op>) -> Check<Vec<i64>> {
        let verdicts = self.verdicts(ops).await?.into_iter();
        verdicts
            .map(|verdict| match verdict {
                Verdict::Applied(applied) => Ok(applied.revision),
                other => Err(unexpected("applied", &other)),
            })
            .collect()
    }

    /// Writes an operation whose precondition must not hold.
    pub(crate) async fn conflict(&self, op: Op) -> Check<Conflict> {
        match self.verdict(op).await? {
            Verdict::Conflict(conflict) => Ok(conflict),
            other => Err(unexpected("conflict", &other)),
        }
    }

    /// Writes a single operation that must be rejected.
    pub(crate) async fn refuse(&self, op: Op) -> Check<BackendError> {
        match self.verdict(op).await? {
            Verdict::Refused(error) => Ok(error),
            other => Err(unexpected("refused", &other)),
        }
    }

    /// Gets a record at a revision; 0 for the latest.
    ///
    /// # Errors
    /// The driver's error.
    pub async fn get(&self, key: &Key, revision: i64) -> Result<GetResponse, Status> {
        let request = GetRequest {
            key: Some(key.clone()),
            revision,
        };
        Ok(self.raw().get(timed(request)).await?.into_inner())
    }

    /// Gets the latest record of a key.
    pub(crate) async fn latest(&self, key: &Key) -> Check<Option<Record>> {
        Ok(self.get(key, 0).await?.record)
    }

    /// Gets the latest record of a key that must exist.
    pub(crate) async fn stored(&self, key: &Key) -> Check<Record> {
        some(self.latest(key).await?, "a stored record")
    }

    /// Calls `CurrentRevision`; returns the header.
    ///
    /// # Errors
    /// If the call failed.
    pub async fn current(&self) -> Check<Header> {
        let request = timed(CurrentRevisionRequest {});
        let response = self.raw().current_revision(request).await?;
        some(response.into_inner().header, "header of CurrentRevision")
    }

    pub(crate) async fn compact(&self, revision: i64) -> Result<CompactResponse, Status> {
        let request = timed(CompactRequest { revision });
        Ok(self.raw().compact(request).await?.into_inner())
    }

    /// Lists; the stream may fail, but its message sequence is checked.
    ///
    /// # Errors
    /// If the list violated the rules.
    pub async fn try_list(&self, request: ListRequest) -> Check<Result<Listed, Status>> {
        let stream = match self.raw().list(request).await {
            Ok(response) => response.into_inner(),
            Err(status) => return Ok(Err(status)),
        };
        collect(stream).await
    }

    pub(crate) async fn list(&self, request: ListRequest) -> Check<Listed> {
        Ok(self.try_list(request).await??)
    }

    /// Starts a watch that must be accepted.
    pub(crate) async fn watch(&self, request: WatchRequest) -> Check<Stream> {
        Ok(self.try_watch(request).await??)
    }

    /// Starts a watch and reads its first message, which may be an error.
    ///
    /// # Errors
    /// If it violated the rules.
    pub async fn try_watch(&self, request: WatchRequest) -> Check<Result<Stream, Status>> {
        let opened = timeout(CALL, self.raw().watch(request.clone())).await;
        let opened = opened.map_err(|_| timed_out("a watch did not begin"))?;
        match opened {
            Ok(response) => Stream::begin(response.into_inner(), request).await,
            Err(status) => Ok(Err(status)),
        }
    }
}

/// Reads a list to its end and checks the sequence: header, chunks, trailer.
pub(crate) async fn collect(
    mut stream: Streaming<backend_proto::v1::ListResponse>,
) -> Check<Result<Listed, Status>> {
    let (mut header, mut records, mut chunks, mut end) = (None, Vec::new(), Vec::new(), None);
    loop {
        let message = timeout(CALL, stream.message()).await;
        let message = match message.map_err(|_| timed_out("a list sent nothing"))? {
            Ok(Some(message)) => message,
            Ok(None) => break,
            Err(status) => return Ok(Err(status)),
        };
        ensure!(end.is_none(), "a list continued after its trailer");
        match some(message.part, "part of a ListResponse")? {
            Part::Header(first) => {
                ensure!(header.is_none(), "a list sent two headers");
                header = Some(first);
            }
            Part::Chunk(chunk) => {
                ensure!(header.is_some(), "a list sent records before its header");
                chunks.push((chunk.encoded_len(), chunk.records.len()));
                records.extend(chunk.records);
            }
            Part::Trailer(trailer) => end = Some(trailer),
        }
    }
    let header = some(header, "header of a list")?;
    let end = some(end, "trailer of a list that ended without an error")?;
    same!(end.count, records.len() as i64, "count in a list's trailer");
    Ok(Ok(Listed {
        header,
        records,
        chunks,
        more: end.more,
    }))
}

pub(crate) fn timed_out(what: &str) -> Stop {
    Stop::Failed(format!("{what} within {} s", CALL.as_secs()))
}

fn unexpected(expected: &str, verdict: &Verdict) -> Stop {
    // Omit the value, which may be large.
    let observed = match verdict {
        Verdict::Applied(applied) => format!("applied at {}", applied.revision),
        Verdict::Conflict(conflict) => format!("conflict {}", conflict.cause().as_str_name()),
        Verdict::Refused(error) => {
            format!(
                "refused {}: {}",
                error.reason().as_str_name(),
                error.message
            )
        }
    };
    Stop::Failed(format!(
        "the expected verdict is {expected}, the observed one {observed}"
    ))
}
