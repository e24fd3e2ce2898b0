//! The flags.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use http::HeaderName;

use super::{Error, Kinds, Server, Size};
use crate::auth::RequestHeaders;
use crate::backend::Endpoint;
use crate::handlers::Namespaces;
use crate::serving::{limits, tls};
use crate::standalone::pki::Pki;
use crate::standalone::{Driver, Listen};
use crate::store::{Limits, StoreConfig};

/// Serves custom resources whose objects live outside etcd.
#[derive(Debug, Clone, Parser)]
#[command(name = "ark-apiserver", version)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,

    /// What to log: a level, or levels by module as in RUST_LOG.
    #[arg(
        long,
        env = "ARK_LOG",
        global = true,
        default_value = "info",
        value_name = "FILTER"
    )]
    pub log: String,

    /// How to log.
    #[arg(
        long,
        env = "ARK_LOG_FORMAT",
        global = true,
        default_value = "text",
        value_enum
    )]
    pub log_format: LogFormat,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// What the program can do.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Serve on this machine without a cluster: starts the storage driver, makes certificates and
    /// writes a kubeconfig.
    Standalone(Box<Standalone>),
    /// Serve behind a kube-apiserver, from a storage driver that runs already.
    Serve(Box<Serve>),
}

/// Flags of `standalone`.
#[derive(Debug, Clone, Args)]
pub struct Standalone {
    /// Where database, keys and kubeconfig live; made if absent.
    #[arg(long, env = "ARK_DATA_DIR", value_name = "DIR")]
    pub data_dir: PathBuf,

    /// Where to serve; port 0 takes a free one.
    #[arg(
        long,
        env = "ARK_LISTEN",
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:6443"
    )]
    pub listen: Listen,

    /// Where to write the kubeconfig of the administrator [default: DIR/kubeconfig].
    #[arg(long, env = "ARK_KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// Where objects are stored: `sqlite` starts backend-sqlite from beside this program,
    /// `exec:/path/to/driver` another driver, `unix:///SOCKET` uses one that runs already.
    #[arg(
        long,
        env = "ARK_BACKEND",
        value_name = "BACKEND",
        default_value = "sqlite"
    )]
    pub backend: Driver,

    /// Which kinds to serve.
    #[command(flatten)]
    pub kinds: Kinds,

    /// Limits.
    #[command(flatten)]
    pub tuning: Tuning,
}

/// Flags of `serve`.
#[derive(Debug, Clone, Args)]
pub struct Serve {
    /// Where the storage driver listens: `unix:///SOCKET`, or `https://HOST:PORT` with mutual TLS.
    #[arg(long, env = "ARK_BACKEND", value_name = "ADDRESS")]
    pub backend: String,

    /// Authority that signed the storage driver's certificate, PEM.
    #[arg(long, env = "ARK_BACKEND_CA", value_name = "FILE", requires_all = ["backend_cert", "backend_key"])]
    pub backend_ca: Option<PathBuf>,

    /// Certificate shown to the storage driver, PEM.
    #[arg(long, env = "ARK_BACKEND_CERT", value_name = "FILE", requires_all = ["backend_ca", "backend_key"])]
    pub backend_cert: Option<PathBuf>,

    /// Private key of that certificate, PEM.
    #[arg(long, env = "ARK_BACKEND_KEY", value_name = "FILE", requires_all = ["backend_ca", "backend_cert"])]
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
    #[arg(long, env = "ARK_TLS_CERT_FILE", value_name = "FILE")]
    pub tls_cert_file: PathBuf,

    /// Private key of that certificate, PEM.
    #[arg(long, env = "ARK_TLS_PRIVATE_KEY_FILE", value_name = "FILE")]
    pub tls_private_key_file: PathBuf,

    /// Authorities whose certificates identify users, PEM.
    #[arg(long, env = "ARK_CLIENT_CA_FILE", value_name = "FILE")]
    pub client_ca_file: Option<PathBuf>,

    /// Front proxy.
    #[command(flatten)]
    pub front_proxy: FrontProxy,

    /// Which kinds to serve.
    #[command(flatten)]
    pub kinds: Kinds,

    /// Limits.
    #[command(flatten)]
    pub tuning: Tuning,
}

/// Who may speak for users, and in which headers.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Front proxy")]
pub struct FrontProxy {
    /// Authorities whose certificates identify front proxies, PEM.
    #[arg(long, env = "ARK_REQUESTHEADER_CLIENT_CA_FILE", value_name = "FILE")]
    pub requestheader_client_ca_file: Option<PathBuf>,

    /// Common names that a front proxy's certificate may have; any if none is given.
    #[arg(
        long,
        env = "ARK_REQUESTHEADER_ALLOWED_NAMES",
        value_name = "NAMES",
        value_delimiter = ','
    )]
    pub requestheader_allowed_names: Vec<String>,

    /// Headers with the user's name, the first one that is set counts.
    #[arg(
        long,
        env = "ARK_REQUESTHEADER_USERNAME_HEADERS",
        value_name = "NAMES",
        value_delimiter = ',',
        default_value = "X-Remote-User"
    )]
    pub requestheader_username_headers: Vec<String>,

    /// Headers with the user's UID.
    #[arg(
        long,
        env = "ARK_REQUESTHEADER_UID_HEADERS",
        value_name = "NAMES",
        value_delimiter = ',',
        default_value = "X-Remote-Uid"
    )]
    pub requestheader_uid_headers: Vec<String>,

    /// Headers with the user's groups.
    #[arg(
        long,
        env = "ARK_REQUESTHEADER_GROUP_HEADERS",
        value_name = "NAMES",
        value_delimiter = ',',
        default_value = "X-Remote-Group"
    )]
    pub requestheader_group_headers: Vec<String>,

    /// What the names of headers with further attributes of the user begin with.
    #[arg(
        long,
        env = "ARK_REQUESTHEADER_EXTRA_HEADERS_PREFIX",
        value_name = "PREFIXES",
        value_delimiter = ',',
        default_value = "X-Remote-Extra-"
    )]
    pub requestheader_extra_headers_prefix: Vec<String>,
}

