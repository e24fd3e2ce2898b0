//! The calls of `ark.backend.v1`, implemented with the kit's parts.

use std::sync::Arc;
use std::time::Duration;

use backend_proto::AUDIT_ID_METADATA;
use backend_proto::limits::PROTOCOL_MINOR;
use backend_proto::v1::backend_server::Backend;
use backend_proto::v1::describe_response::Capability;
use backend_proto::v1::{
    BackendError, CompactRequest, CompactResponse, CurrentRevisionRequest, CurrentRevisionResponse,
    DescribeRequest, DescribeResponse, ExportRequest, ExportResponse, FenceRequest, FenceResponse,
    GetRequest, GetResponse, HealthRequest, HealthResponse, ImportProgress, ImportRequest,
    ImportResponse, ListRequest, ListResponse, WatchRequest, WatchResponse, WriteRequest,
    WriteResponse,
};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use crate::batch::Queue;
use crate::connection::Connection;
use crate::driver::{Description, Driver, DriverHealth, ListQuery};
use crate::fanout::Fanout;
use crate::gate::Gate;
use crate::log_follower::LogFollower;
use crate::metrics::Metrics;
use crate::reader::{self, Messages};
use crate::refuse::{closing, invalid, status};
use crate::streams::Streams;
use crate::watch::{self as watching, Source, Watch};
use crate::{export, health, import, key, list, range};

/// Messages buffered per reader of a list.
const AHEAD: usize = 1;

/// Writes that take longer are logged.
const SLOW_WRITE: Duration = Duration::from_secs(1);

/// Oldest supported minor version of the protocol.
const PROTOCOL_MINOR_MIN: u32 = 1;

/// Implementation of the gRPC service.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) driver: Arc<dyn Driver>,
    pub(crate) description: Description,
    pub(crate) queue: Queue,
    pub(crate) fanout: Arc<Fanout>,
    pub(crate) gate: Gate,
    pub(crate) log_follower: LogFollower,
    pub(crate) health: watch::Receiver<DriverHealth>,
    pub(crate) metrics: Metrics,
    pub(crate) streams: Streams,
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
    pub(crate) failed_writes: LogRateLimit,
    pub(crate) last_client: LastClient,
}

/// The client that was logged last. One that waits for the store asks again and again, and its lines
/// would hide why the store is not ready.
#[derive(Clone, Default)]
pub(crate) struct LastClient(Arc<Mutex<Option<(String, u32)>>>);

impl LastClient {
    fn replace(&self, client: &str, minor: u32) -> bool {
        let mut last = self.0.lock();
        let is_new = last
            .as_ref()
            .is_none_or(|last| (last.0.as_str(), last.1) != (client, minor));
        if is_new {
            *last = Some((client.to_owned(), minor));
        }
        is_new
    }
}

/// Rate limit of one log line per [`SLOW_WRITE`]: on a full disk every call fails.
#[derive(Clone, Default)]
pub(crate) struct LogRateLimit(Arc<Mutex<Option<Instant>>>);

impl LogRateLimit {
    fn may_log(&self) -> bool {
        let (mut last, now) = (self.0.lock(), Instant::now());
        let expected = last.is_none_or(|last| now.duration_since(last) >= SLOW_WRITE);
        if expected {
            *last = Some(now);
        }
        expected
    }
}

type Answer<T> = Result<Response<T>, Status>;

impl Service {
    fn source(&self) -> Source {
        Source {
            driver: self.driver.clone(),
            fanout: self.fanout.clone(),
            health: self.health.clone(),
            metrics: self.metrics.clone(),
            stop: self.stop.clone(),
        }
    }
}

/// Returns the audit ids of the API requests behind a write, for the log.
fn audit_ids(metadata: &MetadataMap) -> String {
    let ids = metadata.get_all(AUDIT_ID_METADATA).into_iter();
    let ids: Vec<&str> = ids.filter_map(|id| id.to_str().ok()).collect();
    ids.join(" ")
}

fn or_status<T>(result: Result<T, BackendError>) -> Result<T, Status> {
    result.map_err(|error| status(&error))
}

