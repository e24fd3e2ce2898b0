//! When certificates expire, as a metric.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use time::OffsetDateTime;

use crate::telemetry::Metrics;

/// What a certificate is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The chain that clients verify.
    Serving,
    /// The authority of a self-managed certificate.
    SelfManagedCa,
    /// Authorities of users.
    ClientCa,
    /// Authorities of front proxies.
    FrontProxyCa,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Label {
    certificate: &'static str,
}

/// The metric; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Expirations(Family<Label, Gauge>);

impl Expirations {
    /// Registers `ark_certificate_expiration_timestamp_seconds`.
    #[must_use]
    pub fn new(metrics: &Metrics) -> Self {
        let family = Family::default();
        metrics.register(|registry| {
            let name = "ark_certificate_expiration_timestamp_seconds";
            let help = "When the first certificate of a file, bundle or Secret expires, in seconds \
                        since 1970";
            registry.register(name, help, family.clone());
        });
        Self(family)
    }

    /// Sets the time of a certificate.
    pub fn set(&self, subject: Subject, expires: OffsetDateTime) {
        self.set_seconds(subject, Some(expires.unix_timestamp()));
    }

    /// Sets the time of a certificate in seconds since 1970, or removes it.
    pub(super) fn set_seconds(&self, subject: Subject, expires: Option<i64>) {
        let certificate = match subject {
            Subject::Serving => "serving",
            Subject::SelfManagedCa => "self-managed-ca",
            Subject::ClientCa => "client-ca",
            Subject::FrontProxyCa => "front-proxy-ca",
        };
        let label = Label { certificate };
        match expires {
            Some(seconds) => {
                self.0.get_or_create(&label).set(seconds);
            }
            None => {
                self.0.remove(&label);
            }
        }
    }
}
