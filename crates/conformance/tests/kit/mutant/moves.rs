//! Faults of fences and moves.

use backend_proto::error::to_status;
use backend_proto::limits::MAX_REVISION;
use backend_proto::v1::backend_error::{Outcome, Reason};
use backend_proto::v1::import_request::{Done, Part};
use backend_proto::v1::{
    BackendError, DescribeRequest, DescribeResponse, FenceRequest, FenceResponse, Header,
    ImportRequest, ImportResponse,
};
use tonic::{Response, Status, Streaming};

use super::{Answer, Fault, FaultyProxy};

impl FaultyProxy {
    pub(super) async fn lie_in_fence(&self, mut request: FenceRequest) -> Answer<FenceResponse> {
        match self.fault {
            Fault::IgnoresAFence => request.fenced = false,
            Fault::ForgetsTheReason if request.fenced => request.reason = "because".to_owned(),
            Fault::NeverLifts if !request.fenced => {
                request.fenced = true;
                request.reason = "for ever".to_owned();
            }
            _ => {}
        }
        let mut reply = self.model.clone().fence(request).await?;
        if self.fault == Fault::FencesTooEarly
            && let Some(header) = &mut reply.get_mut().header
        {
            header.revision -= 1;
        }
        Ok(reply)
    }

    /// Rejects a read of a fenced store, if that is the fault.
    pub(super) async fn fault_in_fenced_read(&self) -> Result<(), Status> {
        if self.fault != Fault::FencesReads {
            return Ok(());
        }
        let reason = self.described().await?.fenced;
        if reason.is_empty() {
            return Ok(());
        }
        Err(to_status(&BackendError {
            reason: Reason::NotReady.into(),
            outcome: Outcome::NotApplied.into(),
            message: reason,
            ..BackendError::default()
        }))
    }

    pub(super) fn lie_in_describe(&self, response: &mut DescribeResponse) {
        match (self.fault, &mut response.import_progress) {
            (Fault::HidesAFence, _) => response.fenced.clear(),
            (Fault::KnowsNoOrigins, _) => response.protocol_minor_max = 2,
            (Fault::NoRequestLimits, _) => {
                let limits = response.limits.as_mut().expect("limits");
                limits.write_bytes = 2 * limits.value_bytes;
            }
            (Fault::SmallLimits, _) => {
                let limits = response.limits.as_mut().expect("limits");
                limits.write_ops = 64;
            }
            (Fault::ForgetsProgress, Some(import)) => import.last = None,
            _ => {}
        }
    }

    pub(super) async fn lie_in_import(
        &self,
        mut stream: Streaming<ImportRequest>,
    ) -> Answer<ImportResponse> {
        let mut parts = Vec::new();
        let broken = loop {
            match stream.message().await {
                Ok(Some(message)) => parts.extend(message.part),
                Ok(None) => break None,
                Err(status) => break Some(status),
            }
        };
        let whole = matches!(parts.last(), Some(Part::Done(_)));
        if let Some(status) = broken.filter(|_| self.fault != Fault::KeepsBrokenCalls) {
            return Err(status);
        }
        for part in &mut parts {
            self.fault_in_part(part).await?;
        }
        if !whole && self.fault == Fault::KeepsBrokenCalls {
            parts.push(count(&parts));
        }
        if whole && self.fault == Fault::LosesImportedEvents {
            parts.retain(|part| !matches!(part, Part::Events(_)));
            parts.pop();
            parts.push(count(&parts));
        }
        let requests = parts
            .into_iter()
            .map(|part| ImportRequest { part: Some(part) });
        let requests: Vec<_> = requests.collect();
        let mut model = self.model.clone();
        let imported = model.import(tokio_stream::iter(requests)).await?;
        Ok(Response::new(imported.into_inner()))
    }

    async fn described(&self) -> Result<DescribeResponse, Status> {
        let mut model = self.model.clone();
        let described = model.describe(DescribeRequest::default()).await?;
        Ok(described.into_inner())
    }

    async fn fault_in_part(&self, part: &mut Part) -> Result<(), Status> {
        if let (Part::Chunk(chunk), Fault::TakesUnreadable) = (&mut *part, self.fault) {
            for record in &mut chunk.records {
                record.unreadable.clear();
            }
        }
        if let (Part::Events(batch), Fault::LosesImportedOrigins) = (&mut *part, self.fault) {
            for event in &mut batch.events {
                event.origin = None;
            }
        }
        let Part::Options(options) = part else {
            return Ok(());
        };
        match self.fault {
            Fault::ShowsHalfAStore => options.more = false,
            Fault::DiscardsNothing => options.discard = false,
            Fault::KeepsTheEpoch => options.keep_epoch = true,
            Fault::TakesLargeRevisions => {
                let large = |source: &Header| source.revision > MAX_REVISION;
                if let Some(source) = options.source.as_mut().filter(|it| large(it)) {
                    source.revision = MAX_REVISION >> 1;
                    source.compact_revision = source.compact_revision.min(source.revision);
                }
            }
            Fault::TakesAnySource => {
                if let Some(import) = self.described().await?.import_progress {
                    options.source = import.source;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Returns a closing message whose counts match the sent parts.
fn count(parts: &[Part]) -> Part {
    let (mut records, mut events) = (0, 0);
    for part in parts {
        match part {
            Part::Chunk(chunk) => records += chunk.records.len() as i64,
            Part::Events(batch) => events += batch.events.len() as i64,
            Part::Options(_) | Part::Done(_) => {}
        }
    }
    Part::Done(Done { records, events })
}
