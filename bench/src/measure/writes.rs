//! Creates, updates and status patches at several concurrencies.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::Method;
use tokio::task::JoinSet;

use super::{Figure, Stopwatch};
use crate::client::Client;
use crate::objects::{Factory, collection, name, status_patch};
use crate::processes::Processes;

/// Kind of a single-object operation.
#[derive(Clone, Copy, Debug)]
pub enum Write {
    /// Creates objects.
    Create,
    /// Replaces objects.
    Update,
    /// Merge patches of the status.
    StatusPatch,
    /// Reads objects.
    Get,
}

impl Write {
    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::StatusPatch => "status patch",
            Self::Get => "get",
        }
    }

    /// The name of the measurement with this number of clients.
    pub fn at(self, clients: usize) -> String {
        format!("{}, {clients} clients", self.name())
    }
}

/// Numbers of concurrent clients.
pub const CLIENTS: [usize; 3] = [1, 16, 64];

/// A run of one kind of single-object operation.
pub struct Run {
    /// The operation.
    pub kind: Write,
    /// Names are `prefix-000000…`.
    pub prefix: String,
    /// Namespace of the objects.
    pub namespace: String,
    /// Number of operations.
    pub count: usize,
    /// Limit of operations in flight.
    pub concurrency: usize,
}

impl Run {
    /// Runs and measures. Bodies of updates are read beforehand, so that writes are measured alone;
    /// reads have their own figure.
    pub async fn measure(
        &self,
        client: &Arc<Client>,
        factory: &Factory,
        processes: &Processes,
    ) -> Result<Figure> {
        let updates = self.updates(client).await?;
        let stopwatch = Stopwatch::start(processes)?;
        let latencies = self.send(client, factory, updates).await?;
        let name = self.kind.at(self.concurrency);
        stopwatch.stop(name, self.count as u64, latencies)
    }

    /// Runs without measuring.
    pub async fn perform(&self, client: &Arc<Client>, factory: &Factory) -> Result<()> {
        let updates = self.updates(client).await?;
        self.send(client, factory, updates).await.map(|_| ())
    }

    /// Sends all operations; returns their latencies.
    async fn send(
        &self,
        client: &Arc<Client>,
        factory: &Factory,
        updates: Vec<Bytes>,
    ) -> Result<Vec<Duration>> {
        let next = Arc::new(AtomicUsize::new(0));
        let updates = Arc::new(updates);
        let mut workers = JoinSet::new();
        for lane in 0..self.concurrency {
            let worker = Worker {
                kind: self.kind,
                prefix: self.prefix.clone(),
                path: collection(&self.namespace),
                count: self.count,
                lane,
                client: Arc::clone(client),
                factory: factory.clone(),
                updates: Arc::clone(&updates),
                next: Arc::clone(&next),
            };
            workers.spawn(worker.work());
        }
        let mut latencies = Vec::with_capacity(self.count);
        while let Some(done) = workers.join_next().await {
            latencies.extend(done.context("a worker panicked")??);
        }
        Ok(latencies)
    }

    /// Bodies of updates: each object as stored, with one field of its spec changed. Empty for
    /// other kinds.
    async fn updates(&self, client: &Client) -> Result<Vec<Bytes>> {
        if !matches!(self.kind, Write::Update) {
            return Ok(Vec::new());
        }
        let path = collection(&self.namespace);
        let mut bodies = Vec::with_capacity(self.count);
        for number in 0..self.count {
            let one = format!("{path}/{}", name(&self.prefix, number));
            let mut object: serde_json::Value =
                serde_json::from_slice(&client.get(number, &one).await?)?;
            object["spec"]["sessionId"] = format!("session-{number}").into();
            bodies.push(Bytes::from(object.to_string()));
        }
        Ok(bodies)
    }
}

/// One client of a run.
struct Worker {
    kind: Write,
    prefix: String,
    path: String,
    count: usize,
    lane: usize,
    client: Arc<Client>,
    factory: Factory,
    updates: Arc<Vec<Bytes>>,
    next: Arc<AtomicUsize>,
}

impl Worker {
    async fn work(self) -> Result<Vec<Duration>> {
        let mut latencies = Vec::new();
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.count {
                return Ok(latencies);
            }
            latencies.push(self.once(number).await?);
        }
    }

    async fn once(&self, number: usize) -> Result<Duration> {
        let name = name(&self.prefix, number);
        let one = format!("{}/{name}", self.path);
        match self.kind {
            Write::Create => {
                let body = self.factory.query(&name, number);
                self.timed(Method::POST, &self.path, "application/json", body)
                    .await
            }
            Write::Update => {
                let body = self.updates.get(number).context("no body")?.clone();
                self.timed(Method::PUT, &one, "application/json", body)
                    .await
            }
            Write::StatusPatch => {
                let path = format!("{one}/status");
                let body = status_patch(number);
                self.timed(Method::PATCH, &path, "application/merge-patch+json", body)
                    .await
            }
            Write::Get => {
                let started = Instant::now();
                self.client.get(self.lane, &one).await?;
                Ok(started.elapsed())
            }
        }
    }

    async fn timed(&self, method: Method, path: &str, kind: &str, body: Bytes) -> Result<Duration> {
        let started = Instant::now();
        self.client
            .write(self.lane, method, path, kind, body)
            .await?;
        Ok(started.elapsed())
    }
}
