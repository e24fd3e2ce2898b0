//! The calls of the fake.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use backend_proto::error::to_status;
use backend_proto::v1;
use backend_proto::v1::backend_server::Backend;
use futures_util::{Stream, StreamExt as _, stream};
use parking_lot::Mutex;
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use super::faults::Short;
use super::{Disk, Faults};

#[derive(Clone)]
pub(super) struct Service {
    pub(super) disk: Arc<Mutex<Disk>>,
    pub(super) moved: watch::Sender<()>,
}

type Responses<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// An open call.
struct Open(Arc<Mutex<Disk>>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.lock().open -= 1;
    }
}

impl Service {
    fn enter(&self) -> Open {
        self.disk.lock().open += 1;
        Open(Arc::clone(&self.disk))
    }

    /// Waits while the fake is silent, and fails if a call error is injected.
    async fn wait_while_silent(&self, silent: impl Fn(&Faults) -> bool) -> Result<(), Status> {
        let mut moved = self.moved.subscribe();
        loop {
            moved.borrow_and_update();
            {
                let disk = self.disk.lock();
                if !silent(&disk.faults) {
                    return match &disk.faults.calls {
                        Some(error) => Err(to_status(error)),
                        None => Ok(()),
                    };
                }
            }
            if moved.changed().await.is_err() {
                return Err(Status::unavailable("the fake has stopped"));
            }
        }
    }

    /// The next message of a watch.
    async fn next(&self, last: i64, pause: Duration) -> Result<v1::WatchResponse, Status> {
        let mut moved = self.moved.subscribe();
        for may_wait in [true, false] {
            let (header, through, events) = {
                let disk = self.disk.lock();
                disk.within(last)?;
                let newest = disk.faults.max_delivered.unwrap_or(disk.revision).max(last);
                let after = disk
                    .log
                    .iter()
                    .filter(|event| event.revision > last && event.revision <= newest);
                // Small messages, so that a reader receives several.
                let events: Vec<_> = after.take(100).cloned().collect();
                let through = match events.len() {
                    100 => events[99].revision,
                    _ => newest,
                };
                (disk.header(), through, events)
            };
            if may_wait && events.is_empty() && through == last {
                let _ = tokio::time::timeout(pause, moved.changed()).await;
                continue;
            }
            let body = if events.is_empty() {
                v1::watch_response::Body::Progress(v1::watch_response::Progress {})
            } else {
                v1::watch_response::Body::Events(v1::watch_response::Events { events })
            };
            return Ok(v1::WatchResponse {
                header,
                through_revision: through,
                body: Some(body),
            });
        }
        unreachable!("the second round always responds")
    }
}

#[tonic::async_trait]
impl Backend for Service {
    type ListStream = Responses<v1::ListResponse>;
    type WatchStream = Responses<v1::WatchResponse>;
    type ExportStream = Responses<v1::ExportResponse>;

    async fn describe(
        &self,
        _request: Request<v1::DescribeRequest>,
    ) -> Result<Response<v1::DescribeResponse>, Status> {
        let mut moved = self.moved.subscribe();
        while self.disk.lock().faults.undescribed {
            let _ = moved.changed().await;
        }
        let disk = self.disk.lock();
        let minor = disk.faults.minor.unwrap_or(1);
        let (mut header, importing) = (disk.header(), disk.faults.importing);
        if let (Some(header), Some(epoch)) = (&mut header, importing) {
            header.epoch = epoch;
            header.revision = epoch << 40;
        }
        Ok(Response::new(v1::DescribeResponse {
            header,
            import_progress: importing.map(|_| v1::ImportProgress::default()),
            driver: "fake".to_owned(),
            fenced: disk.faults.fenced.clone(),
            protocol_minor_min: minor,
            protocol_minor_max: minor,
            capabilities: vec![v1::describe_response::Capability::TimeTravel.into()],
            ..v1::DescribeResponse::default()
        }))
    }

    async fn write(
        &self,
        request: Request<v1::WriteRequest>,
    ) -> Result<Response<v1::WriteResponse>, Status> {
        let _open = self.enter();
        let ops = request.into_inner().ops;
        {
            let mut disk = self.disk.lock();
            disk.ops += ops.len();
            disk.most_ops = disk.most_ops.max(ops.len());
        }
        self.wait_while_silent(|faults| faults.silent).await?;
        let (results, header, lost) = {
            let mut disk = self.disk.lock();
            let results = ops.into_iter().map(|op| disk.apply(op)).collect();
            let lost = disk.lost_responses > 0;
            disk.lost_responses = disk.lost_responses.saturating_sub(1);
            (results, disk.header(), lost)
        };
        self.moved.send_replace(());
        self.wait_while_silent(|faults| faults.silent_once_stored)
            .await?;
        if lost {
            return Err(Status::unknown("the response is lost"));
        }
        let mut response = v1::WriteResponse { header, results };
        if let Some(fault_fn) = self.disk.lock().faults.written.take() {
            fault_fn(&mut response);
        }
        Ok(Response::new(response))
    }

