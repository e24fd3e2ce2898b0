//! Metrics of certificates: when they expire, and reloads of their files.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
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

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reload {
    certificate: &'static str,
    result: &'static str,
}

/// The metrics; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct CertificateMetrics {
    expirations: Family<Label, Gauge>,
    reloads: Family<Reload, Counter>,
}

impl Subject {
    /// Its name in metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::SelfManagedCa => "self-managed-ca",
            Self::ClientCa => "client-ca",
            Self::FrontProxyCa => "front-proxy-ca",
        }
    }
}

impl CertificateMetrics {
    /// Registers `ark_certificate_expiration_timestamp_seconds` and `ark_certificate_reloads_total`.
    #[must_use]
    pub fn new(metrics: &Metrics) -> Self {
        let new = Self::default();
        metrics.register(|registry| {
            let name = "ark_certificate_expiration_timestamp_seconds";
            let help = "When the first certificate of a file, bundle or Secret expires, in seconds \
                        since 1970";
            registry.register(name, help, new.expirations.clone());
            let help = "Reloads of certificates, by file and result";
            registry.register("ark_certificate_reloads", help, new.reloads.clone());
        });
        new
    }

    /// Sets when a certificate expires.
    pub fn set_expiry(&self, subject: Subject, expires: OffsetDateTime) {
        self.set_expiry_seconds(subject, Some(expires.unix_timestamp()));
    }

    /// Sets when a certificate expires in seconds since 1970, or removes the series.
    pub(super) fn set_expiry_seconds(&self, subject: Subject, expires: Option<i64>) {
        let certificate = subject.name();
        let label = Label { certificate };
        match expires {
            Some(seconds) => {
                self.expirations.get_or_create(&label).set(seconds);
            }
            None => {
                self.expirations.remove(&label);
            }
        }
    }

    /// Exports both series of a certificate as 0 before its first reload.
    pub(super) fn announce_reloads(&self, subject: Subject) {
        for succeeded in [true, false] {
            drop(self.reloads.get_or_create(&Reload::new(subject, succeeded)));
        }
    }

    /// Counts a reload.
    pub(super) fn count_reload(&self, subject: Subject, succeeded: bool) {
        self.reloads
            .get_or_create(&Reload::new(subject, succeeded))
            .inc();
    }
}

impl Reload {
    const fn new(subject: Subject, succeeded: bool) -> Self {
        Self {
            certificate: subject.name(),
            result: if succeeded { "success" } else { "failure" },
        }
    }
}
