//! Requests of clients that keep working while something else changes.

mod informer;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use kube_http::Client;
use serde_json::json;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::informer::Informer;
use crate::call::{Call, Response};
use crate::crds::{OURS, widget, widgets};

/// Attempts of client-go for a response that asks to retry (`maxRetries` of its `Request`).
const MAX_ATTEMPTS: usize = 10;
/// Delay of client-go after `Retry-After: 1`.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Time for the last events to arrive.
const EVENTS_TIMEOUT: Duration = Duration::from_secs(20);

/// Clients that create, read, change and delete widgets, and an informer that watches them.
#[derive(Debug)]
pub(crate) struct Load {
    workers: JoinSet<Result<()>>,
    informer: JoinSet<Result<()>>,
    stop: CancellationToken,
    stop_informer: CancellationToken,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    requests: AtomicU64,
    retries: AtomicU64,
    created: AtomicU64,
    added: Arc<AtomicU64>,
    resumed: Arc<AtomicU64>,
}

/// What the clients did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    pub(crate) requests: u64,
    /// Requests that were sent again.
    pub(crate) retries: u64,
    /// Watches that were opened again.
    pub(crate) resumed: u64,
}

impl Load {
    /// Starts `workers` clients and the informer.
    ///
    /// # Errors
    /// If the widgets cannot be listed.
    pub(crate) async fn start(client: &Client, namespace: &str, workers: usize) -> Result<Self> {
        let mut load = Self {
            workers: JoinSet::new(),
            informer: JoinSet::new(),
            stop: CancellationToken::new(),
            stop_informer: CancellationToken::new(),
            counts: Arc::default(),
        };
        let collection = widgets(OURS, namespace);
        let list = Call::new("GET", &collection).json(client).await?;
        let version = list["metadata"]["resourceVersion"].as_str();
        let informer = Informer {
            client: client.clone(),
            collection,
            version: version.context("list without version")?.to_owned(),
            added: load.counts.added.clone(),
            resumed: load.counts.resumed.clone(),
        };
        load.informer
            .spawn(informer.run(load.stop_informer.clone()));
        for index in 0..workers {
            let worker = Worker {
                client: client.clone(),
                collection: widgets(OURS, namespace),
                name: format!("load-{index}"),
                counts: load.counts.clone(),
            };
            load.workers.spawn(worker.run(load.stop.clone()));
        }
        Ok(load)
    }

    /// Waits until `count` further requests were served.
    ///
    /// # Errors
    /// With the error of a client, if one has failed.
    pub(crate) async fn serve(&mut self, count: u64) -> Result<()> {
        let target = self.counts.requests.load(Ordering::Relaxed) + count;
        while self.counts.requests.load(Ordering::Relaxed) < target {
            if let Some(ended) = self.workers.try_join_next() {
                ended.context("a client panicked")??;
                bail!("a client has ended");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Stops the clients, and waits until the informer has seen every created widget.
    ///
    /// # Errors
    /// With the error of a client, if one has failed, or the number of missing events.
    pub(crate) async fn finish(mut self) -> Result<Figures> {
        self.stop.cancel();
        while let Some(ended) = self.workers.join_next().await {
            ended.context("a client panicked")??;
        }
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let created = count(&self.counts.created);
        let deadline = Instant::now() + EVENTS_TIMEOUT;
        while count(&self.counts.added) < created {
            if let Some(ended) = self.informer.try_join_next() {
                ended.context("the informer panicked")??;
            }
            ensure!(
                Instant::now() < deadline,
                "{} of {created} events arrived",
                count(&self.counts.added)
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.stop_informer.cancel();
        while let Some(ended) = self.informer.join_next().await {
            ended.context("the informer panicked")??;
        }
        let added = count(&self.counts.added);
        ensure!(added == created, "{added} events of {created} creates");
        Ok(Figures {
            requests: count(&self.counts.requests),
            retries: count(&self.counts.retries),
            resumed: count(&self.counts.resumed),
        })
    }
}

struct Worker {
    client: Client,
    collection: String,
    name: String,
    counts: Arc<Counts>,
}

impl Worker {
    async fn run(self, stop: CancellationToken) -> Result<()> {
        let object = format!("{}/{}", self.collection, self.name);
        let body = widget(OURS, &self.name);
        while !stop.is_cancelled() {
            self.expect(201, Call::new("POST", &self.collection).body(&body))
                .await?;
            self.counts.created.fetch_add(1, Ordering::Relaxed);
            self.expect(200, Call::new("GET", &object)).await?;
            let patch = json!({"spec": {"size": 2}});
            self.expect(200, Call::new("PATCH", &object).body(&patch))
                .await?;
            self.expect(200, Call::new("GET", &self.collection)).await?;
            self.expect(200, Call::new("DELETE", &object)).await?;
        }
        Ok(())
    }

    async fn expect(&self, status: u16, call: Call<'_>) -> Result<()> {
        let response = self.with_retries(&call).await?;
        ensure!(
            response.status == status,
            "{call:?}: {} {}",
            response.status,
            response.message()
        );
        self.counts.requests.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Sends a request as client-go does.
    async fn with_retries(&self, call: &Call<'_>) -> Result<Response> {
        for _ in 1..MAX_ATTEMPTS {
            let response = call.clone().send(&self.client).await?;
            if !response.is_retried() {
                return Ok(response);
            }
            self.counts.retries.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(RETRY_DELAY).await;
        }
        call.clone().send(&self.client).await
    }
}
