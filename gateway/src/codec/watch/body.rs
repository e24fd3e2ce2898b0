//! The body of a watch.
//!
//! A watcher holds a position in the history, references to one batch of changes, and the chunk
//! that is being encoded. It is polled as fast as its client reads, and delays no other watcher.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use std::vec;

use api_types::status::ApiError;
use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use rand::Rng as _;
use tokio::time::{Instant, Sleep, sleep_until};

use super::Bookmarks;
use super::frame::Frames;
use crate::compute::{Client, Turn};
use crate::store::{DecodeError, EventKind, StoreError, Stored, WatchItem, Watcher};

/// Changes per batch.
const BATCH: usize = 256;
/// A chunk is sent at this size, or when no more changes are ready, bytes.
const CHUNK: usize = 64 << 10;
/// Interval of bookmarks for a watch without events: kube-apiserver's minute.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// Time between the last bookmark and the end of the watch, so that the next watch can start at the
/// bookmark: kube-apiserver's 2 s.
const LAST_BOOKMARK: Duration = Duration::from_secs(2);

/// An open watch.
pub(super) struct Events {
    frames: Frames,
    /// `None` after the last event.
    watcher: Option<Watcher>,
    /// Changes of the watcher that are not encoded yet.
    batch: vec::IntoIter<WatchItem>,
    /// The frame of the first of them, if the pool encoded it.
    made: Option<Result<Bytes, DecodeError>>,
    turn: Turn,
    compute: Client,
    /// Fires at the next bookmark or at the end.
    alarm: Pin<Box<Sleep>>,
    deadline: Instant,
    bookmarks: Bookmarks,
    /// Whether a bookmark is due.
    bookmark_due: bool,
    /// Whether the last chunk was full, so that more changes are probably ready.
    busy: bool,
}

/// The next step.
enum Step {
    Items(Vec<WatchItem>),
    Failed(StoreError),
    Bookmark,
    End,
}

impl Events {
    /// The events of a watcher until a deadline.
    pub(super) fn new(
        watcher: Watcher,
        frames: Frames,
        deadline: Instant,
        bookmarks: Bookmarks,
        compute: Client,
    ) -> Self {
        let mut events = Self::of(Some(watcher), frames, deadline, compute);
        events.bookmarks = bookmarks;
        if bookmarks != Bookmarks::None {
            events.alarm.as_mut().reset(next_alarm(deadline));
        }
        events
    }

    /// A stream of one ERROR event.
    pub(super) fn failed(error: &ApiError, mut frames: Frames, compute: Client) -> Self {
        frames.error(error);
        Self::of(None, frames, Instant::now(), compute)
    }

    fn of(watcher: Option<Watcher>, frames: Frames, deadline: Instant, compute: Client) -> Self {
        Self {
            frames,
            watcher,
            batch: Vec::new().into_iter(),
            made: None,
            turn: compute.walks().begin(),
            compute,
            alarm: Box::pin(sleep_until(deadline)),
            deadline,
            bookmarks: Bookmarks::None,
            bookmark_due: false,
            busy: false,
        }
    }

    pub(super) fn into_body(self) -> Body {
        Body::from_stream(stream::unfold(self, |mut events| async move {
            let chunk = events.next().await?;
            Some((Ok::<_, Infallible>(chunk), events))
        }))
    }