    async fn list(
        &self,
        request: Request<v1::ListRequest>,
    ) -> Result<Response<Self::ListStream>, Status> {
        let request = request.into_inner();
        let range = request.range.unwrap_or_default();
        let mut disk = self.disk.lock();
        let short = match range.resource.as_str() {
            "things" => disk.faults.short_lists.pop(),
            _ => None,
        };
        let revision = if request.revision == 0 {
            disk.revision
        } else {
            request.revision
        };
        disk.within(revision)?;
        let state = disk.state(revision).into_iter();
        let of_range = state.filter(|(key, _)| key.0 == range.group && key.1 == range.resource);
        let records: Vec<_> = of_range.map(|(_, record)| record).collect();
        let header = v1::Header {
            revision,
            ..disk.header().unwrap_or_default()
        };
        let trailer = v1::list_response::Trailer {
            count: records.len() as i64,
            more: false,
        };
        let mut parts = vec![v1::list_response::Part::Header(header)];
        parts.extend(records.chunks(200).map(|records| {
            v1::list_response::Part::Chunk(v1::list_response::Chunk {
                records: records.to_vec(),
            })
        }));
        parts.push(v1::list_response::Part::Trailer(trailer));
        let mut responses: Vec<Result<_, Status>> = parts
            .into_iter()
            .map(|part| Ok(v1::ListResponse { part: Some(part) }))
            .collect();
        let fault_fn = disk.faults.list.filter(|_| range.resource == "things");
        if let Some(fault_fn) = fault_fn {
            let parts = responses.into_iter().filter_map(Result::ok).collect();
            return Ok(Response::new(Box::pin(stream::iter(
                fault_fn(parts).map(Ok),
            ))));
        }
        match short {
            Some(Short::Ends) => drop(responses.pop()),
            Some(Short::Lacks) => drop(responses.remove(1)),
            Some(Short::Breaks) => {
                responses.pop();
                responses.push(Err(Status::unavailable("the connection broke")));
            }
            None => {}
        }
        Ok(Response::new(Box::pin(stream::iter(responses))))
    }

    async fn watch(
        &self,
        request: Request<v1::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let request = request.into_inner();
        let start = request.start_revision;
        let pause = Duration::from_millis(request.progress_interval_ms.unsigned_abs());
        let header = {
            let mut disk = self.disk.lock();
            disk.within(start)?;
            disk.streams += 1;
            disk.header()
        };
        let created = v1::watch_response::Created {
            start_revision: start,
        };
        let created = v1::WatchResponse {
            header,
            through_revision: start,
            body: Some(v1::watch_response::Body::Created(created)),
        };
        let rest = stream::unfold((self.clone(), start), move |(service, last)| async move {
            let mut message = service.next(last, pause).await;
            if let Ok(response) = &mut message
                && matches!(response.body, Some(v1::watch_response::Body::Events(_)))
                && let Some(fault_fn) = service.disk.lock().faults.events.take()
            {
                fault_fn(response);
            }
            let last = message
                .as_ref()
                .map_or(last, |message| message.through_revision);
            Some((message, (service, last)))
        });
        Ok(Response::new(Box::pin(
            stream::once(async { Ok(created) }).chain(rest),
        )))
    }

    async fn current_revision(
        &self,
        _request: Request<v1::CurrentRevisionRequest>,
    ) -> Result<Response<v1::CurrentRevisionResponse>, Status> {
        let _open = self.enter();
        self.disk.lock().revision_reads += 1;
        self.wait_while_silent(|faults| faults.silent).await?;
        let mut disk = self.disk.lock();
        let mut header = disk.header();
        if let (Some(header), Some(revision)) = (&mut header, disk.faults.revisions.pop()) {
            header.revision = revision;
        }
        Ok(Response::new(v1::CurrentRevisionResponse { header }))
    }

    async fn get(
        &self,
        _request: Request<v1::GetRequest>,
    ) -> Result<Response<v1::GetResponse>, Status> {
        Err(Status::unimplemented("get"))
    }

    async fn compact(
        &self,
        _request: Request<v1::CompactRequest>,
    ) -> Result<Response<v1::CompactResponse>, Status> {
        Err(Status::unimplemented("compact"))
    }

    async fn export(
        &self,
        _request: Request<v1::ExportRequest>,
    ) -> Result<Response<Self::ExportStream>, Status> {
        Err(Status::unimplemented("export"))
    }

    async fn import(
        &self,
        _request: Request<tonic::Streaming<v1::ImportRequest>>,
    ) -> Result<Response<v1::ImportResponse>, Status> {
        Err(Status::unimplemented("import"))
    }

    async fn fence(
        &self,
        _request: Request<v1::FenceRequest>,
    ) -> Result<Response<v1::FenceResponse>, Status> {
        Err(Status::unimplemented("fence"))
    }

    async fn health(
        &self,
        _request: Request<v1::HealthRequest>,
    ) -> Result<Response<v1::HealthResponse>, Status> {
        Err(Status::unimplemented("health"))
    }
}
