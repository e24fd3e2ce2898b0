//! Flags of the self-managed serving certificate.

use crate::kube::ObjectName;
use crate::kube::secret::is_subdomain;
use crate::serving_certificate::SelfManaged;

/// Flags that have the gateway keep its certificate in a Secret. All three are given, or none.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Self-managed certificate")]
pub struct SelfManagedFlags {
    /// Keep an authority and a serving certificate in this Secret, which exists and may be empty,
    /// instead of --tls-cert-file and --tls-private-key-file.
    #[arg(long, env = "ARK_SELF_MANAGED_TLS_SECRET", value_name = "NAMESPACE/NAME", requires_all = ["self_managed_tls_service", "self_managed_tls_apiservices"])]
    pub self_managed_tls_secret: Option<ObjectName>,

    /// The Service whose names the certificate has.
    #[arg(
        long,
        env = "ARK_SELF_MANAGED_TLS_SERVICE",
        value_name = "NAMESPACE/NAME",
        requires = "self_managed_tls_secret"
    )]
    pub self_managed_tls_service: Option<ObjectName>,

    /// APIServices whose caBundle is kept, as VERSION.GROUP.
    #[arg(long, env = "ARK_SELF_MANAGED_TLS_APISERVICES", value_name = "NAMES", value_delimiter = ',', value_parser = api_service, requires = "self_managed_tls_secret")]
    pub self_managed_tls_apiservices: Vec<String>,
}

impl SelfManagedFlags {
    /// `None` if the certificate is in files.
    pub(super) fn config(&self) -> Option<SelfManaged> {
        Some(SelfManaged {
            secret: self.self_managed_tls_secret.clone()?,
            service: self.self_managed_tls_service.clone()?,
            api_services: self.self_managed_tls_apiservices.clone(),
        })
    }
}

fn api_service(text: &str) -> Result<String, String> {
    if text.contains('.') && is_subdomain(text) {
        return Ok(text.to_owned());
    }
    Err("not the name of an APIService: give VERSION.GROUP".to_owned())
}
