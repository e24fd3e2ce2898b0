//! The webhook: lists of events, sent to a web server.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::batch::{Batches, encode};
use super::queue::Job;
use super::throttle::Bucket;
use super::{Delivery, Truncate};
use crate::audit::metrics::{Metrics, Plugin};
use crate::kube;

/// Attempts, and the growth of the pauses between them: `DefaultRetryBackoffWithInitialDelay` of
/// `k8s.io/apiserver/pkg/util/webhook`.
const ATTEMPTS: u32 = 5;
const PAUSE_GROWTH: f64 = 1.5;
const PAUSE_JITTER: f64 = 0.2;
/// Batches in flight. kube-apiserver has no limit; the events of these have left the buffer, so
/// that a limit bounds them.
const MAX_CALLS: usize = 8;
const HEAD: &[u8] =
    br#"{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":["#;

/// Configuration of the webhook.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Kubeconfig of the server.
    pub kubeconfig: PathBuf,
    /// Pause before the first retry.
    pub initial_backoff: Duration,
    /// How events reach it.
    pub delivery: Delivery,
    /// Limits of the size of events and batches.
    pub truncate: Option<Truncate>,
}

/// The task of the webhook.
#[derive(Debug)]
pub struct Writer {
    batches: Batches,
    throttle: Option<Bucket>,
    sender: Arc<Sender>,
}

#[derive(Debug)]
struct Sender {
    receiver: kube::Receiver,
    initial_backoff: Duration,
    truncate: Option<Truncate>,
    metrics: Metrics,
}

/// A list of events that is sent at once.
struct List {
    json: Vec<u8>,
    jobs: Vec<Job>,
}

impl Writer {
    pub(in crate::audit) fn new(
        options: &Options,
        receiver: kube::Receiver,
        jobs: mpsc::Receiver<Job>,
        metrics: Metrics,
    ) -> Self {
        Self {
            batches: Batches::new(jobs, options.delivery),
            throttle: options.delivery.throttle.map(Bucket::new),
            sender: Arc::new(Sender {
                receiver,
                initial_backoff: options.initial_backoff,
                truncate: options.truncate,
                metrics,
            }),
        }
    }

    /// Sends events until cancelled, then those that are left.
    pub(in crate::audit) async fn run(mut self, stop: CancellationToken) {
        let mut calls = JoinSet::new();
        while let Some(jobs) = self.batches.next(&stop).await {
            if let Some(bucket) = &mut self.throttle {
                bucket.take().await;
            }
            while calls.len() >= MAX_CALLS {
                calls.join_next().await;
            }
            calls.spawn(Arc::clone(&self.sender).deliver(jobs));
            while calls.try_join_next().is_some() {}
        }
        while calls.join_next().await.is_some() {}
    }
}

impl Sender {
    async fn deliver(self: Arc<Self>, jobs: Vec<Job>) {
        let this = Arc::clone(&self);
        // Up to 10 MiB of JSON.
        let lists = spawn_blocking(move || this.lists(jobs)).await;
        for list in lists.unwrap_or_default() {
            let sent = self.send(list.json.into()).await;
            if let Err(error) = &sent {
                self.metrics.lost(Plugin::Webhook, list.jobs.len(), error);
            }
            list.jobs
                .into_iter()
                .for_each(|job| job.finish(sent.is_ok()));
        }
    }

    /// Encodes events; more than one list if they exceed the limit of a batch.
    fn lists(&self, jobs: Vec<Job>) -> Vec<List> {
        let mut lists: Vec<List> = Vec::new();
        let max = self.truncate.map_or(usize::MAX, |limits| limits.max_batch);
        for job in jobs {
            let mut event = Vec::new();
            if !encode(&job, self.truncate, &self.metrics, &mut event) {
                job.finish(false);
                continue;
            }
            match lists.last_mut() {
                Some(list) if list.json.len() + event.len() <= max => {
                    list.json.push(b',');
                    list.json.extend_from_slice(&event);
                    list.jobs.push(job);
                }
                _ => lists.push(List {
                    json: [HEAD, &event].concat(),
                    jobs: vec![job],
                }),
            }
        }
        let ends = lists.iter_mut();
        ends.for_each(|list| list.json.extend_from_slice(b"]}\n"));
        lists
    }

    /// Sends a list until it is accepted.
    async fn send(&self, list: Bytes) -> Result<(), kube::Error> {
        let mut pause = self.initial_backoff;
        for _ in 1..ATTEMPTS {
            let Err(error) = self.receiver.post(list.clone()).await else {
                return Ok(());
            };
            tracing::debug!(%error, "retrying audit events");
            let random: f64 = rand::random();
            sleep(pause.mul_f64(1.0 + PAUSE_JITTER * random)).await;
            pause = pause.mul_f64(PAUSE_GROWTH);
        }
        self.receiver.post(list).await
    }
}
