//! A watcher that resumes from its last resource version at any available replica.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use bytes::{Bytes, BytesMut};
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::sync::watch;

use super::events::{Event, Line};
use super::replica::Replicas;
use crate::objects::ALL;

/// Pause before it resumes.
const PAUSE: Duration = Duration::from_millis(20);

/// An event, with the replica and the time of its arrival.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    pub(super) event: Event,
    pub(super) at: Instant,
    pub(super) replica: usize,
}

/// Result of a watcher.
#[derive(Debug, Default)]
pub(super) struct Watched {
    pub(super) arrivals: Vec<Arrival>,
    /// Number of resumed watches.
    pub(super) resumed: usize,
}

pub(super) struct Watcher {
    replicas: Arc<Replicas>,
    /// Preferred replica.
    index: usize,
    lane: usize,
    cursor: u64,
    /// Revision at which it stops.
    target: watch::Receiver<u64>,
    watched: Watched,
}

// === impl Watcher ===

impl Watcher {
    pub(super) fn new(
        replicas: Arc<Replicas>,
        index: usize,
        begin: u64,
        target: watch::Receiver<u64>,
    ) -> Self {
        Self {
            replicas,
            index,
            lane: index,
            cursor: begin,
            target,
            watched: Watched::default(),
        }
    }

    /// Watches until the target revision has arrived.
    pub(super) async fn run(mut self) -> Result<Watched> {
        loop {
            let (replica, client) = self.replicas.nearest(self.index).await;
            let path = format!(
                "{ALL}?watch=true&resourceVersion={}&timeoutSeconds=3000",
                self.cursor
            );
            let opened = client
                .open(self.lane, Method::GET, &path, &[], Bytes::new())
                .await;
            match opened {
                Ok(response) if response.status() == StatusCode::OK => {
                    let over = self.follow(response.into_body(), replica).await?;
                    if over {
                        return Ok(self.watched);
                    }
                }
                Ok(response) if response.status() == StatusCode::GONE => {
                    bail!("replica {replica}: 410 at {}", self.cursor);
                }
                _ => {}
            }
            self.watched.resumed += 1;
            self.index += 1;
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Reads one watch; returns whether the target revision was reached.
    async fn follow(&mut self, mut body: Incoming, replica: usize) -> Result<bool> {
        let mut rest = BytesMut::new();
        let mut target = self.target.clone();
        loop {
            if self.cursor >= *target.borrow_and_update() {
                return Ok(true);
            }
            let frame = tokio::select! {
                frame = body.frame() => frame,
                _ = target.changed() => continue,
            };
            let Some(Ok(frame)) = frame else {
                return Ok(false);
            };
            let Ok(data) = frame.into_data() else {
                continue;
            };
            rest.extend_from_slice(&data);
            while let Some(end) = memchr::memchr(b'\n', &rest) {
                let line = rest.split_to(end + 1);
                if !self.process_line(&line, replica)? {
                    return Ok(false);
                }
            }
        }
    }

    /// Processes a line; returns whether the watch continues.
    fn process_line(&mut self, line: &[u8], replica: usize) -> Result<bool> {
        let at = Instant::now();
        let line =
            Line::read(line).with_context(|| format!("malformed event from replica {replica}"))?;
        let event = match line {
            Line::Event(event) => event,
            Line::Error(410, message) => bail!("replica {replica}: 410 {message}"),
            Line::Error(..) => return Ok(false),
        };
        self.cursor = event.object.revision;
        self.watched.arrivals.push(Arrival { event, at, replica });
        Ok(true)
    }
}
