//! Faults of streams.

use std::sync::atomic::Ordering;

use backend_proto::v1::export_response::Part as Exported;
use backend_proto::v1::list_response::Part as Listed;
use backend_proto::v1::watch_response::{Body, Events, Progress};
use backend_proto::v1::{Event, ExportResponse, GetRequest, Key, ListResponse, WatchResponse};
use tonic::Status;

use super::{Fault, FaultyProxy};

impl FaultyProxy {
    pub(super) fn lie_in_watch(
        &self,
        mut message: WatchResponse,
        asked: i64,
    ) -> Vec<WatchResponse> {
        match (&mut message.body, self.fault) {
            (
                Some(Body::Created(created)),
                Fault::CompactedStartsLater | Fault::FutureStartsNow,
            ) if asked != 0 => {
                created.start_revision = asked;
                message.through_revision = asked;
            }
            (Some(Body::Progress(_)), Fault::ProgressGoesBack) => message.through_revision -= 1,
            (Some(Body::Progress(_)), Fault::NoProgress) => return Vec::new(),
            (Some(Body::Events(batch)), Fault::ProgressTooEarly) => {
                let early = WatchResponse {
                    body: Some(Body::Progress(Progress {})),
                    through_revision: batch.events.last().map_or(0, |event| event.revision),
                    header: message.header.clone(),
                };
                return vec![early, message];
            }
            (Some(Body::Events(batch)), _) => {
                self.fault_in_events(&mut batch.events);
                if batch.events.is_empty() {
                    message.body = Some(Body::Progress(Progress {}));
                }
            }
            _ => {}
        }
        vec![message]
    }

    fn fault_in_events(&self, events: &mut Vec<Event>) {
        match self.fault {
            // Cases without a long history have fewer events.
            Fault::DropsAtOverflow => events.retain(|_| {
                let number = self.count.fetch_add(1, Ordering::Relaxed);
                number < 1000
            }),
            Fault::DropsAnEvent => events.retain(|_| !self.every(5)),
            Fault::SwapsTwoEvents if events.len() > 1 => events.swap(0, 1),
            Fault::RepeatsAnEvent => {
                let repeated = events.iter().flat_map(|event| {
                    let times = if self.every(5) { 2 } else { 1 };
                    std::iter::repeat_n(event.clone(), times)
                });
                *events = repeated.collect();
            }
            Fault::CutsTooLate => {
                let origins = events.iter_mut().filter_map(|event| event.origin.as_mut());
                for origin in origins.filter(|origin| origin.manager.len() == 127) {
                    origin.manager.push('é');
                }
            }
            Fault::WrongPrevious => {
                for event in events
                    .iter_mut()
                    .filter(|event| event.previous_revision > 0)
                {
                    event.previous_revision -= 1;
                }
            }
            _ => {}
        }
    }

    /// Whether a page after a key starts at the beginning.
    pub(super) async fn starts_over_at(&self, after: &Key) -> Result<bool, Status> {
        if self.fault != Fault::StartsOverAtMissingKeys {
            return Ok(false);
        }
        let request = GetRequest {
            key: Some(after.clone()),
            ..GetRequest::default()
        };
        let found = self.model.clone().get(request).await?.into_inner();
        Ok(found.record.is_none())
    }

    pub(super) fn lie_in_list(&self, mut message: ListResponse, asked: i64) -> Vec<ListResponse> {
        match (&mut message.part, self.fault) {
            (Some(Listed::Header(header)), Fault::ListsThePresent) if asked != 0 => {
                header.revision = asked;
            }
            (Some(Listed::Chunk(chunk)), Fault::ShortList) if chunk.records.len() > 1 => {
                chunk.records.pop();
            }
            (Some(Listed::Trailer(trailer)), Fault::ShortList) if trailer.count > 1 => {
                // The count matches the sent records, so that only the stored content shows the
                // fault.
                trailer.count -= 1;
            }
            (Some(Listed::Trailer(trailer)), Fault::NeverMore) => trailer.more = false,
            (Some(Listed::Trailer(_)), Fault::ListWithoutTrailer) => return Vec::new(),
            _ => {}
        }
        vec![message]
    }

    pub(super) fn lie_in_export(&self, mut message: ExportResponse) -> Vec<ExportResponse> {
        match (&mut message.part, self.fault) {
            (Some(Exported::Chunk(chunk)), Fault::ShortExport) => {
                chunk.records.pop();
            }
            (Some(Exported::Trailer(trailer)), Fault::ShortExport) if trailer.count > 0 => {
                trailer.count -= 1;
            }
            (Some(Exported::Events(Events { events })), _) => self.fault_in_events(events),
            (Some(Exported::Header(header)), Fault::ExportsFromNow) => header.revision += 1,
            (Some(Exported::Progress(_)), Fault::HidesExportProgress) => return Vec::new(),
            _ => {}
        }
        vec![message]
    }
}
