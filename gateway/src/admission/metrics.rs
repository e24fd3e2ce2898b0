//! Metrics of the phases of admission, with kube-apiserver's names.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;

use super::Operation;
use crate::telemetry::Metrics;

/// Buckets of `k8s.io/apiserver/pkg/admission/metrics`, seconds.
const STEP_BUCKETS: [f64; 6] = [0.005, 0.025, 0.1, 0.5, 1.0, 2.5];

/// A phase of admission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Gates and mutating steps.
    Admit,
    /// Validating steps.
    Validate,
}

/// Durations of the phases. A phase without steps for a write is not measured.
#[derive(Debug, Clone)]
pub struct StepMetrics {
    durations: Family<Step, Histogram, fn() -> Histogram>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Step {
    r#type: &'static str,
    operation: &'static str,
    rejected: &'static str,
}

impl StepMetrics {
    /// Registers `apiserver_admission_step_admission_duration_seconds`.
    #[must_use]
    pub fn new(metrics: &Metrics) -> Self {
        let durations: Family<Step, Histogram, fn() -> Histogram> =
            Family::new_with_constructor(|| Histogram::new(STEP_BUCKETS));
        metrics.register(|registry| {
            let name = "apiserver_admission_step_admission_duration_seconds";
            let help = "Time of a phase of admission, in seconds";
            registry.register(name, help, durations.clone());
        });
        Self { durations }
    }

    pub(super) fn observe(
        &self,
        phase: Phase,
        operation: Operation,
        rejected: bool,
        took: Duration,
    ) {
        let step = Step {
            r#type: match phase {
                Phase::Admit => "admit",
                Phase::Validate => "validate",
            },
            operation: operation.as_str(),
            rejected: if rejected { "true" } else { "false" },
        };
        let duration = self.durations.get_or_create(&step);
        duration.observe(took.as_secs_f64());
    }
}
