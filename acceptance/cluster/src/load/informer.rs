//! A watch that resumes like an informer, and must never have to list again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::BytesMut;
use http_body_util::BodyExt as _;
use kube_http::Client;
use serde_json::Value;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

const HEAD_TIMEOUT: Duration = Duration::from_secs(20);
const RETRY_DELAY: Duration = Duration::from_millis(200);
/// Attempts to open a watch before the informer gives up.
const MAX_ATTEMPTS: usize = 50;

/// A watch on one collection.
pub(super) struct Informer {
    pub(super) client: Client,
    pub(super) collection: String,
    /// Version of the last event or list.
    pub(super) version: String,
    /// Objects that were added.
    pub(super) added: Arc<AtomicU64>,
    /// Watches that were opened again.
    pub(super) resumed: Arc<AtomicU64>,
}

impl Informer {
    /// Watches until `stop` is cancelled.
    ///
    /// # Errors
    /// If the server demands a new list, or cannot be watched.
    pub(super) async fn run(mut self, stop: CancellationToken) -> Result<()> {
        let mut attempts = 0;
        loop {
            let Some(ended) = stop.run_until_cancelled(self.watch()).await else {
                return Ok(());
            };
            match ended? {
                true => attempts = 0,
                false => attempts += 1,
            }
            ensure!(attempts < MAX_ATTEMPTS, "cannot watch {}", self.collection);
            self.resumed.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(RETRY_DELAY).await;
        }
    }

    /// Follows one watch to its end; false if it could not be opened.
    async fn watch(&mut self) -> Result<bool> {
        let path = format!(
            "{}?watch=1&allowWatchBookmarks=true&resourceVersion={}",
            self.collection, self.version
        );
        let sent = self.client.send("GET", &path, &[], bytes::Bytes::new());
        let Ok(Ok(response)) = timeout(HEAD_TIMEOUT, sent).await else {
            return Ok(false);
        };
        let status = response.status().as_u16();
        ensure!(status != 410, "watch from {}: 410", self.version);
        if status != 200 {
            return Ok(false);
        }
        let (mut body, mut buffer) = (response.into_body(), BytesMut::new());
        // A broken connection ends the watch like an orderly end.
        while let Some(Ok(frame)) = body.frame().await {
            if let Some(data) = frame.data_ref() {
                buffer.extend_from_slice(data);
            }
            while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                let line = buffer.split_to(end + 1);
                self.event(&serde_json::from_slice(&line)?)?;
            }
        }
        Ok(true)
    }

    fn event(&mut self, event: &Value) -> Result<()> {
        let object = &event["object"];
        match event["type"].as_str() {
            Some("ERROR") => bail!("watch from {}: {object}", self.version),
            Some("ADDED") => {
                self.added.fetch_add(1, Ordering::Relaxed);
            }
            _ => {}
        }
        let version = object["metadata"]["resourceVersion"].as_str();
        self.version = version.context("event without version")?.to_owned();
        Ok(())
    }
}
