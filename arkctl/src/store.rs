//! Client of one store: the calls of `ark.backend.v1` that commands need.

mod observed;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use backend_client::{Endpoint, Tls};
use backend_proto::error::from_status;
use backend_proto::limits::PROTOCOL_MINOR;
use backend_proto::v1::backend_client::BackendClient;
use backend_proto::v1::backend_error::Reason;
use backend_proto::v1::describe_response::Capability;
use backend_proto::v1::export_response::Part;
use backend_proto::v1::import_request::Options;
use backend_proto::v1::{
    BackendError, CompactRequest, CurrentRevisionRequest, DescribeRequest, DescribeResponse,
    ExportRequest, ExportResponse, FenceRequest, GetRequest, Header, HealthRequest, HealthResponse,
    ImportRequest, Key, Op, OpResult, Record, WatchRequest, WatchResponse, WriteRequest,
};
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};

use self::observed::observed;
use crate::args;
use crate::data_dir;
use crate::deadlines::Deadlines;

/// Client of a store.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    pub(crate) address: String,
    deadlines: Deadlines,
    /// Connection for unary calls, so that streams do not delay them.
    calls: BackendClient<Channel>,
    streams: BackendClient<Channel>,
}

/// Error of a call, with the store's address and the driver's error.
#[derive(Debug)]
pub(crate) struct Rejection {
    address: String,
    /// The typed error; `None` if the driver was unreachable or did not respond.
    pub(crate) error: Option<BackendError>,
    message: String,
}

/// An export in progress.
#[derive(Debug)]
pub(crate) struct Export {
    /// Header of the snapshot.
    pub(crate) header: Header,
    /// Estimated number of records in the snapshot, if the driver knows it.
    pub(crate) about_records: Option<u64>,
    address: String,
    deadlines: Deadlines,
    stream: Streaming<ExportResponse>,
    /// Records received so far.
    count: i64,
}

// === impl Store ===

impl Store {
    pub(crate) fn at(at: &args::At, deadlines: Deadlines) -> Result<Self> {
        let files = [&at.ca, &at.cert, &at.key];
        let address = address(at.endpoint.as_ref(), at.data_dir.as_ref())?;
        Self::open("--at", &address, files, deadlines)
    }

    pub(crate) fn from(from: &args::From, deadlines: Deadlines) -> Result<Self> {
        let files = [&from.ca, &from.cert, &from.key];
        let address = address(from.endpoint.as_ref(), from.data_dir.as_ref())?;
        Self::open("--from", &address, files, deadlines)
    }

    pub(crate) fn to(to: &args::To, deadlines: Deadlines) -> Result<Self> {
        let files = [&to.ca, &to.cert, &to.key];
        let address = address(to.endpoint.as_ref(), to.data_dir.as_ref())?;
        Self::open("--to", &address, files, deadlines)
    }

    /// Opens a store at an address; `files` are authority, certificate and key.
    pub(crate) fn open(
        flag: &str,
        address: &str,
        files: [&Option<PathBuf>; 3],
        deadlines: Deadlines,
    ) -> Result<Self> {
        let tls = match files {
            [Some(ca), Some(cert), Some(key)] => Some(Tls {
                ca: read(ca)?,
                cert: read(cert)?,
                key: read(key)?,
            }),
            [None, None, None] => None,
            _ => bail!("{flag}: certificate authority, certificate and key must be given together"),
        };
        let endpoint = Endpoint::parse(address, tls.as_ref()).context(flag.to_owned())?;
        Ok(Self {
            address: address.to_owned(),
            deadlines,
            calls: endpoint.pinged_client(),
            streams: endpoint.pinged_client(),
        })
    }

    pub(crate) async fn describe(&self) -> Result<DescribeResponse, Rejection> {
        let request = DescribeRequest {
            protocol_minor: PROTOCOL_MINOR,
            client: concat!("arkctl ", env!("CARGO_PKG_VERSION")).to_owned(),
        };
        let request = self.timed(request);
        self.unary(self.calls.clone().describe(request)).await
    }

