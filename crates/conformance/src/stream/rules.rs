//! Rules that hold within one stream in any case.

use backend_proto::v1::event::Type;
use backend_proto::v1::watch_response::Body;
use backend_proto::v1::{Event, Range, WatchRequest, WatchResponse};

use crate::check::{Check, ensure, same, some};

/// State of a stream so far.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    ranges: Vec<Range>,
    up_to_revision: i64,
    store_id: String,
    epoch: i64,
}

// === impl Rules ===

impl Rules {
    /// Checks the first message against the request.
    pub(crate) fn begin(request: WatchRequest, first: &WatchResponse) -> Check<Self> {
        let header = some(first.header.clone(), "header of a watch message")?;
        let Some(Body::Created(created)) = &first.body else {
            return Err(crate::check::Stop::Failed(
                "a watch did not begin with Created".to_owned(),
            ));
        };
        let start = created.start_revision;
        if request.start_revision != 0 {
            same!(start, request.start_revision, "V5: start of a watch");
        }
        ensure!(
            start <= header.revision,
            "V11: a watch starts at {start}, above its header's revision {}",
            header.revision
        );
        same!(first.through_revision, start, "V6: progress at the start");
        Ok(Self {
            ranges: request.ranges,
            up_to_revision: start,
            store_id: header.store_id,
            epoch: header.epoch,
        })
    }

    pub(crate) fn up_to_revision(&self) -> i64 {
        self.up_to_revision
    }

    /// Checks a later message against the previous ones.
    pub(crate) fn check(&mut self, message: &WatchResponse) -> Check {
        let header = some(message.header.as_ref(), "header of a watch message")?;
        same!(
            header.store_id,
            self.store_id,
            "R3: store_id within a watch"
        );
        same!(header.epoch, self.epoch, "R3: epoch within a watch");
        let up_to_revision = message.through_revision;
        ensure!(
            up_to_revision >= self.up_to_revision,
            "V6: progress decreased from {} to {up_to_revision}",
            self.up_to_revision
        );
        ensure!(
            up_to_revision <= header.revision,
            "V6: progress {up_to_revision} is above the store's revision {}",
            header.revision
        );
        match some(message.body.as_ref(), "body of a watch message")? {
            Body::Created(_) => ensure!(false, "a watch sent Created twice"),
            Body::Progress(_) => {}
            Body::Events(batch) => {
                ensure!(!batch.events.is_empty(), "a message with no events");
                let mut last = self.up_to_revision;
                for event in &batch.events {
                    self.check_event(event, last)?;
                    last = event.revision;
                }
                ensure!(
                    up_to_revision >= last,
                    "V6: progress {up_to_revision} is below the event {last} of its own message"
                );
            }
        }
        self.up_to_revision = up_to_revision;
        Ok(())
    }

    fn check_event(&self, event: &Event, last: i64) -> Check {
        let revision = event.revision;
        ensure!(
            revision > self.up_to_revision,
            "V6: event {revision} came after progress {}",
            self.up_to_revision
        );
        ensure!(revision != last, "V2, V4: revision {revision} came twice");
        ensure!(
            revision > last,
            "V1: event {revision} came after event {last}"
        );
        let record = some(event.record.as_ref(), "record of an event")?;
        let key = some(record.key.as_ref(), "key of an event's record")?;
        let inside = self.ranges.is_empty() || self.ranges.iter().any(|range| holds(range, key));
        ensure!(inside, "V7: event {revision} is outside the ranges");
        let previous = event.previous_revision;
        match event.r#type() {
            Type::Created => {
                same!(previous, 0, "V8: previous revision of a CREATED");
                same!(record.revision, revision, "V8: revision of a new record");
                same!(record.create_revision, revision, "V8: its create_revision");
            }
            Type::Updated => {
                same!(record.revision, revision, "V8: revision of a new value");
                ensure!(
                    0 < previous && previous < revision,
                    "V8: event {revision} replaces {previous}"
                );
            }
            Type::Deleted => {
                same!(
                    record.revision,
                    previous,
                    "V8: revision of a deleted record"
                );
                ensure!(
                    previous < revision,
                    "V8: event {revision} deletes {previous}"
                );
            }
            Type::Unspecified => ensure!(false, "event {revision} has no type"),
        }
        Ok(())
    }
}

fn holds(range: &Range, key: &backend_proto::v1::Key) -> bool {
    let same = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|w| w == found);
    range.group == key.group
        && range.resource == key.resource
        && same(&range.namespace, &key.namespace)
        && same(&range.name, &key.name)
}