/// Limits.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Limits")]
pub struct Tuning {
    /// Requests that only read which may run at once; more are answered 429. 0 is unlimited.
    #[arg(long, env = "ARK_MAX_REQUESTS_INFLIGHT", value_name = "N", default_value_t = limits::MAX_READS)]
    pub max_requests_inflight: usize,

    /// Requests that write which may run at once; more are answered 429. 0 is unlimited.
    #[arg(long, env = "ARK_MAX_MUTATING_REQUESTS_INFLIGHT", value_name = "N", default_value_t = limits::MAX_WRITES)]
    pub max_mutating_requests_inflight: usize,

    /// Memory for past changes, from which watches resume.
    #[arg(long, env = "ARK_WATCH_HISTORY_BYTES", value_name = "BYTES", default_value_t = Size(64 << 20))]
    pub watch_history_bytes: Size,

    /// Memory for objects and past changes together; past changes go first.
    #[arg(long, env = "ARK_WATCH_CACHE_BYTES", value_name = "BYTES", default_value_t = Size(1 << 30))]
    pub watch_cache_bytes: Size,

    /// Past changes that are read at the start, so that watches from before it can resume.
    #[arg(
        long,
        env = "ARK_WATCH_REPLAY",
        value_name = "N",
        default_value_t = 10_000
    )]
    pub watch_replay: u64,
}

impl Standalone {
    /// What the server is built from, with the driver at `backend` and these certificates.
    #[must_use]
    pub fn server(&self, backend: Endpoint, pki: &Pki) -> Server {
        Server {
            backend,
            store: self.tuning.store(),
            kinds: self.kinds.clone(),
            tls: tls::Files {
                certificate: pki.server.clone(),
                private_key: pki.server_key.clone(),
                client_ca: Some(pki.authority.clone()),
                request_header_ca: None,
            },
            request_headers: None,
            max_reads: self.tuning.max_requests_inflight,
            max_writes: self.tuning.max_mutating_requests_inflight,
            namespaces: Namespaces::Implicit,
        }
    }
}

impl Serve {
    /// What the server is built from.
    ///
    /// # Errors
    /// If flags do not fit together or a file cannot be read.
    pub fn server(&self) -> Result<Server, Error> {
        let proxy = &self.front_proxy;
        let request_header_ca = proxy.requestheader_client_ca_file.clone();
        if self.client_ca_file.is_none() && request_header_ca.is_none() {
            return Err(Error::NoAuthority);
        }
        let request_headers = request_header_ca.as_ref().map(|_| proxy.headers());
        Ok(Server {
            backend: self.endpoint()?,
            store: self.tuning.store(),
            kinds: self.kinds.clone(),
            tls: tls::Files {
                certificate: self.tls_cert_file.clone(),
                private_key: self.tls_private_key_file.clone(),
                client_ca: self.client_ca_file.clone(),
                request_header_ca,
            },
            request_headers: request_headers.transpose()?,
            max_reads: self.tuning.max_requests_inflight,
            max_writes: self.tuning.max_mutating_requests_inflight,
            namespaces: Namespaces::OfCluster,
        })
    }

    fn endpoint(&self) -> Result<Endpoint, Error> {
        let endpoint: Endpoint = self.backend.parse()?;
        let files = (&self.backend_ca, &self.backend_cert, &self.backend_key);
        let (Some(ca), Some(certificate), Some(key)) = files else {
            return Ok(endpoint);
        };
        let ca = read("--backend-ca", ca)?;
        let certificate = read("--backend-cert", certificate)?;
        Ok(endpoint.with_tls(ca, certificate, read("--backend-key", key)?))
    }
}

impl FrontProxy {
    fn headers(&self) -> Result<RequestHeaders, Error> {
        let username = &self.requestheader_username_headers;
        let uid = &self.requestheader_uid_headers;
        let group = &self.requestheader_group_headers;
        let prefixes = self.requestheader_extra_headers_prefix.iter();
        Ok(RequestHeaders {
            allowed_names: self.requestheader_allowed_names.clone(),
            username: names("requestheader-username-headers", username)?,
            uid: names("requestheader-uid-headers", uid)?,
            group: names("requestheader-group-headers", group)?,
            extra_prefix: prefixes.map(|it| it.to_ascii_lowercase()).collect(),
        })
    }
}

impl Tuning {
    const fn store(&self) -> StoreConfig {
        StoreConfig {
            limits: Limits {
                history: self.watch_history_bytes.0,
                total: self.watch_cache_bytes.0,
            },
            replay: self.watch_replay,
        }
    }
}

fn names(flag: &'static str, names: &[String]) -> Result<Vec<HeaderName>, Error> {
    let parsed = names.iter().map(|name| {
        HeaderName::try_from(name.as_str()).map_err(|_| Error::HeaderName {
            flag,
            name: name.clone(),
        })
    });
    parsed.collect()
}

fn read(flag: &'static str, path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::Unreadable {
        flag,
        path: path.to_owned(),
        source,
    })
}
