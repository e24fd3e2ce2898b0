//! Sends spans to a collector by OTLP over gRPC, without TLS, as kube-apiserver does.

use std::time::Duration;

use http::uri::PathAndQuery;
use prometheus_client::metrics::counter::Counter;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use tonic_prost::ProstCodec;

use super::Attribute;
use super::wire::{
    ExportRequest, ExportResponse, KeyValue, Resource, ResourceSpans, ScopeSpans, Span,
};

/// Spans of one request, and how long it waits for them: OpenTelemetry's defaults of
/// `OTEL_BSP_MAX_EXPORT_BATCH_SIZE` and `OTEL_BSP_SCHEDULE_DELAY`.
const BATCH: usize = 512;
const INTERVAL: Duration = Duration::from_secs(5);
/// Timeout of a request: OpenTelemetry's default.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long the spans that are left at a shutdown may take.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);
const METHOD: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// The task that exports spans.
#[derive(Debug)]
pub struct Exporter {
    endpoint: String,
    spans: mpsc::Receiver<Span>,
    dropped: Counter,
    /// Whether the last request failed, so that a failure is logged once.
    failing: bool,
}

impl Exporter {
    pub(super) fn new(endpoint: &str, spans: mpsc::Receiver<Span>, dropped: Counter) -> Self {
        Self {
            endpoint: endpoint.to_owned(),
            spans,
            dropped,
            failing: false,
        }
    }

    /// Exports spans until cancelled, then those that are left, for a limited time.
    pub async fn run(mut self, stop: CancellationToken) {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.endpoint));
        let channel = match endpoint {
            Ok(endpoint) => endpoint.connect_timeout(TIMEOUT).connect_lazy(),
            Err(error) => {
                // Not reached: the flag was checked.
                tracing::error!(%error, endpoint = self.endpoint, "cannot export spans");
                stop.cancelled().await;
                return;
            }
        };
        let expired = async {
            stop.cancelled().await;
            sleep(FLUSH_TIMEOUT).await;
        };
        tokio::select! {
            () = self.export_all(channel, &stop) => {}
            () = expired => tracing::warn!("spans could not be exported before the shutdown"),
        }
    }

    async fn export_all(&mut self, channel: Channel, stop: &CancellationToken) {
        loop {
            let mut batch = Vec::new();
            let some = stop.run_until_cancelled(self.spans.recv_many(&mut batch, BATCH));
            if some.await.is_none() {
                self.spans.close();
                // Ends at once: nothing enters a closed queue.
                self.spans.recv_many(&mut batch, BATCH).await;
            }
            if batch.is_empty() {
                return;
            }
            let deadline = Instant::now() + INTERVAL;
            while batch.len() < BATCH {
                let room = BATCH - batch.len();
                let more = timeout_at(deadline, self.spans.recv_many(&mut batch, room));
                match stop.run_until_cancelled(more).await {
                    Some(Ok(received)) if received > 0 => {}
                    _ => break,
                }
            }
            self.export(&channel, batch).await;
        }
    }

    async fn export(&mut self, channel: &Channel, batch: Vec<Span>) {
        let count = batch.len();
        let sent = timeout(TIMEOUT, send(channel.clone(), batch)).await;
        let sent = sent.unwrap_or_else(|_| Err(Status::deadline_exceeded("no response in time")));
        let Err(error) = sent else {
            self.failing = false;
            return;
        };
        self.dropped.inc_by(count as u64);
        if !std::mem::replace(&mut self.failing, true) {
            let endpoint = &self.endpoint;
            tracing::warn!(%error, endpoint, "cannot export spans, dropping them");
        }
    }
}

async fn send(channel: Channel, spans: Vec<Span>) -> Result<(), Status> {
    let request = ExportRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes: vec![KeyValue::new(
                    "service.name",
                    Attribute::Text("ark-apiserver"),
                )],
            }),
            scope_spans: vec![ScopeSpans { spans }],
        }],
    };
    let mut client = Grpc::new(channel);
    let ready = client.ready().await;
    ready.map_err(|error| Status::unavailable(error.to_string()))?;
    let codec = ProstCodec::<ExportRequest, ExportResponse>::default();
    let path = PathAndQuery::from_static(METHOD);
    client.unary(Request::new(request), path, codec).await?;
    Ok(())
}
