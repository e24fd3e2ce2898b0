//! Metrics of webhooks, with kube-apiserver's names.
//!
//! Names of webhooks are labels, as there: administrators choose them.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use crate::admission::Operation;
use crate::kube::informer::WebhookKind;
use crate::telemetry::Metrics;

/// Buckets of `k8s.io/apiserver/pkg/admission/metrics`, seconds.
const WEBHOOK_BUCKETS: [f64; 8] = [0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10.0, 25.0];
/// Codes above are counted as this one, as in kube-apiserver.
const MAX_CODE: u16 = 600;

/// Counters and durations of webhooks.
#[derive(Debug, Clone)]
pub struct WebhookMetrics {
    durations: Family<Call, Histogram, fn() -> Histogram>,
    requests: Family<Request, Counter>,
    rejections: Family<Rejection, Counter>,
    fail_opens: Family<Hook, Counter>,
    active: Gauge,
    unevaluated: Family<Kind, Gauge>,
}

/// Why a webhook rejected a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ErrorType {
    /// It could not be called.
    Calling,
    /// It cannot be called for this request, or its patch does not apply.
    Internal,
    /// It denied the write.
    None,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Hook {
    name: String,
    r#type: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Call {
    name: String,
    r#type: &'static str,
    operation: &'static str,
    rejected: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    name: String,
    r#type: &'static str,
    operation: &'static str,
    code: u16,
    rejected: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Rejection {
    name: String,
    r#type: &'static str,
    operation: &'static str,
    error_type: &'static str,
    rejection_code: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Mechanism {
    mechanism: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    r#type: &'static str,
}

impl WebhookMetrics {
    /// Registers `apiserver_admission_webhook_*`, and the gauge of the mechanisms that are enforced,
    /// which is 0 for both until webhooks are enforced.
    #[must_use]
    pub fn new(metrics: &Metrics) -> Self {
        let durations: Family<Call, Histogram, fn() -> Histogram> =
            Family::new_with_constructor(|| Histogram::new(WEBHOOK_BUCKETS));
        let enforced = Family::<Mechanism, Gauge>::default();
        // Policies in CEL are not implemented.
        drop(enforced.get_or_create(&Mechanism { mechanism: "cel" }));
        let active = enforced.get_or_create_owned(&Mechanism {
            mechanism: "webhooks",
        });
        let this = Self {
            durations,
            requests: Family::default(),
            rejections: Family::default(),
            fail_opens: Family::default(),
            active,
            unevaluated: Family::default(),
        };
        metrics.register(|registry| {
            registry.register(
                "apiserver_admission_webhook_admission_duration_seconds",
                "Time of a webhook, in seconds",
                this.durations.clone(),
            );
            registry.register(
                "apiserver_admission_webhook_request",
                "Requests to webhooks, by code",
                this.requests.clone(),
            );
            registry.register(
                "apiserver_admission_webhook_rejection_count",
                "Rejections by webhooks, by the type of error and the code",
                this.rejections.clone(),
            );
            registry.register(
                "apiserver_admission_webhook_fail_open_count",
                "Failed calls that were ignored",
                this.fail_opens.clone(),
            );
            registry.register(
                "ark_apiserver_admission_enforcement_active",
                "Whether a mechanism of admission is enforced",
                enforced,
            );
            registry.register(
                "ark_apiserver_admission_unevaluated_match_conditions",
                "Webhooks with matchConditions, which are not evaluated",
                this.unevaluated.clone(),
            );
        });
        this
    }

    /// Sets whether webhooks are enforced.
    pub(super) fn set_active(&self, active: bool) {
        self.active.set(i64::from(active));
    }

    /// Sets the number of webhooks whose conditions are not evaluated.
    pub(super) fn set_unevaluated(&self, kind: WebhookKind, count: usize) {
        let label = Kind { r#type: name(kind) };
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.unevaluated.get_or_create(&label).set(count);
    }

    /// Records a call; `rejected` if it rejects the write.
    pub(super) fn observe(
        &self,
        hook: (&str, WebhookKind),
        operation: Operation,
        took: Duration,
        rejected: bool,
        code: u16,
    ) {
        let rejected = if rejected { "true" } else { "false" };
        let (r#type, operation) = (name(hook.1), operation.as_str());
        let call = Call {
            name: hook.0.to_owned(),
            r#type,
            operation,
            rejected,
        };
        let duration = self.durations.get_or_create(&call);
        duration.observe(took.as_secs_f64());
        let request = Request {
            name: call.name.clone(),
            r#type,
            operation,
            code: code.min(MAX_CODE),
            rejected,
        };
        self.requests.get_or_create(&request).inc();
    }

    /// Counts a rejection.
    pub(super) fn rejected(
        &self,
        hook: (&str, WebhookKind),
        operation: Operation,
        error_type: ErrorType,
        code: u16,
    ) {
        let rejection = Rejection {
            name: hook.0.to_owned(),
            r#type: name(hook.1),
            operation: operation.as_str(),
            error_type: match error_type {
                ErrorType::Calling => "calling_webhook_error",
                ErrorType::Internal => "apiserver_internal_error",
                ErrorType::None => "no_error",
            },
            rejection_code: code.min(MAX_CODE),
        };
        self.rejections.get_or_create(&rejection).inc();
    }

    /// Counts a failed call that was ignored.
    pub(super) fn failed_open(&self, hook: (&str, WebhookKind)) {
        let label = Hook {
            name: hook.0.to_owned(),
            r#type: name(hook.1),
        };
        self.fail_opens.get_or_create(&label).inc();
    }
}

const fn name(kind: WebhookKind) -> &'static str {
    match kind {
        WebhookKind::Mutating => "admit",
        WebhookKind::Validating => "validating",
    }
}