#[tonic::async_trait]
impl Backend for Service {
    type ListStream = Messages<ListResponse>;
    type WatchStream = Messages<WatchResponse>;
    type ExportStream = Messages<ExportResponse>;

    async fn describe(&self, request: Request<DescribeRequest>) -> Answer<DescribeResponse> {
        let request = request.into_inner();
        let (client, minor) = (&request.client, request.protocol_minor);
        if self.last_client.replace(client, minor) {
            tracing::info!(client, minor, "client");
        }
        let mut capabilities = vec![
            Capability::TimeTravel.into(),
            Capability::Export.into(),
            Capability::Compact.into(),
        ];
        if self.description.multi_writer {
            capabilities.push(Capability::MultiWriter.into());
        }
        if self.description.moves {
            capabilities.push(Capability::Move.into());
        }
        // The order matters. The import state is read first, so that "no import" comes with a
        // header from after the import. The driver may also update its description while reading
        // the header.
        let import = or_status(self.driver.import_progress().await)?;
        let header = or_status(self.driver.header().await)?;
        let fenced = or_status(self.driver.fenced().await)?;
        Ok(Response::new(DescribeResponse {
            header: Some(header),
            driver: self.description.name.clone(),
            driver_version: self.description.version.clone(),
            protocol_minor_min: PROTOCOL_MINOR_MIN,
            protocol_minor_max: PROTOCOL_MINOR,
            capabilities,
            limits: Some(self.description.limits),
            import_progress: import.map(|import| ImportProgress {
                source: Some(import.source),
                last: import.last,
                revision: import.revision,
                records: import.records,
            }),
            fenced: fenced.unwrap_or_default(),
        }))
    }

    async fn write(&self, request: Request<WriteRequest>) -> Answer<WriteResponse> {
        or_status(self.gate.check())?;
        let (metadata, _, WriteRequest { ops }) = request.into_parts();
        let (count, began) = (ops.len(), Instant::now());
        let written = self.queue.write(ops).await;
        let milliseconds = began.elapsed().as_millis();
        match &written {
            Err(error) if self.failed_writes.may_log() => {
                let (error, audit_ids) = (&*error.message, audit_ids(&metadata));
                tracing::warn!(
                    audit_ids,
                    writes = count,
                    milliseconds,
                    error,
                    "write failed"
                );
            }
            Ok(_) if began.elapsed() > SLOW_WRITE => {
                let audit_ids = audit_ids(&metadata);
                tracing::warn!(audit_ids, writes = count, milliseconds, "slow write");
            }
            Ok(_) | Err(_) => {}
        }
        or_status(written).map(Response::new)
    }

    async fn get(&self, request: Request<GetRequest>) -> Answer<GetResponse> {
        or_status(self.gate.check())?;
        let request = request.into_inner();
        let key = or_status(request.key.ok_or_else(|| invalid("no key")))?;
        or_status(key::check(&key))?;
        self.metrics.get();
        let found = self.driver.get(&key, request.revision).await;
        let (header, record) = or_status(found)?;
        Ok(Response::new(GetResponse {
            header: Some(header),
            record,
        }))
    }

    async fn list(&self, request: Request<ListRequest>) -> Answer<Self::ListStream> {
        or_status(self.gate.check())?;
        let connection = Connection::of(&request);
        let request = request.into_inner();
        let requested = request.range.ok_or_else(|| invalid("no range"));
        let requested =
            requested.and_then(|requested| range::check(&requested).map(|()| requested));
        if let Some(after) = &request.after {
            or_status(key::check(after))?;
        }
        let limit = u64::try_from(request.limit).map_err(|_| invalid("a negative limit"));
        let query = ListQuery {
            range: or_status(requested)?,
            after: request.after,
            limit: or_status(limit)?,
            revision: request.revision,
        };
        self.metrics.list();
        let (driver, stop) = (self.driver.clone(), self.stop.clone());
        let (sink, messages) = or_status(reader::channel(&self.streams, connection, AHEAD))?;
        self.tasks.spawn(async move {
            let wrap = |part| Some(ListResponse { part: Some(part) });
            if let Err(error) = list::pump(driver.as_ref(), query, &sink, wrap, &stop).await {
                sink.end(&error, &stop).await;
            }
        });
        Ok(Response::new(messages))
    }

