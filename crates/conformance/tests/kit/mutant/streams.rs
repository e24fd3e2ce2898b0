//! Faults of streams.

use backend_proto::v1::export_response::Part as Exported;
use backend_proto::v1::list_response::Part as Listed;
use backend_proto::v1::watch_response::{Body, Events, Progress};
use backend_proto::v1::{Event, ExportResponse, ListResponse, WatchResponse};

use super::{Liar, Lie};

impl Liar {
    pub(super) fn lie_in_watch(
        &self,
        mut message: WatchResponse,
        asked: i64,
    ) -> Vec<WatchResponse> {
        match (&mut message.body, self.lie) {
            (Some(Body::Created(created)), Lie::CompactedStartsLater | Lie::FutureStartsNow)
                if asked != 0 =>
            {
                created.start_revision = asked;
                message.through_revision = asked;
            }
            (Some(Body::Progress(_)), Lie::ProgressGoesBack) => message.through_revision -= 1,
            (Some(Body::Progress(_)), Lie::NoProgress) => return Vec::new(),
            (Some(Body::Events(batch)), Lie::ProgressTooEarly) => {
                let early = WatchResponse {
                    body: Some(Body::Progress(Progress {})),
                    through_revision: batch.events.last().map_or(0, |event| event.revision),
                    header: message.header.clone(),
                };
                return vec![early, message];
            }
            (Some(Body::Events(batch)), _) => {
                self.lie_in_events(&mut batch.events);
                if batch.events.is_empty() {
                    message.body = Some(Body::Progress(Progress {}));
                }
            }
            _ => {}
        }
        vec![message]
    }

    fn lie_in_events(&self, events: &mut Vec<Event>) {
        match self.lie {
            Lie::DropsAnEvent => events.retain(|_| !self.every(5)),
            Lie::SwapsTwoEvents if events.len() > 1 => events.swap(0, 1),
            Lie::RepeatsAnEvent => {
                let repeated = events.iter().flat_map(|event| {
                    let times = if self.every(5) { 2 } else { 1 };
                    std::iter::repeat_n(event.clone(), times)
                });
                *events = repeated.collect();
            }
            Lie::CutsTooLate => {
                let origins = events.iter_mut().filter_map(|event| event.origin.as_mut());
                for origin in origins.filter(|origin| origin.manager.len() == 127) {
                    origin.manager.push('é');
                }
            }
            Lie::WrongPrevious => {
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

    pub(super) fn lie_in_list(&self, mut message: ListResponse, asked: i64) -> Vec<ListResponse> {
        match (&mut message.part, self.lie) {
            (Some(Listed::Header(header)), Lie::ListsThePresent) if asked != 0 => {
                header.revision = asked;
            }
            (Some(Listed::Chunk(chunk)), Lie::ShortList) if chunk.records.len() > 1 => {
                chunk.records.pop();
            }
            (Some(Listed::Trailer(trailer)), Lie::ShortList) if trailer.count > 1 => {
                // The count matches the sent records, so that only the stored content shows the
                // fault.
                trailer.count -= 1;
            }
            (Some(Listed::Trailer(trailer)), Lie::NeverMore) => trailer.more = false,
            (Some(Listed::Trailer(_)), Lie::ListWithoutTrailer) => return Vec::new(),
            _ => {}
        }
        vec![message]
    }

    pub(super) fn lie_in_export(&self, mut message: ExportResponse) -> Vec<ExportResponse> {
        match (&mut message.part, self.lie) {
            (Some(Exported::Chunk(chunk)), Lie::ShortExport) => {
                chunk.records.pop();
            }
            (Some(Exported::Trailer(trailer)), Lie::ShortExport) if trailer.count > 0 => {
                trailer.count -= 1;
            }
            (Some(Exported::Events(Events { events })), _) => self.lie_in_events(events),
            _ => {}
        }
        vec![message]
    }
}
