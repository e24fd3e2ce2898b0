//! Counts each request once, when its response is complete.

use api_types::request_info::{RequestInfo, Verb};
use http::header::CONTENT_TYPE;
use http::{Request, StatusCode};
use tokio::time::Instant;

use crate::telemetry::Metrics;
use crate::telemetry::metrics::{RequestLabels, Watching};

/// Records a request when dropped, if it had a response.
pub(super) struct Observation {
    metrics: Metrics,
    labels: RequestLabels,
    /// Status code; `None` before the response.
    code: Option<u16>,
    received: Instant,
    watching: Option<Watching>,
}

impl Observation {
    /// Starts the measurement; `served` is whether the resource exists, otherwise it is not named.
    pub(super) fn begin<B>(
        metrics: &Metrics,
        info: &RequestInfo,
        request: &Request<B>,
        served: bool,
    ) -> Self {
        let mut labels = RequestLabels {
            verb: verb(info, request),
            component: "apiserver",
            ..RequestLabels::default()
        };
        if served {
            labels.group.clone_from(&info.group);
            labels.version.clone_from(&info.version);
            labels.resource.clone_from(&info.resource);
            if matches!(info.subresource.as_str(), "status" | "scale") {
                labels.subresource.clone_from(&info.subresource);
            }
            labels.scope = scope(info);
        }
        if request
            .uri()
            .query()
            .is_some_and(|query| query.contains("dryRun=All"))
        {
            labels.dry_run = "All";
        }
        Self {
            metrics: metrics.clone(),
            labels,
            code: None,
            received: Instant::now(),
            watching: None,
        }
    }

    /// Records the head of the response.
    pub(super) fn record_response(&mut self, status: StatusCode, long_running: bool) {
        if long_running && status.is_success() {
            self.watching = Some(self.metrics.watch_began(&self.labels));
        }
        self.code = Some(status.as_u16());
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        // None: the client disconnected before the response.
        if let Some(code) = self.code {
            let labels = std::mem::take(&mut self.labels);
            self.metrics
                .record_request(labels, code, self.received.elapsed());
        }
    }
}

fn verb<B>(info: &RequestInfo, request: &Request<B>) -> &'static str {
    let applies = || {
        let kind = request.headers().get(CONTENT_TYPE);
        kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/apply-patch"))
    };
    match &info.verb {
        Verb::Get => "GET",
        Verb::List => "LIST",
        Verb::Watch => "WATCH",
        Verb::Create => "POST",
        Verb::Update => "PUT",
        Verb::Patch if applies() => "APPLY",
        Verb::Patch => "PATCH",
        Verb::Delete => "DELETE",
        Verb::DeleteCollection => "DELETECOLLECTION",
        Verb::Other(_) => "other",
    }
}

fn scope(info: &RequestInfo) -> &'static str {
    if !info.name.is_empty() || info.verb == Verb::Create {
        "resource"
    } else if !info.namespace.is_empty() {
        "namespace"
    } else {
        "cluster"
    }
}
