//! One watch: a cursor into the ring, or into the log if the cursor is older than the ring.

use std::sync::Arc;
use std::time::Duration;

use backend_proto::limits::CHUNK_BYTES;
use backend_proto::v1::watch_response::{Body, Created, Events, Progress};
use backend_proto::v1::{BackendError, Event, Header, Range, WatchRequest, WatchResponse};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::driver::{Driver, DriverHealth};
use crate::fanout::{Fanout, Found};
use crate::metrics::Metrics;
use crate::range;
use crate::reader::Sink;
use crate::refuse::{closing, compacted, epoch_changed, future, not_ready};
use crate::streams::Room;

/// Default and minimum idle time after which a watch sends a progress message.
const PROGRESS: Duration = Duration::from_secs(1);
const PROGRESS_MIN: Duration = Duration::from_millis(50);

/// Messages buffered per reader, besides those that HTTP/2 buffers.
pub(crate) const AHEAD: usize = 2;

/// What a watch reads from.
pub(crate) struct Source {
    pub(crate) driver: Arc<dyn Driver>,
    pub(crate) fanout: Arc<Fanout>,
    pub(crate) health: watch::Receiver<DriverHealth>,
    pub(crate) metrics: Metrics,
    pub(crate) stop: CancellationToken,
}

/// A registered watch.
pub(crate) struct Watch {
    source: Source,
    ranges: Vec<Range>,
    epoch: i64,
    /// Revision up to which everything was sent.
    cursor: i64,
    progress_interval: Duration,
}

/// Events in order, and the revision up to which they are complete.
struct Batch {
    events: Vec<Event>,
    up_to_revision: i64,
    header: Header,
    /// Room reserved for them, if they were read for this watch alone.
    room: Option<Room>,
}

impl Watch {
    /// Validates the start revision.
    pub(crate) async fn start(source: Source, request: WatchRequest) -> Result<Self, BackendError> {
        reachable(&source.health.borrow())?;
        for range in &request.ranges {
            range::check(range)?;
        }
        let start = request.start_revision;
        let mut header = source.fanout.header();
        if start == 0 || start > header.revision || start < header.compact_revision {
            // The start may be above the ring's header: the client may have read a commit that is
            // not published yet. Or another process imported a store with larger revisions in place
            // of an empty one.
            header = source.driver.header().await?;
            // This header may be the first of a new epoch.
            source.fanout.adopt(&header);
        }
        if start > header.revision {
            return Err(future(start, header.revision));
        }
        if start != 0 && start < header.compact_revision {
            return Err(compacted(header.compact_revision));
        }
        let progress_interval = u64::try_from(request.progress_interval_ms).unwrap_or(0);
        Ok(Self {
            source,
            ranges: request.ranges,
            epoch: header.epoch,
            cursor: if start == 0 { header.revision } else { start },
            progress_interval: match progress_interval {
                0 => PROGRESS,
                requested => Duration::from_millis(requested).max(PROGRESS_MIN),
            },
        })
    }

    /// Sends changes until the reader disconnects, an error ends the watch, or the kit stops.
    pub(crate) async fn run(mut self, sink: Sink<WatchResponse>) {
        if let Err(error) = self.feed(&sink, Some).await {
            sink.end(&error, &self.source.stop).await;
        }
    }

    /// As [`Watch::run`]; `wrap` converts each message of the watch into the reader's type, or
    /// skips it.
    pub(crate) async fn feed<M: prost::Message>(
        &mut self,
        sink: &Sink<M>,
        wrap: fn(WatchResponse) -> Option<M>,
    ) -> Result<(), BackendError> {
        let _open = self.source.metrics.watch();
        let mut moved = self.source.fanout.subscribe();
        let mut health = self.source.health.clone();
        let created = Body::Created(Created {
            start_revision: self.cursor,
        });
        let mut header = self.source.fanout.header();
        header.revision = header.revision.max(self.cursor);
        if !self.send(sink, wrap, (header, created), None).await? {
            return Ok(());
        }
        let mut last_sent = Instant::now();
        loop {
            moved.mark_unchanged();
            let Batch {
                events,
                up_to_revision,
                header,
                room,
            } = self.next(sink).await?;
            let advanced = up_to_revision > self.cursor;
            self.cursor = up_to_revision;
            if events.is_empty() {
                drop(room);
            } else {
                let body = Body::Events(Events { events });
                if !self.send(sink, wrap, (header, body), room).await? {
                    return Ok(());
                }
                last_sent = Instant::now();
            }
            if advanced && self.cursor < self.source.fanout.header().revision {
                continue;
            }
            tokio::select! {
                () = self.source.stop.cancelled() => return Err(closing()),
                () = sink.closed() => return Ok(()),
                cut = sink.cut() => return Err(cut),
                _ = moved.changed() => {}
                // No progress message: while the store is unreachable, changes may have happened.
                _ = health.changed() => reachable(&health.borrow_and_update())?,
                () = tokio::time::sleep_until(last_sent + self.progress_interval) => {
                    let header = self.source.fanout.header();
                    if header.epoch == self.epoch && header.revision == self.cursor {
                        let progress = (header, Body::Progress(Progress {}));
                        if !self.send(sink, wrap, progress, None).await? {
                            return Ok(());
                        }
                        last_sent = Instant::now();
                    }
                }
            }
        }
    }

    /// Returns the events after the cursor that match the ranges.
    async fn next<M>(&self, sink: &Sink<M>) -> Result<Batch, BackendError> {
        match self
            .source
            .fanout
            .after(self.cursor, self.epoch, CHUNK_BYTES)
        {
            Found::Events {
                events,
                up_to_revision,
                header,
            } => Ok(Batch {
                events: events
                    .iter()
                    .filter(|event| range::holds(&self.ranges, event))
                    .map(|event| Event::clone(event))
                    .collect(),
                up_to_revision,
                header,
                room: None,
            }),
            Found::EpochChanged => Err(epoch_changed()),
            Found::Behind => {
                let room = sink.room(CHUNK_BYTES).await?;
                self.source.metrics.log_read();
                let read = self.source.driver.read_log(self.cursor, CHUNK_BYTES);
                let mut page = read.await?;
                if page.header.epoch != self.epoch {
                    return Err(epoch_changed());
                }
                page.events
                    .retain(|event| range::holds(&self.ranges, event));
                Ok(Batch {
                    events: page.events,
                    up_to_revision: page.up_to_revision,
                    header: page.header,
                    room: Some(room),
                })
            }
        }
    }

    /// Returns `false` if the reader disconnected.
    async fn send<M: prost::Message>(
        &self,
        sink: &Sink<M>,
        wrap: fn(WatchResponse) -> Option<M>,
        (header, body): (Header, Body),
        room: Option<Room>,
    ) -> Result<bool, BackendError> {
        let response = WatchResponse {
            header: Some(header),
            through_revision: self.cursor,
            body: Some(body),
        };
        match wrap(response) {
            Some(message) => sink.send(message, room, &self.source.stop).await,
            None => Ok(true),
        }
    }
}

/// Returns an error while changes of other writers could be missed.
fn reachable(health: &DriverHealth) -> Result<(), BackendError> {
    match health {
        DriverHealth::NotReady(why) | DriverHealth::Dead(why) => Err(not_ready(why.as_str())),
        DriverHealth::Ready | DriverHealth::NoSpace(_) | DriverHealth::Fenced(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests;
