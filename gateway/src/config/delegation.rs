//! Flags of delegated authentication and authorization, with the names and defaults of
//! `k8s.io/apiserver/pkg/server/options`.

use std::path::PathBuf;
use std::time::Duration;

use clap::ArgAction::Set;

use super::Error;
use crate::authz::{AlwaysAllowPaths, CacheTtl};
use crate::kube::Kubeconfigs;
use crate::request::deadline::parse_go_duration;

/// Lifetime of cached reviews: `CacheTTL`, `AllowCacheTTL` and `DenyCacheTTL` of `k8s.io/apiserver`.
const CACHE_TTL: Duration = Duration::from_secs(10);

/// Flags that select the cluster whose kube-apiserver authenticates and authorizes.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Cluster")]
pub struct DelegationFlags {
    /// kubeconfig of the cluster; in a pod, the default is its service account.
    #[arg(long, env = "ARK_KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// kubeconfig for TokenReviews and the authentication ConfigMap, if not that of the cluster.
    #[arg(long, env = "ARK_AUTHENTICATION_KUBECONFIG", value_name = "FILE")]
    pub authentication_kubeconfig: Option<PathBuf>,

    /// kubeconfig for SubjectAccessReviews, if not that of the cluster.
    #[arg(long, env = "ARK_AUTHORIZATION_KUBECONFIG", value_name = "FILE")]
    pub authorization_kubeconfig: Option<PathBuf>,

    /// Do not read client and front proxy authorities from the cluster.
    #[arg(long, env = "ARK_AUTHENTICATION_SKIP_LOOKUP", action = Set, default_value_t = false, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub authentication_skip_lookup: bool,

    /// Start even if the authorities cannot be read from the cluster; they are read later.
    #[arg(long, env = "ARK_AUTHENTICATION_TOLERATE_LOOKUP_FAILURE", action = Set, default_value_t = false, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub authentication_tolerate_lookup_failure: bool,

    /// How long reviewed tokens are cached; 0 does not cache.
    #[arg(long, env = "ARK_AUTHENTICATION_TOKEN_WEBHOOK_CACHE_TTL", value_name = "DURATION", default_value = "10s", value_parser = parse_go_duration)]
    pub authentication_token_webhook_cache_ttl: Duration,

    /// How long allowing decisions are cached; 0 does not cache.
    #[arg(long, env = "ARK_AUTHORIZATION_WEBHOOK_CACHE_AUTHORIZED_TTL", value_name = "DURATION", default_value = "10s", value_parser = parse_go_duration)]
    pub authorization_webhook_cache_authorized_ttl: Duration,

    /// How long other decisions are cached; 0 does not cache.
    #[arg(long, env = "ARK_AUTHORIZATION_WEBHOOK_CACHE_UNAUTHORIZED_TTL", value_name = "DURATION", default_value = "10s", value_parser = parse_go_duration)]
    pub authorization_webhook_cache_unauthorized_ttl: Duration,

    /// Paths that are authorized without asking the cluster; a trailing `*` stands for any rest.
    #[arg(
        long,
        env = "ARK_AUTHORIZATION_ALWAYS_ALLOW_PATHS",
        value_name = "PATHS",
        value_delimiter = ',',
        default_value = "/healthz,/readyz,/livez"
    )]
    pub authorization_always_allow_paths: Vec<String>,

    /// Do not authorize requests of a front proxy again: kube-apiserver has authorized them. Sound
    /// only if no other client holds a certificate of a front proxy.
    #[arg(long, env = "ARK_AUTHORIZATION_TRUST_FRONT_PROXY", action = Set, default_value_t = false, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub authorization_trust_front_proxy: bool,
}

/// How a server uses its cluster. The default has no kubeconfig.
#[derive(Debug, Clone)]
pub struct Delegation {
    /// Kubeconfig files.
    pub kubeconfigs: Kubeconfigs,
    /// Whether authorities are not read from the cluster.
    pub skip_lookup: bool,
    /// Whether the server starts without them.
    pub tolerate_lookup_failure: bool,
    /// Lifetime of cached tokens.
    pub token_ttl: Duration,
    /// Lifetime of cached decisions.
    pub decision_ttl: CacheTtl,
    /// Paths that everybody may request.
    pub always_allow_paths: AlwaysAllowPaths,
    /// Whether requests of a front proxy are not authorized again.
    pub trust_front_proxy: bool,
}

impl DelegationFlags {
    pub(super) fn delegation(&self) -> Result<Delegation, Error> {
        let paths = self.authorization_always_allow_paths.iter();
        Ok(Delegation {
            kubeconfigs: Kubeconfigs {
                core: self.kubeconfig.clone(),
                authentication: self.authentication_kubeconfig.clone(),
                authorization: self.authorization_kubeconfig.clone(),
            },
            skip_lookup: self.authentication_skip_lookup,
            tolerate_lookup_failure: self.authentication_tolerate_lookup_failure,
            token_ttl: self.authentication_token_webhook_cache_ttl,
            decision_ttl: CacheTtl {
                authorized: self.authorization_webhook_cache_authorized_ttl,
                unauthorized: self.authorization_webhook_cache_unauthorized_ttl,
            },
            always_allow_paths: AlwaysAllowPaths::new(paths.map(String::as_str))?,
            trust_front_proxy: self.authorization_trust_front_proxy,
        })
    }
}

impl Default for Delegation {
    fn default() -> Self {
        Self {
            kubeconfigs: Kubeconfigs::default(),
            skip_lookup: false,
            tolerate_lookup_failure: false,
            token_ttl: CACHE_TTL,
            decision_ttl: CacheTtl {
                authorized: CACHE_TTL,
                unauthorized: CACHE_TTL,
            },
            always_allow_paths: AlwaysAllowPaths::default(),
            trust_front_proxy: false,
        }
    }
}