    pub(crate) async fn health(&self) -> Result<HealthResponse, Rejection> {
        let request = self.timed(HealthRequest {});
        self.unary(self.calls.clone().health(request)).await
    }

    pub(crate) async fn head(&self) -> Result<Header, Rejection> {
        let request = self.timed(CurrentRevisionRequest {});
        let mut calls = self.calls.clone();
        let response = self.unary(calls.current_revision(request)).await?;
        Ok(response.header.unwrap_or_default())
    }

    pub(crate) async fn get(&self, key: &Key, revision: i64) -> Result<Option<Record>, Rejection> {
        let request = self.timed(GetRequest {
            key: Some(key.clone()),
            revision,
        });
        Ok(self.unary(self.calls.clone().get(request)).await?.record)
    }

    pub(crate) async fn compact(&self, revision: i64) -> Result<Header, Rejection> {
        let mut calls = self.calls.clone();
        let call = calls.compact(CompactRequest { revision });
        let response = self.within(self.deadlines.work(), call).await?;
        Ok(response.header.unwrap_or_default())
    }

    /// Fences the store with a reason, or with `None` lifts the fence.
    pub(crate) async fn fence(&self, reason: Option<&str>) -> Result<Header, Rejection> {
        let request = self.timed(FenceRequest {
            fenced: reason.is_some(),
            reason: reason.unwrap_or_default().to_owned(),
        });
        let response = self.unary(self.calls.clone().fence(request)).await?;
        Ok(response.header.unwrap_or_default())
    }

    pub(crate) async fn watch(
        &self,
        request: WatchRequest,
    ) -> Result<Streaming<WatchResponse>, Rejection> {
        self.unary(self.streams.clone().watch(request)).await
    }

    /// The next message of a watch, which must have a progress interval; `None` at its end.
    pub(crate) async fn watched(
        &self,
        watch: &mut Streaming<WatchResponse>,
    ) -> Result<Option<WatchResponse>, Rejection> {
        let limit = self.deadlines.response;
        match timeout(limit, watch.message()).await {
            Ok(message) => message.map_err(|status| self.rejection(&status)),
            Err(_) => Err(Rejection::silent(&self.address, limit)),
        }
    }

    /// Begins an export; fails if it is not at the requested revision.
    pub(crate) async fn export(&self, request: ExportRequest) -> Result<Export> {
        let wanted = request.revision;
        let mut export = Export {
            header: Header::default(),
            about_records: None,
            address: self.address.clone(),
            deadlines: self.deadlines,
            stream: self.unary(self.streams.clone().export(request)).await?,
            count: 0,
        };
        match export.timely(Export::message).await? {
            Some(ExportResponse {
                part: Some(Part::Header(header)),
                about_records,
            }) => {
                export.header = header;
                export.about_records = u64::try_from(about_records).ok().filter(|it| *it > 0);
            }
            _ => bail!("{}: an export did not begin with its header", self.address),
        }
        if wanted != 0 && export.header.revision != wanted {
            bail!(
                "{}: the driver is too old to export a past revision",
                self.address
            );
        }
        Ok(export)
    }

    /// Whether the store holds no records and no history. Whether it ever had any, only its driver
    /// knows.
    pub(crate) async fn is_empty(&self) -> Result<bool> {
        let mut export = self.export(ExportRequest::default()).await?;
        let Header {
            revision,
            compact_revision,
            ..
        } = export.header;
        Ok(revision == compact_revision && export.records().await?.is_none())
    }

    /// Writes operations; returns a result for each.
    pub(crate) async fn write(&self, ops: Vec<Op>) -> Result<Vec<OpResult>, Rejection> {
        let request = self.timed(WriteRequest { ops });
        Ok(self.unary(self.calls.clone().write(request)).await?.results)
    }

    /// Makes one call of Import, whose requests begin with `options`. Fails if the driver does not
    /// take a request or does not complete the import in time; a slow sender does not count.
    pub(crate) async fn import<S>(&self, requests: S) -> Result<Header, Rejection>
    where
        S: tokio_stream::Stream<Item = ImportRequest> + Send + 'static,
    {
        let (requests, taken) = observed(requests);
        let mut streams = self.streams.clone();
        let response = tokio::select! {
            response = streams.import(requests) => response,
            limit = taken.stalled(self.deadlines) => {
                return Err(Rejection::silent(&self.address, limit));
            }
        };
        let response = response.map_err(|status| self.rejection(&status))?;
        Ok(response.into_inner().header.unwrap_or_default())
    }

