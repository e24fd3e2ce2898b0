//! Flags of `serve`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::{
    AdmissionFlags, AuditFlags, DelegationFlags, Error, FrontProxy, Kinds, Monitoring,
    SelfManagedFlags, Server, TracingFlags, Tuning, read,
};
use crate::backend::{Endpoint, Tls};
use crate::request::deadline::parse_go_duration;
use crate::serving::tls;

/// Default of `--shutdown-delay-duration`. Longer than the interval of kubelet's readiness probes and
/// the propagation of EndpointSlices, so that no kube-apiserver sends a request to a closed port.
/// kube-apiserver's own default is 0; OpenShift settled on 10 to 15 s for aggregated servers.
const SHUTDOWN_DELAY: &str = "15s";

/// Heading of the flags of the storage driver.
const DRIVER: &str = "Storage driver";
/// Heading of the flags of the server.
const SERVING: &str = "Serving";

/// Flags of `serve`.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = SERVING)]
#[command(group(
    clap::ArgGroup::new("serving_certificate")
        .required(true)
        .args(["tls_cert_file", "self_managed_tls_secret"])
))]
pub struct Serve {
    /// Where the storage driver listens: `unix:///SOCKET`, or `https://HOST:PORT` with mutual TLS.
    #[arg(long, env = "ARK_BACKEND", value_name = "ADDRESS", help_heading = DRIVER)]
    pub backend: String,

    /// Authority that signed the storage driver's certificate, PEM.
    #[arg(long, env = "ARK_BACKEND_CA", value_name = "FILE", requires_all = ["backend_cert", "backend_key"], help_heading = DRIVER)]
    pub backend_ca: Option<PathBuf>,

    /// Certificate shown to the storage driver, PEM.
    #[arg(long, env = "ARK_BACKEND_CERT", value_name = "FILE", requires_all = ["backend_ca", "backend_key"], help_heading = DRIVER)]
    pub backend_cert: Option<PathBuf>,

    /// Private key of that certificate, PEM.
    #[arg(long, env = "ARK_BACKEND_KEY", value_name = "FILE", requires_all = ["backend_ca", "backend_cert"], help_heading = DRIVER)]
    pub backend_key: Option<PathBuf>,

    /// Address to serve on.
    #[arg(
        long,
        env = "ARK_BIND_ADDRESS",
        value_name = "IP",
        default_value = "0.0.0.0"
    )]
    pub bind_address: IpAddr,

    /// Port to serve on.
    #[arg(
        long,
        env = "ARK_SECURE_PORT",
        value_name = "PORT",
        default_value_t = 6443
    )]
    pub secure_port: u16,

    /// Certificate shown to clients, PEM, leaf first; read again when it changes.
    #[arg(
        long,
        env = "ARK_TLS_CERT_FILE",
        value_name = "FILE",
        requires = "tls_private_key_file"
    )]
    pub tls_cert_file: Option<PathBuf>,

    /// Private key of that certificate, PEM.
    #[arg(
        long,
        env = "ARK_TLS_PRIVATE_KEY_FILE",
        value_name = "FILE",
        requires = "tls_cert_file"
    )]
    pub tls_private_key_file: Option<PathBuf>,

    /// Self-managed certificate.
    #[command(flatten)]
    pub self_managed: SelfManagedFlags,

    /// Authorities whose certificates identify users, PEM.
    #[arg(long, env = "ARK_CLIENT_CA_FILE", value_name = "FILE", help_heading = SERVING)]
    pub client_ca_file: Option<PathBuf>,

    /// How long requests are served after SIGTERM while /readyz fails, before the drain.
    #[arg(long, env = "ARK_SHUTDOWN_DELAY_DURATION", help_heading = SERVING, value_name = "DURATION", default_value = SHUTDOWN_DELAY, value_parser = parse_go_duration)]
    pub shutdown_delay_duration: Duration,

    /// Cluster.
    #[command(flatten)]
    pub delegation: DelegationFlags,

    /// Admission.
    #[command(flatten)]
    pub admission: AdmissionFlags,

    /// Front proxy.
    #[command(flatten)]
    pub front_proxy: FrontProxy,

    /// Which kinds to serve.
    #[command(flatten)]
    pub kinds: Kinds,

    /// Limits.
    #[command(flatten)]
    pub tuning: Tuning,

    /// Metrics.
    #[command(flatten)]
    pub monitoring: Monitoring,

    /// Audit.
    #[command(flatten)]
    pub audit: AuditFlags,

    /// Tracing.
    #[command(flatten)]
    pub tracing: TracingFlags,
}

impl Serve {
    /// What the server is built from.
    ///
    /// # Errors
    /// If flags do not fit together or a file cannot be read.
    pub fn server(&self) -> Result<Server, Error> {
        let proxy = &self.front_proxy;
        let request_header_ca = proxy.requestheader_client_ca_file.clone();
        Ok(Server {
            backend: self.endpoint()?,
            store: self.tuning.store(),
            kinds: self.kinds.clone(),
            tls: tls::Files {
                serving: self.serving_files(),
                client_ca: self.client_ca_file.clone(),
                request_header_ca,
                request_headers: proxy.headers()?,
            },
            metrics: self.monitoring.metrics_bind_address,
            max_reads: self.tuning.max_requests_inflight,
            max_writes: self.tuning.max_mutating_requests_inflight,
            delegation: self.delegation.delegation()?,
            admission: self.admission.admission()?,
            shutdown_delay: self.shutdown_delay_duration,
            self_managed: self.self_managed.config(),
            audit: self.audit.options()?,
            tracing: self.tracing.options()?,
        })
    }

    fn serving_files(&self) -> Option<tls::ServingFiles> {
        Some(tls::ServingFiles {
            certificate: self.tls_cert_file.clone()?,
            private_key: self.tls_private_key_file.clone()?,
        })
    }

    fn endpoint(&self) -> Result<Endpoint, Error> {
        let files = (&self.backend_ca, &self.backend_cert, &self.backend_key);
        let (Some(ca), Some(certificate), Some(key)) = files else {
            return Ok(self.backend.parse()?);
        };
        let tls = Tls {
            ca: read("--backend-ca", ca)?,
            cert: read("--backend-cert", certificate)?,
            key: read("--backend-key", key)?,
        };
        Ok(Endpoint::parse(&self.backend, Some(&tls))?)
    }
}
