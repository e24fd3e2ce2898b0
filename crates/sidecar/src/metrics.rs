//! Metrics of the kit, and a minimal HTTP listener for them.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::driver::DriverHealth;

/// Timeout of one scrape.
const SCRAPE_TIMEOUT: Duration = Duration::from_secs(5);

/// Concurrent scrapes; further connections wait in the accept queue.
const SCRAPES: usize = 8;

/// Metrics of the kit; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    registry: Arc<Mutex<Registry>>,
    batches: Histogram,
    events: Counter,
    log_reads: Counter,
    lists: Counter,
    gets: Counter,
    watches: Gauge,
    ready: Gauge,
    fenced: Gauge,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("ark_backend");
        let batches = Histogram::new(exponential_buckets(1.0, 2.0, 9));
        let metrics = Self {
            batches: batches.clone(),
            events: Counter::default(),
            log_reads: Counter::default(),
            lists: Counter::default(),
            gets: Counter::default(),
            watches: Gauge::default(),
            ready: Gauge::default(),
            fenced: Gauge::default(),
            registry: Arc::default(),
        };
        registry.register("batch_ops", "Operations per commit", batches);
        registry.register(
            "events",
            "Changes committed by this process",
            metrics.events.clone(),
        );
        registry.register(
            "log_reads",
            "Reads of the change log",
            metrics.log_reads.clone(),
        );
        registry.register("lists", "Lists started", metrics.lists.clone());
        registry.register("gets", "Records requested by key", metrics.gets.clone());
        registry.register("watches", "Open watches", metrics.watches.clone());
        registry.register(
            "ready",
            "1 while the store serves reads",
            metrics.ready.clone(),
        );
        registry.register(
            "fenced",
            "1 while a fence rejects all writes",
            metrics.fenced.clone(),
        );
        *metrics.registry.lock() = registry;
        metrics
    }

    pub(crate) fn batch(&self, ops: usize) {
        self.batches.observe(ops as f64);
    }

    pub(crate) fn committed(&self, events: usize) {
        self.events.inc_by(events as u64);
    }

    pub(crate) fn log_read(&self) {
        self.log_reads.inc();
    }

    pub(crate) fn list(&self) {
        self.lists.inc();
    }

    pub(crate) fn get(&self) {
        self.gets.inc();
    }

    /// Records the published health.
    pub(crate) fn health(&self, health: &DriverHealth) {
        let (ready, fenced) = match health {
            DriverHealth::Ready | DriverHealth::NoSpace(_) => (1, 0),
            DriverHealth::Fenced(_) => (1, 1),
            DriverHealth::NotReady(_) | DriverHealth::Dead(_) => (0, 0),
        };
        self.ready.set(ready);
        self.fenced.set(fenced);
    }

    /// Counts an open watch until the guard is dropped.
    pub(crate) fn watch(&self) -> OpenWatch {
        self.watches.inc();
        OpenWatch(self.watches.clone())
    }

    /// Serves the metrics on `listener` until shutdown.
    pub(crate) async fn serve(self, listener: TcpListener, stop: CancellationToken) {
        let mut scrapes = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                Some(_) = scrapes.join_next(), if !scrapes.is_empty() => {}
                accepted = listener.accept(), if scrapes.len() < SCRAPES => {
                    if let Ok((stream, _)) = accepted {
                        let text = self.text();
                        scrapes.spawn(async move {
                            // A slow or disconnected scraper is not an error of the driver.
                            let _ = tokio::time::timeout(SCRAPE_TIMEOUT, answer(stream, text)).await;
                        });
                    }
                }
            }
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &self.registry.lock());
        text
    }
}

/// See [`Metrics::watch`].
#[derive(Debug)]
pub(crate) struct OpenWatch(Gauge);

impl Drop for OpenWatch {
    fn drop(&mut self) {
        self.0.dec();
    }
}

async fn answer(mut stream: TcpStream, text: String) -> std::io::Result<()> {
    let mut request = [0; 4096];
    let mut read = 0;
    while read < request.len() && !request[..read].windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut request[read..]).await? {
            0 => break,
            more => read += more,
        }
    }
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/openmetrics-text; version=1.0.0\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        text.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fence_is_a_metric() {
        let metrics = Metrics::new();
        let why = || "moved".to_owned();
        for (health, ready, fenced) in [
            (DriverHealth::Fenced(why()), 1, 1),
            (DriverHealth::Ready, 1, 0),
            (DriverHealth::NotReady(why()), 0, 0),
            (DriverHealth::Fenced(why()), 1, 1),
        ] {
            metrics.health(&health);
            let text = metrics.text();
            for (name, value) in [("ready", ready), ("fenced", fenced)] {
                let line = format!("\nark_backend_{name} {value}\n");
                assert!(text.contains(&line), "{line} in {text}");
            }
        }
    }
}
