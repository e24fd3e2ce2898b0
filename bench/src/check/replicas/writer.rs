//! A controller that is the only writer of its objects. Each write goes to the next replica. After
//! any response but success it reads the object before it writes again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::Value;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::events::{Object, only, query, status};
use super::replica::Replicas;
use crate::client::FullResponse;
use crate::objects::collection;

/// Objects of each writer.
const OBJECTS: usize = 5;
/// Pause before the next read.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// A write that was acknowledged.
#[derive(Clone, Debug)]
pub(super) struct Acknowledged {
    pub(super) what: What,
    pub(super) at: Instant,
    /// Replica that acknowledged it.
    pub(super) replica: usize,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    /// Created or changed: the object of the response.
    Stored(Object),
    /// Deleted: the name and the deleted revision.
    Deleted(String, u64),
}

/// Result of a writer.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) acknowledged: Vec<Acknowledged>,
    /// Writes whose outcome is unknown.
    pub(super) unknown_outcomes: usize,
    /// Writes that conflicted.
    pub(super) conflicts: usize,
}

pub(super) struct Writer {
    replicas: Arc<Replicas>,
    index: usize,
    turn: usize,
    /// Number of the writer's last write, unique among all writers.
    number: u64,
    objects: Vec<Known>,
    written: Written,
}

/// Last known state of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Nothing,
    Absent,
    At(u64),
}

// === impl Writer ===

impl Writer {
    pub(super) fn new(replicas: Arc<Replicas>, index: usize) -> Self {
        Self {
            replicas,
            index,
            turn: index,
            number: 1 + index as u64 * 1_000_000,
            objects: vec![Known::Absent; OBJECTS],
            written: Written::default(),
        }
    }

    /// Writes at each tick until `stop` is cancelled.
    pub(super) async fn run(mut self, rest: Duration, stop: CancellationToken) -> Result<Written> {
        let mut ticks = tokio::time::interval(rest);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut newest = [0; OBJECTS];
        for round in 0.. {
            tokio::select! {
                _ = ticks.tick() => {}
                () = stop.cancelled() => break,
            }
            let slot = round % OBJECTS;
            if self.objects[slot] == Known::Nothing {
                self.read_object(slot, newest[slot]).await?;
            }
            self.write(slot, round / OBJECTS).await?;
            if let Known::At(revision) = self.objects[slot] {
                newest[slot] = revision;
            }
        }
        Ok(self.written)
    }

    fn name(&self, slot: usize) -> String {
        format!("replicas-{:02}-{slot}", self.index)
    }

    /// Reads an object from some replica; its revision must be at least `newest`.
    async fn read_object(&mut self, slot: usize, newest: u64) -> Result<()> {
        let path = format!(
            "{}/{}",
            collection(super::super::NAMESPACE),
            self.name(slot)
        );
        loop {
            let (replica, response) = self.send(Method::GET, &path, None).await;
            match response {
                Some(response) if response.status == StatusCode::OK => {
                    let found = Object::read(&response.body)?.revision;
                    ensure!(
                        found >= newest,
                        "replica {replica} returned {path} at revision {found}, older than {newest}"
                    );
                    self.objects[slot] = Known::At(found);
                    return Ok(());
                }
                Some(response) if response.status == StatusCode::NOT_FOUND => {
                    self.objects[slot] = Known::Absent;
                    return Ok(());
                }
                _ => tokio::time::sleep(RETRY_PAUSE).await,
            }
        }
    }

    /// One write: a create or, in turn, an update, patches of the status, a delete.
    async fn write(&mut self, slot: usize, step: usize) -> Result<()> {
        let name = self.name(slot);
        let all = collection(super::super::NAMESPACE);
        let one = format!("{all}/{name}");
        self.number += 1;
        let number = self.number;
        let known = std::mem::replace(&mut self.objects[slot], Known::Nothing);
        let (method, path, body) = match known {
            Known::Nothing | Known::Absent => (Method::POST, all, query(&name, number, None)),
            Known::At(at) => match step % 6 {
                5 => (Method::DELETE, one, only(at)),
                0 | 3 => (Method::PUT, one, query(&name, number, Some(at))),
                _ => (Method::PATCH, format!("{one}/status"), status(number, at)),
            },
        };
        let (replica, response) = self.send(method.clone(), &path, Some(&body)).await;
        let Some(response) = response else {
            self.written.unknown_outcomes += 1;
            return Ok(());
        };
        match response.status.as_u16() {
            200 | 201 => {}
            409 | 404 => {
                self.written.conflicts += 1;
                return Ok(());
            }
            429 | 500 | 503 | 504 => {
                self.written.unknown_outcomes += 1;
                return Ok(());
            }
            _ => anyhow::bail!("{method} {path}: {}", crate::client::describe(&response)),
        }
        let what = match (known, method) {
            (Known::At(at), Method::DELETE) => {
                self.objects[slot] = Known::Absent;
                What::Deleted(name, at)
            }
            _ => {
                let stored = Object::read(&response.body)?;
                self.objects[slot] = Known::At(stored.revision);
                What::Stored(stored)
            }
        };
        self.written.acknowledged.push(Acknowledged {
            what,
            at: Instant::now(),
            replica,
        });
        Ok(())
    }

    /// Sends a request to the next replica; `None` if the connection failed.
    async fn send(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> (usize, Option<FullResponse>) {
        self.turn += 1;
        let (replica, client) = self.replicas.nearest(self.turn).await;
        let content = match method {
            Method::PATCH => "application/merge-patch+json",
            _ => "application/json",
        };
        let body = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        let headers = [("content-type", content)];
        let response = client.call(self.index, method, path, &headers, body).await;
        (replica, response.ok())
    }
}
