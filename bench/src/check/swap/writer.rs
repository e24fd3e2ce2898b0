//! Clients that write continuously and record the acknowledged writes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::route::{Call, Route, Servers};
use crate::check::NAMESPACE;
use crate::client::describe;
use crate::objects::{Factory, collection, name, status_patch};

/// Number of clients. Each is the only writer of its objects, so that it knows their expected
/// state.
const LANES: usize = 8;
/// Objects that a client creates and keeps.
const OWN: usize = 50;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Created,
    Updated,
    Deleted,
}

/// A write that was acknowledged.
#[derive(Clone, Debug)]
pub(super) struct Ack {
    pub(super) name: String,
    pub(super) change: Change,
    /// `None` for a deletion, whose response has no revision.
    pub(super) revision: Option<u64>,
}

pub(super) struct Writers {
    lanes: JoinSet<Result<Vec<Ack>>>,
    stop: CancellationToken,
}

/// One client.
struct Lane {
    number: usize,
    objects: usize,
    route: Route,
    factory: Factory,
    /// Own objects as of their last response.
    own: VecDeque<Value>,
    acks: Vec<Ack>,
    /// Newest revision that any client has received.
    accepted: Arc<AtomicU64>,
}

impl Writers {
    /// Starts clients that write `rate` times per second in total, to the first `objects` objects
    /// and to new ones.
    pub(super) fn start(
        servers: &Arc<Servers>,
        factory: &Factory,
        objects: usize,
        rate: usize,
        accepted: &Arc<AtomicU64>,
    ) -> Self {
        let (mut lanes, stop) = (JoinSet::new(), CancellationToken::new());
        let period = Duration::from_secs_f64(LANES as f64 / rate as f64);
        for number in 0..LANES {
            let lane = Lane {
                number,
                objects,
                route: Route::new(servers),
                factory: factory.clone(),
                own: VecDeque::new(),
                acks: Vec::new(),
                accepted: Arc::clone(accepted),
            };
            lanes.spawn(lane.run(period, stop.clone()));
        }
        Self { lanes, stop }
    }

    /// Stops the clients; returns the acknowledged writes in the order of each client.
    pub(super) async fn stop(mut self) -> Result<Vec<Ack>> {
        self.stop.cancel();
        let mut acks = Vec::new();
        while let Some(done) = self.lanes.join_next().await {
            acks.extend(done.context("a writer panicked")??);
        }
        Ok(acks)
    }
}

impl Lane {
    async fn run(mut self, period: Duration, stop: CancellationToken) -> Result<Vec<Ack>> {
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for turn in 0.. {
            ticks.tick().await;
            if stop.is_cancelled() {
                break;
            }
            match turn % 5 {
                0 | 1 => self.create(turn).await?,
                2 => self.patch(turn).await?,
                3 => self.update(turn).await?,
                _ => self.delete().await?,
            }
        }
        Ok(self.acks)
    }

    async fn create(&mut self, turn: usize) -> Result<()> {
        let new = name(&format!("live-{}", self.number), turn);
        let body = self.factory.query(&new, turn);
        let path = collection(NAMESPACE);
        let known = Some(StatusCode::CONFLICT);
        let object = self.write(Method::POST, &path, JSON, body, known).await?;
        let object = match object {
            Some(object) => object,
            None => self.read_object(&new).await?,
        };
        self.acknowledge(new, Change::Created, Some(&object))?;
        self.own.push_back(object);
        Ok(())
    }

    /// Changes one of the initial objects.
    async fn patch(&mut self, turn: usize) -> Result<()> {
        let places = self.objects / LANES;
        // A prime step is coprime to most counts, so the walk visits all objects without the order
        // of names.
        let number = (turn * 7919) % places * LANES + self.number;
        let old = name("query", number);
        let path = format!("{}/{old}/status", collection(NAMESPACE));
        let body = status_patch(turn * LANES + self.number);
        let object = self.write(Method::PATCH, &path, MERGE, body, None).await?;
        let object = object.context("the outcome of a patch is unknown")?;
        self.acknowledge(old, Change::Updated, Some(&object))
    }

    /// Writes from the version of the last response, without reading.
    async fn update(&mut self, turn: usize) -> Result<()> {
        let Some(mut object) = self.own.pop_front() else {
            return Ok(());
        };
        object["spec"]["sessionId"] = format!("session-{turn}").into();
        let own = text(&object, "name")?;
        let path = format!("{}/{own}", collection(NAMESPACE));
        let body = Bytes::from(object.to_string());
        let known = Some(StatusCode::CONFLICT);
        let answered = match self.write(Method::PUT, &path, JSON, body, known).await? {
            Some(answered) => answered,
            None => {
                let stored = self.read_object(&own).await?;
                if stored["spec"] != object["spec"] {
                    bail!("{own}: conflict, although no other client writes it");
                }
                stored
            }
        };
        self.acknowledge(own, Change::Updated, Some(&answered))?;
        self.own.push_back(answered);
        Ok(())
    }

    async fn delete(&mut self) -> Result<()> {
        if self.own.len() < OWN {
            return Ok(());
        }
        let Some(object) = self.own.pop_front() else {
            return Ok(());
        };
        let own = text(&object, "name")?;
        let path = format!("{}/{own}", collection(NAMESPACE));
        let gone = Some(StatusCode::NOT_FOUND);
        self.write(Method::DELETE, &path, JSON, Bytes::new(), gone)
            .await?;
        self.acknowledge(own, Change::Deleted, None)
    }

    /// Writes until the outcome is known. `None` if an earlier attempt whose response was lost was
    /// applied; a retry then gets the status `done`.
    async fn write(
        &mut self,
        method: Method,
        path: &str,
        kind: &str,
        body: Bytes,
        done: Option<StatusCode>,
    ) -> Result<Option<Value>> {
        let call = Call {
            method,
            path,
            kind,
            body,
        };
        let final_response = self.route.send_until_final(&call).await?;
        let response = final_response.response;
        if response.status.is_success() {
            return Ok(Some(serde_json::from_slice(&response.body)?));
        }
        if final_response.uncertain && done == Some(response.status) {
            return Ok(None);
        }
        bail!("{} {path}: {}", call.method, describe(&response))
    }

    async fn read_object(&mut self, name: &str) -> Result<Value> {
        let path = format!("{}/{name}", collection(NAMESPACE));
        let object = self.write(Method::GET, &path, JSON, Bytes::new(), None);
        object.await?.context("the outcome of a create is unknown")
    }

    fn acknowledge(&mut self, name: String, change: Change, object: Option<&Value>) -> Result<()> {
        let revision = match object {
            Some(object) => Some(text(object, "resourceVersion")?.parse()?),
            None => None,
        };
        self.accepted
            .fetch_max(revision.unwrap_or(0), Ordering::AcqRel);
        self.acks.push(Ack {
            name,
            change,
            revision,
        });
        Ok(())
    }
}

const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";

fn text(object: &Value, field: &str) -> Result<String> {
    let text = object["metadata"][field].as_str();
    Ok(text.with_context(|| format!("no {field}"))?.to_owned())
}