    /// The next chunk; none at the end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            self.prepare().await;
            if std::mem::take(&mut self.busy) {
                self.turn.renew().await;
            } else {
                self.turn.start();
            }
            let chunk = self.chunk();
            self.turn.end();
            if chunk.is_some() {
                return chunk;
            }
            if self.busy {
                continue;
            }
            match self.step().await {
                Step::Items(items) => self.batch = items.into_iter(),
                Step::Failed(error) => self.fail(&error.into()),
                Step::Bookmark => {
                    let progress = self.watcher.as_ref().and_then(Watcher::progress);
                    if let Some(revision) = progress {
                        self.frames.bookmark(revision, false);
                    }
                }
                Step::End => return self.frames.finish(),
            }
        }
    }

    async fn step(&mut self) -> Step {
        let Some(watcher) = &mut self.watcher else {
            return Step::End;
        };
        loop {
            tokio::select! {
                biased;
                () = self.alarm.as_mut() => {
                    if Instant::now() >= self.deadline {
                        return Step::End;
                    }
                    self.bookmark_due = true;
                    let at = next_alarm(self.deadline);
                    self.alarm.as_mut().reset(at);
                }
                // Biased: events come before the bookmark that confirms them.
                items = watcher.next_batch(BATCH) => {
                    return match items {
                        Some(Ok(items)) => Step::Items(items),
                        Some(Err(error)) => Step::Failed(error),
                        None => Step::End,
                    };
                }
                () = std::future::ready(()), if self.bookmark_due => {
                    self.bookmark_due = false;
                    return Step::Bookmark;
                }
            }
        }
    }

    /// Encodes the next frame on the pool if it is heavy.
    async fn prepare(&mut self) {
        let Some((kind, object)) = self.heavy() else {
            return;
        };
        let heavy = self.frames.heavy(kind, &object);
        let made = self
            .compute
            .run_accepted(heavy.weight(), move |_| heavy.make());
        self.made = made.await.transpose();
    }

    /// Kind and object of the next frame, if it is heavy and not encoded yet.
    fn heavy(&self) -> Option<(Option<EventKind>, Arc<Stored>)> {
        let (kind, object) = match self.batch.as_slice().first()? {
            WatchItem::Initial(object) => (None, object),
            WatchItem::Event { kind, object, .. } => (Some(*kind), object),
            WatchItem::InitialEnd(_) => return None,
        };
        let heavy = self.made.is_none() && self.frames.is_heavy(kind, object);
        heavy.then(|| (kind, Arc::clone(object)))
    }

    /// Pending output and as much of the batch as fits; none if there is nothing.
    fn chunk(&mut self) -> Option<Bytes> {
        if let Some(shared) = self.single() {
            return Some(shared);
        }
        let mut out = Vec::new();
        while out.len() + self.frames.written() < CHUNK && self.heavy().is_none() {
            let Some(item) = self.batch.next() else { break };
            let bytes = item.bytes();
            if let Err(error) = self.write(item, &mut out) {
                tracing::error!(%error, "aborted watch: cannot encode object");
                self.fail(&error.into());
            }
            if self.turn.spend(bytes) {
                break;
            }
        }
        self.frames.flush(&mut out);
        self.busy = self.batch.len() > 0;
        (!out.is_empty()).then(|| out.into())
    }

    /// The shared frame of a change that is alone in its chunk, without a copy.
    fn single(&mut self) -> Option<Bytes> {
        let [
            WatchItem::Event {
                kind,
                object,
                revision: _,
            },
        ] = self.batch.as_slice()
        else {
            return None;
        };
        if self.made.is_some() {
            return None;
        }
        // On an error, the general path encodes the object again and reports the error.
        let shared = self.frames.alone(*kind, object).ok().flatten()?;
        self.batch.next();
        Some(shared)
    }

    fn write(&mut self, item: WatchItem, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        if let Some(made) = self.made.take() {
            self.frames.made(&made?, out);
            return Ok(());
        }
        match item {
            WatchItem::Initial(object) => self.frames.initial(&object)?,
            WatchItem::InitialEnd(revision) => {
                if self.bookmarks == Bookmarks::WithInitial {
                    self.frames.bookmark(revision, true);
                }
            }
            WatchItem::Event { kind, object, .. } => self.frames.change(kind, &object, out)?,
        }
        Ok(())
    }

    /// Ends the stream with an ERROR event.
    fn fail(&mut self, error: &ApiError) {
        self.watcher = None;
        self.made = None;
        self.batch = Vec::new().into_iter();
        self.frames.error(error);
    }
}

/// Time of the next bookmark: after about a minute, then shortly before the end.
fn next_alarm(deadline: Instant) -> Instant {
    let now = Instant::now();
    // Jitter, so that the watchers of a server do not get bookmarks simultaneously.
    let jitter = rand::rng().random_range(0.95..1.05);
    let regular = now + BOOKMARK_EVERY.mul_f64(jitter);
    let last = deadline.checked_sub(LAST_BOOKMARK).unwrap_or(now);
    match regular.min(last) {
        at if at > now => at,
        _ => deadline,
    }
}
