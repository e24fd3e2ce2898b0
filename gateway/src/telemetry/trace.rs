//! Spans of requests and of their calls to the driver, exported by OTLP.
//!
//! Sampling is that of kube-apiserver: a trusted parent decides, otherwise a share of the trace
//! IDs. Spans wait in a bounded queue; those for which it has no room are counted and dropped.

mod context;
mod export;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::metrics::counter::Counter;
use tokio::sync::mpsc;
use tokio::time::Instant;

pub use self::context::Context;
pub use self::export::Exporter;
use super::Metrics;

/// Spans that wait for the exporter: OpenTelemetry's default of `OTEL_BSP_MAX_QUEUE_SIZE`.
const QUEUE: usize = 2048;

/// Configuration of tracing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Host and port of the collector.
    pub endpoint: String,
    /// Requests without a trusted parent that are sampled, per million.
    pub samples_per_million: u32,
}

/// Makes spans; cheap to clone. The default makes none.
#[derive(Debug, Clone, Default)]
pub struct Tracer(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    samples_per_million: u32,
    spans: mpsc::Sender<wire::Span>,
    dropped: Counter,
}

/// A span that is open; it ends when dropped.
#[derive(Debug)]
pub struct Span {
    inner: Arc<Inner>,
    context: Context,
    began: Instant,
    span: wire::Span,
}

/// The span of a request, as the parent of other spans.
#[derive(Debug, Clone)]
pub struct Parent {
    inner: Arc<Inner>,
    context: Context,
}

/// The value of an attribute.
#[derive(Debug, Clone, Copy)]
pub enum Attribute<'a> {
    /// A text.
    Text(&'a str),
    /// A number.
    Number(i64),
}

impl Tracer {
    /// A tracer, and the task that exports its spans.
    #[must_use]
    pub fn new(options: &Options, metrics: &Metrics) -> (Self, Exporter) {
        let (spans, received) = mpsc::channel(QUEUE);
        let dropped = Counter::default();
        metrics.register(|registry| {
            let help = "Spans that were dropped, because the collector is slow or unreachable";
            registry.register("ark_dropped_spans", help, dropped.clone());
        });
        let exporter = Exporter::new(&options.endpoint, received, dropped.clone());
        let inner = Inner {
            samples_per_million: options.samples_per_million,
            spans,
            dropped,
        };
        (Self(Some(Arc::new(inner))), exporter)
    }

    /// Whether spans are made at all.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// The span of a request that was received at `began`; `None` if it is not sampled. `parent` is
    /// that of a trusted client.
    #[must_use]
    pub fn server(
        &self,
        parent: Option<Context>,
        began: Instant,
        name: impl FnOnce() -> String,
    ) -> Option<Span> {
        let inner = self.0.as_ref()?;
        let context = match parent {
            Some(parent) => parent.child(),
            None => Context::root(inner.samples_per_million),
        };
        if !context.is_sampled() {
            return None;
        }
        let kind = wire::Kind::Server;
        Some(Span::begin(inner, context, parent, began, kind, name()))
    }
}

impl Span {
    fn begin(
        inner: &Arc<Inner>,
        context: Context,
        parent: Option<Context>,
        began: Instant,
        kind: wire::Kind,
        name: String,
    ) -> Self {
        let span = wire::Span {
            trace_id: context.trace_id().to_vec(),
            span_id: context.span_id().to_vec(),
            parent_span_id: parent.map_or_else(Vec::new, |parent| parent.span_id().to_vec()),
            name,
            kind: kind as i32,
            start: nanoseconds(began.elapsed()),
            ..wire::Span::default()
        };
        Self {
            inner: Arc::clone(inner),
            context,
            began,
            span,
        }
    }

    /// Adds an attribute. Empty texts are left out.
    pub fn set(&mut self, key: &str, value: Attribute<'_>) {
        if !matches!(value, Attribute::Text("")) {
            self.span.attributes.push(wire::KeyValue::new(key, value));
        }
    }

    /// Marks the span as failed.
    pub fn fail(&mut self, message: impl Into<String>) {
        self.span.status = Some(wire::Status {
            message: message.into(),
            code: wire::STATUS_ERROR,
        });
    }

    /// The context for other processes.
    #[must_use]
    pub const fn context(&self) -> Context {
        self.context
    }

    /// The span as a parent.
    #[must_use]
    pub fn as_parent(&self) -> Parent {
        Parent {
            inner: Arc::clone(&self.inner),
            context: self.context,
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        let mut span = std::mem::take(&mut self.span);
        let took = self.began.elapsed().as_nanos();
        span.end = span.start + u64::try_from(took).unwrap_or(u64::MAX - span.start);
        if self.inner.spans.try_send(span).is_err() {
            self.inner.dropped.inc();
        }
    }
}

impl Parent {
    /// The span of a call to another process.
    #[must_use]
    pub fn client(&self, name: &str) -> Span {
        let (context, parent) = (self.context.child(), Some(self.context));
        let kind = wire::Kind::Client;
        Span::begin(
            &self.inner,
            context,
            parent,
            Instant::now(),
            kind,
            name.to_owned(),
        )
    }
}

impl PartialEq for Parent {
    fn eq(&self, other: &Self) -> bool {
        self.context == other.context
    }
}

impl Eq for Parent {}

/// The wall clock some time ago, nanoseconds since 1970.
fn nanoseconds(ago: Duration) -> u64 {
    let then = Timestamp::now().checked_sub(ago).unwrap_or_default();
    u64::try_from(then.as_nanosecond()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tracer(samples_per_million: u32) -> (Tracer, Exporter) {
        let options = Options {
            endpoint: "127.0.0.1:1".to_owned(),
            samples_per_million,
        };
        Tracer::new(&options, &Metrics::new())
    }

    #[test]
    fn trusted_parent_or_share_decides() {
        let parent =
            |flags| Context::parse(&format!("00-{}-{}-{flags}", "a".repeat(32), "b".repeat(16)));
        for (samples, parent, expected) in [
            (0, None, false),
            (1_000_000, None, true),
            (0, parent("01"), true),
            (1_000_000, parent("00"), false),
        ] {
            let (tracer, _exporter) = tracer(samples);
            let span = tracer.server(parent, Instant::now(), || "GET".to_owned());
            assert_eq!(span.is_some(), expected, "{samples} {parent:?}");
            if let (Some(span), Some(parent)) = (&span, parent) {
                assert_eq!(span.span.trace_id, parent.trace_id());
                assert_eq!(span.span.parent_span_id, parent.span_id());
            }
        }
        assert!(
            Tracer::default()
                .server(parent("01"), Instant::now(), String::new)
                .is_none()
        );
    }

    #[test]
    fn child_has_the_trace_of_its_parent() {
        let (tracer, _exporter) = tracer(1_000_000);
        let span = tracer
            .server(None, Instant::now(), || "GET".to_owned())
            .unwrap();
        let child = span.as_parent().client("Backend/Write");
        assert_eq!(child.span.trace_id, span.span.trace_id);
        assert_eq!(child.span.parent_span_id, span.span.span_id);
        assert_ne!(child.span.span_id, span.span.span_id);
    }

    #[test]
    fn spans_without_room_are_counted() {
        let (tracer, _exporter) = tracer(1_000_000);
        for _ in 0..QUEUE + 3 {
            drop(tracer.server(None, Instant::now(), || "GET".to_owned()));
        }
        assert_eq!(tracer.0.unwrap().dropped.get(), 3);
    }
}