    async fn watch(&self, request: Request<WatchRequest>) -> Answer<Self::WatchStream> {
        or_status(self.gate.check())?;
        let connection = Connection::of(&request);
        let ahead = watching::AHEAD;
        let (sink, messages) = or_status(reader::channel(&self.streams, connection, ahead))?;
        let watch = or_status(Watch::start(self.source(), request.into_inner()).await)?;
        self.tasks.spawn(watch.run(sink));
        Ok(Response::new(messages))
    }

    async fn current_revision(
        &self,
        _request: Request<CurrentRevisionRequest>,
    ) -> Answer<CurrentRevisionResponse> {
        let header = or_status(self.driver.header().await)?;
        self.log_follower.wake(&header);
        Ok(Response::new(CurrentRevisionResponse {
            header: Some(header),
        }))
    }

    async fn compact(&self, request: Request<CompactRequest>) -> Answer<CompactResponse> {
        or_status(self.gate.check())?;
        let revision = request.into_inner().revision;
        let header = or_status(self.driver.compact(revision).await)?;
        self.fanout.adopt(&header);
        Ok(Response::new(CompactResponse {
            header: Some(header),
        }))
    }

    async fn export(&self, request: Request<ExportRequest>) -> Answer<Self::ExportStream> {
        or_status(self.gate.check())?;
        let connection = Connection::of(&request);
        let request = request.into_inner();
        or_status(export::check(&request))?;
        let (sink, messages) = or_status(reader::channel(&self.streams, connection, AHEAD))?;
        self.tasks.spawn(export::run(self.source(), request, sink));
        Ok(Response::new(messages))
    }

    async fn import(&self, request: Request<Streaming<ImportRequest>>) -> Answer<ImportResponse> {
        let (driver, stream) = (self.driver.clone(), request.into_inner());
        let (fanout, gate) = (self.fanout.clone(), self.gate.clone());
        // Run in a task: a client that disconnects cancels this call, but the import's result must
        // still be published.
        let imported = self.tasks.spawn(async move {
            let imported = import::run(driver.clone(), stream).await;
            if let Ok(Some(header)) = imported.as_ref().map(|response| response.header.as_ref()) {
                fanout.adopt(header);
            }
            // Refresh whatever the result was: earlier calls may have left an unfinished import.
            // The response is that of the import in any case.
            if let Err(error) = gate.refresh(driver.as_ref()).await {
                tracing::warn!(
                    error = error.message,
                    "cannot read the import state, retrying"
                );
            }
            imported
        });
        let response = imported.await.map_err(|_| status(&closing()))??;
        Ok(Response::new(response))
    }

    async fn fence(&self, request: Request<FenceRequest>) -> Answer<FenceResponse> {
        or_status(self.gate.check())?;
        let FenceRequest { fenced, reason } = request.into_inner();
        if fenced && reason.is_empty() {
            return Err(status(&invalid("a fence needs a reason")));
        }
        let reason = fenced.then_some(reason);
        tracing::info!(fenced, reason, "fence");
        let header = or_status(self.driver.fence(reason).await)?;
        Ok(Response::new(FenceResponse {
            header: Some(header),
        }))
    }

    async fn health(&self, _request: Request<HealthRequest>) -> Answer<HealthResponse> {
        let now = self.health.borrow().clone();
        let response = health::response(&now, &self.gate, self.fanout.header());
        Ok(Response::new(response))
    }
}

#[cfg(test)]
mod tests {
    use super::LastClient;

    #[test]
    fn repeated_client_is_logged_once() {
        let last = LastClient::default();
        assert!(last.replace("gateway", 3));
        assert!(!last.replace("gateway", 3));
        assert!(last.replace("arkctl", 3));
        assert!(last.replace("gateway", 4));
    }
}
