//! Requests of clients that keep working while something else changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use kube_http::Client;
use serde_json::json;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::call::{Call, Response};
use crate::crds::{OURS, widget, widgets};

/// Attempts of client-go for a response that asks to retry (`maxRetries` of its `Request`).
const MAX_ATTEMPTS: usize = 10;
/// Delay of client-go after `Retry-After: 1`.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Clients that create, read, change and delete widgets.
#[derive(Debug)]
pub(crate) struct Load {
    workers: JoinSet<Result<()>>,
    stop: CancellationToken,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    requests: AtomicU64,
    retries: AtomicU64,
}

impl Load {
    /// Starts `workers` clients.
    pub(crate) fn start(client: &Client, namespace: &str, workers: usize) -> Self {
        let mut load = Self {
            workers: JoinSet::new(),
            stop: CancellationToken::new(),
            counts: Arc::default(),
        };
        for index in 0..workers {
            let worker = Worker {
                client: client.clone(),
                collection: widgets(OURS, namespace),
                name: format!("load-{index}"),
                counts: load.counts.clone(),
            };
            load.workers.spawn(worker.run(load.stop.clone()));
        }
        load
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

    /// Stops the clients; returns the numbers of requests and of retries.
    ///
    /// # Errors
    /// With the error of a client, if one has failed.
    pub(crate) async fn finish(mut self) -> Result<(u64, u64)> {
        self.stop.cancel();
        while let Some(ended) = self.workers.join_next().await {
            ended.context("a client panicked")??;
        }
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Ok((count(&self.counts.requests), count(&self.counts.retries)))
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
