//! Faults of what a restart keeps, and of the probes.

use std::sync::atomic::Ordering;

use backend_proto::v1::import_request::{Done, Options, Part};
use backend_proto::v1::{DescribeRequest, FenceRequest, Header, ImportProgress, ImportRequest};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::{Answer, Fault, FaultyProxy};

impl FaultyProxy {
    /// Loses at a restart what the fault does not keep.
    pub(super) async fn restart(&self) -> Result<(), Status> {
        self.restarted.store(true, Ordering::Release);
        let mut model = self.model.clone();
        let described = model.describe(DescribeRequest::default()).await?;
        let described = described.into_inner();
        match (self.fault, described.import_progress) {
            (Fault::LiftsAFence, _) => self.fence(false).await,
            (Fault::KeepsALiftedFence, _) if described.fenced.is_empty() => self.fence(true).await,
            (Fault::FinishesImports, Some(import)) => self.finish(import, false).await,
            (Fault::DropsImports, Some(import)) => self.finish(import, true).await,
            _ => Ok(()),
        }
    }

    async fn fence(&self, fenced: bool) -> Result<(), Status> {
        let request = FenceRequest {
            fenced,
            reason: "an old reason".to_owned(),
        };
        self.model.clone().fence(request).await.map(drop)
    }

    /// Ends an unfinished import, with its content or without.
    async fn finish(&self, import: ImportProgress, discard: bool) -> Result<(), Status> {
        let options = Options {
            source: import.source,
            keep_epoch: true,
            more: false,
            discard,
        };
        let parts = [Part::Options(options), Part::Done(Done::default())];
        let requests = parts.map(|part| ImportRequest { part: Some(part) });
        let imported = self
            .model
            .clone()
            .import(tokio_stream::iter(requests))
            .await;
        imported.map(drop)
    }

    pub(super) fn has_restarted(&self) -> bool {
        self.restarted.load(Ordering::Acquire)
    }

    /// Changes a header as a driver that lost something at a restart would.
    pub(super) fn fault_in_header(&self, header: &mut Option<Header>) {
        let Some(header) = header.as_mut().filter(|_| self.has_restarted()) else {
            return;
        };
        match self.fault {
            Fault::CounterFromLog => header.revision -= 1,
            Fault::ForgetsCompaction => header.compact_revision = header.epoch,
            Fault::NewIdentity => header.store_id.push_str("-restarted"),
            Fault::NewEpoch => header.epoch += 1,
            _ => {}
        }
    }
}

#[tonic::async_trait]
impl Health for FaultyProxy {
    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn check(&self, request: Request<HealthCheckRequest>) -> Answer<HealthCheckResponse> {
        let mut response = self.probes.clone().check(request.into_inner()).await?;
        if self.fault == Fault::ProbesAreConstant {
            response.get_mut().set_status(ServingStatus::Serving);
        }
        Ok(Response::new(response.into_inner()))
    }

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Answer<Self::WatchStream> {
        let watched = self.probes.clone().watch(request.into_inner()).await?;
        Ok(Response::new(watched.into_inner().boxed()))
    }
}
