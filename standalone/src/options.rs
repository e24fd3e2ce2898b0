//! Flags of `standalone`.

use std::path::PathBuf;
use std::time::Duration;

use gateway::auth::RequestHeaders;
use gateway::backend::Endpoint;
use gateway::config::{
    self, Admission, AuditFlags, Delegation, Kinds, Monitoring, Server, TracingFlags, Tuning,
};
use gateway::serving::tls;
use pki::Pki;

use crate::kinds::BUILT_IN;
use crate::{AdvertiseUrl, Choice, Driver, Dsn, Error, Listen, Name};

/// Heading of the flags of the storage driver.
const DRIVER: &str = "Storage driver";

/// Flags of `standalone`.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Serving")]
pub struct Standalone {
    /// Directory of the database, keys and kubeconfig; created if absent.
    #[arg(long, env = "ARK_DATA_DIR", value_name = "DIR")]
    pub data_dir: PathBuf,

    /// Address to serve on; port 0 selects a free port.
    #[arg(
        long,
        env = "ARK_LISTEN",
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:6443"
    )]
    pub listen: Listen,

    /// Further name or address in the serving certificate. May be repeated.
    #[arg(long, env = "ARK_TLS_SAN", value_name = "NAME", value_delimiter = ',')]
    pub tls_san: Vec<Name>,

    /// URL of the server in the kubeconfig, for clients of other machines; its host is in the
    /// serving certificate [default: the address of --listen].
    #[arg(long, env = "ARK_ADVERTISE_URL", value_name = "URL")]
    pub advertise_url: Option<AdvertiseUrl>,

    /// Kubeconfig to which the administrator is added; other entries stay [default:
    /// DIR/kubeconfig].
    // Not ARK_KUBECONFIG: that is the flag of `serve`, whose file is read.
    #[arg(long, env = "ARK_STANDALONE_KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// Storage driver: `sqlite` starts backend-sqlite from the directory of this program,
    /// `postgres` starts backend-postgres, `exec:/path/to/driver` starts another driver,
    /// `unix:///SOCKET` uses a running driver.
    #[arg(
        long,
        env = "ARK_BACKEND",
        value_name = "BACKEND",
        default_value = "sqlite",
        help_heading = DRIVER
    )]
    pub backend: Choice,

    /// Database of `--backend postgres`: postgres://USER:PASSWORD@HOST/DATABASE or KEY=VALUE…, as
    /// in libpq. Prefer the variable: every user of this machine can read command lines.
    #[arg(
        long,
        env = "ARK_POSTGRES_DSN",
        value_name = "DSN",
        hide_env_values = true,
        help_heading = DRIVER
    )]
    pub postgres_dsn: Option<Dsn>,

    /// Run no controllers, as a kube-apiserver by itself: no garbage collector, deleted namespaces
    /// stay with their objects, and events do not expire.
    #[arg(long, env = "ARK_NO_CONTROLLERS")]
    pub no_controllers: bool,

    /// The served kinds.
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

impl Standalone {
    /// The storage driver.
    ///
    /// # Errors
    /// If the DSN is missing, or given for another driver.
    pub fn driver(&self) -> Result<Driver, Error> {
        match (&self.backend, &self.postgres_dsn) {
            (Choice::Postgres, Some(dsn)) => Ok(Driver::Postgres(dsn.clone())),
            (Choice::Postgres, None) => Err(Error::NoDsn),
            (Choice::Complete(_), Some(_)) => Err(Error::StrayDsn),
            (Choice::Complete(driver), None) => Ok(driver.clone()),
        }
    }

    /// The manifests of the served kinds, and the kinds of every standalone server.
    #[must_use]
    pub fn served(&self) -> Kinds {
        Kinds {
            built_in: BUILT_IN,
            ..self.kinds.clone()
        }
    }

    /// The names and addresses of the serving certificate.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let mut names = self.listen.names();
        let given = self.tls_san.iter().map(Name::as_str);
        let advertised = self.advertise_url.iter().map(AdvertiseUrl::host);
        for name in given.chain(advertised) {
            if !names.iter().any(|it| it == name) {
                names.push(name.to_owned());
            }
        }
        names
    }

    /// The configuration of the gateway for the driver at `backend` and these certificates.
    ///
    /// # Errors
    /// If flags do not fit together or a file cannot be read.
    pub fn server(&self, backend: Endpoint, pki: &Pki) -> Result<Server, config::Error> {
        Ok(Server {
            backend,
            store: self.tuning.store(),
            kinds: self.served(),
            tls: tls::Files {
                serving: Some(tls::ServingFiles {
                    certificate: pki.server.clone(),
                    private_key: pki.server_key.clone(),
                }),
                client_ca: Some(pki.authority.clone()),
                request_header_ca: None,
                request_headers: RequestHeaders::default(),
            },
            metrics: self.monitoring.metrics_bind_address,
            max_reads: self.tuning.max_requests_inflight,
            max_writes: self.tuning.max_mutating_requests_inflight,
            // Nothing routes requests here that a failing `readyz` would stop.
            shutdown_delay: Duration::ZERO,
            self_managed: None,
            delegation: Delegation::default(),
            admission: Admission::default(),
            audit: self.audit.options()?,
            tracing: self.tracing.options()?,
        })
    }
}
