//! Watch fan-out: `rate` writes per second, observed by many watchers that each check every event.

mod watcher;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::Method;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use watcher::Watcher;
pub use watcher::{Pace, Received};

use super::{Figure, Stopwatch};
use crate::client::Client;
use crate::objects::{Factory, collection, name, status_patch};
use crate::processes::Processes;

/// Limit of writes in flight, so that a slow server slows the writer down.
const MAX_IN_FLIGHT: usize = 32;
/// Objects that the writes change in turn.
const OBJECTS: usize = 50;

/// Load of a fan-out run.
#[derive(Clone, Debug)]
pub struct Fanout {
    /// Namespace of the objects.
    pub namespace: String,
    /// Number of watchers.
    pub watchers: usize,
    /// Writes offered per second.
    pub rate: usize,
    /// Number of writes.
    pub writes: usize,
    /// Reading speed of watcher 0; all others read at full speed.
    pub first: Pace,
}

/// Result of a fan-out run.
#[derive(Debug)]
pub struct Outcome {
    /// Delivered events, and their latency over all watchers except a slowed one.
    pub figure: Figure,
    /// Writes per second that the server accepted.
    pub write_rate: f64,
    /// Events of each watcher.
    pub received: Vec<Received>,
}

impl Outcome {
    /// Fails unless every watcher from index `from` on received every write once and in order.
    pub fn ensure_complete(&self, from: usize, writes: usize) -> Result<()> {
        for (index, received) in self.received.iter().enumerate().skip(from) {
            ensure!(
                received.distinct == writes
                    && received.repeated == 0
                    && received.disordered == 0
                    && !received.disconnected,
                "watcher {index}: {} of {writes} events, {} repeated, {} out of order, disconnected: {}",
                received.distinct,
                received.repeated,
                received.disordered,
                received.disconnected,
            );
        }
        Ok(())
    }
}

impl Fanout {
    /// Opens the watchers, writes, and waits until they have received the last write or stall.
    pub async fn measure(
        &self,
        client: &Arc<Client>,
        watch_client: &Arc<Client>,
        factory: &Factory,
        processes: &Processes,
    ) -> Result<Outcome> {
        self.create_objects(client, factory).await?;
        let start = self.revision(client).await?;
        let sent: Arc<Vec<AtomicU64>> =
            Arc::new((0..self.writes).map(|_| AtomicU64::new(0)).collect());
        let clock = Instant::now();
        let mut watchers = JoinSet::new();
        for index in 0..self.watchers {
            let pace = if index == 0 { self.first } else { Pace::Full };
            let path = format!(
                "{}?watch=true&resourceVersion={start}&timeoutSeconds=600",
                collection(&self.namespace)
            );
            let response = watch_client
                .open(index, Method::GET, &path, &[], Bytes::new())
                .await?;
            ensure!(
                response.status().is_success(),
                "watch {index}: {}",
                response.status()
            );
            let watcher = Watcher {
                index,
                sent: Arc::clone(&sent),
                clock,
                pace,
            };
            watchers.spawn(watcher.read(response.into_body()));
        }
        let stopwatch = Stopwatch::start(processes)?;
        let started = Instant::now();
        self.write_all(client, &sent, clock).await?;
        let write_rate = self.writes as f64 / started.elapsed().as_secs_f64();
        let mut received = Vec::with_capacity(self.watchers);
        while let Some(done) = watchers.join_next().await {
            received.push(done.context("a watcher panicked")??);
        }
        received.sort_by_key(|received: &Received| received.index);
        let latencies = received
            .iter_mut()
            .flat_map(|received| std::mem::take(&mut received.latencies))
            .collect();
        let delivered: usize = received.iter().map(|received| received.distinct).sum();
        let name = format!("watch, {} watchers × {} writes/s", self.watchers, self.rate);
        let figure = stopwatch.stop(name, delivered as u64, latencies)?;
        Ok(Outcome {
            figure,
            write_rate,
            received,
        })
    }

    async fn create_objects(&self, client: &Client, factory: &Factory) -> Result<()> {
        let path = collection(&self.namespace);
        for number in 0..OBJECTS {
            let body = factory.query(&name("fan", number), number);
            let kind = [("content-type", "application/json")];
            let response = client
                .call(number, Method::POST, &path, &kind, body)
                .await?;
            let known = response.status == http::StatusCode::CONFLICT;
            ensure!(
                known || response.status.is_success(),
                "create: {}",
                response.status
            );
        }
        Ok(())
    }

    async fn revision(&self, client: &Client) -> Result<String> {
        let body = client
            .get(0, &format!("{}?limit=1", collection(&self.namespace)))
            .await?;
        let list: serde_json::Value = serde_json::from_slice(&body)?;
        let revision = list["metadata"]["resourceVersion"]
            .as_str()
            .context("list has no resourceVersion")?;
        Ok(revision.to_owned())
    }

    async fn write_all(
        &self,
        client: &Arc<Client>,
        sent: &Arc<Vec<AtomicU64>>,
        clock: Instant,
    ) -> Result<()> {
        let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / self.rate as f64));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let permits = Arc::new(Semaphore::new(MAX_IN_FLIGHT));
        let mut writes = JoinSet::new();
        for number in 0..self.writes {
            ticks.tick().await;
            let permit = Arc::clone(&permits).acquire_owned().await?;
            let (client, sent) = (Arc::clone(client), Arc::clone(sent));
            let path = format!(
                "{}/{}/status",
                collection(&self.namespace),
                name("fan", number % OBJECTS)
            );
            writes.spawn(async move {
                let now = u64::try_from(clock.elapsed().as_nanos()).unwrap_or(u64::MAX);
                sent[number].store(now.max(1), Ordering::Release);
                let body = status_patch(number);
                let kind = "application/merge-patch+json";
                let done = client.write(number, Method::PATCH, &path, kind, body).await;
                drop(permit);
                done.map(|_| ())
            });
            while let Some(done) = writes.try_join_next() {
                done??;
            }
        }
        while let Some(done) = writes.join_next().await {
            done??;
        }
        Ok(())
    }
}