    /// Converts an error of a stream of this store.
    pub(crate) fn rejection(&self, status: &Status) -> Rejection {
        Rejection::of(&self.address, status)
    }

    /// A request whose deadline the driver knows, too.
    fn timed<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.deadlines.response);
        request
    }

    async fn unary<T>(
        &self,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Rejection> {
        self.within(self.deadlines.response, call).await
    }

    async fn within<T>(
        &self,
        limit: Duration,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Rejection> {
        match timeout(limit, call).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(self.rejection(&status)),
            Err(_) => Err(Rejection::silent(&self.address, limit)),
        }
    }
}

/// The address of a store, which is given directly or by the data directory of a server.
fn address(endpoint: Option<&String>, data_dir: Option<&PathBuf>) -> Result<String> {
    match (endpoint, data_dir) {
        (_, Some(directory)) => data_dir::address(directory),
        (Some(endpoint), None) => Ok(endpoint.clone()),
        (None, None) => bail!("no store is given"),
    }
}

/// Whether a driver has a capability.
pub(crate) fn can(described: &DescribeResponse, capability: Capability) -> bool {
    described.capabilities.contains(&(capability as i32))
}

/// Returns the first request of a call of Import.
pub(crate) fn begin(options: Options) -> ImportRequest {
    ImportRequest {
        part: Some(backend_proto::v1::import_request::Part::Options(options)),
    }
}

fn read(path: &PathBuf) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| path.display().to_string())
}

// === impl Export ===

impl Export {
    /// Returns the next part; `None` at the regular end. Waits without a deadline: an export that
    /// follows a store is silent while nothing changes.
    pub(crate) async fn next(&mut self) -> Result<Option<Part>> {
        while let Some(message) = self.message().await? {
            // A part of a later minor version is absent here: skip it.
            if message.part.is_some() {
                return Ok(message.part);
            }
        }
        Ok(None)
    }

    async fn message(&mut self) -> Result<Option<ExportResponse>> {
        let message = self.stream.message().await;
        Ok(message.map_err(|status| Rejection::of(&self.address, &status))?)
    }

    async fn timely<T>(&mut self, read: impl AsyncFnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let (address, limit) = (self.address.clone(), self.deadlines.response);
        match timeout(limit, read(self)).await {
            Ok(read) => read,
            Err(_) => Err(Rejection::silent(&address, limit).into()),
        }
    }

    /// Returns the next records of the snapshot; `None` when it is complete.
    pub(crate) async fn records(&mut self) -> Result<Option<Vec<Record>>> {
        match self.timely(Self::next).await? {
            Some(Part::Chunk(chunk)) => {
                self.count += chunk.records.len() as i64;
                Ok(Some(chunk.records))
            }
            Some(Part::Trailer(trailer)) if trailer.count == self.count => Ok(None),
            _ => bail!("{}: an export ended early", self.address),
        }
    }
}

// === impl Rejection ===

impl Rejection {
    fn of(address: &str, status: &Status) -> Self {
        let error = from_status(status);
        let message = match &error {
            Some(error) => error.message.clone(),
            None => format!("{:?}: {}", status.code(), status.message()),
        };
        Self {
            address: address.to_owned(),
            error,
            message,
        }
    }

    fn silent(address: &str, limit: Duration) -> Self {
        let seconds = limit.as_secs();
        Self {
            address: address.to_owned(),
            error: None,
            message: format!(
                "no response within {seconds} s: check the driver, or raise --timeout"
            ),
        }
    }

    /// Returns the reason of the error, if the driver gave one.
    pub(crate) fn reason(&self) -> Option<Reason> {
        self.error.as_ref().map(BackendError::reason)
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.address, self.message)
    }
}

impl std::error::Error for Rejection {}
