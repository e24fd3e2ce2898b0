//! Configuration of the clients, from kubeconfig files or the service account of a pod.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ::kube::Config;
use ::kube::config::{InClusterError, KubeConfigOptions, Kubeconfig};
use tokio::sync::Semaphore;

/// Requests that one client has in flight, each on a connection of its own. Further ones wait until
/// their own deadline. There is no limit per second: client-go's 200 per second delay requests under load (kubernetes#79939).
const MAX_IN_FLIGHT: usize = 256;
/// Timeout of a TCP and TLS handshake; below the timeout of a request.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection of which nothing arrives for so long is dead. Longer than the 290 s of a watch.
const READ_TIMEOUT: Duration = Duration::from_secs(300);

/// Kubeconfig files, by purpose.
#[derive(Debug, Clone, Default)]
pub struct Kubeconfigs {
    /// For namespaces, and for the other purposes without a file of their own.
    pub core: Option<PathBuf>,
    /// For TokenReviews, and the trust anchors in a ConfigMap.
    pub authentication: Option<PathBuf>,
    /// For SubjectAccessReviews.
    pub authorization: Option<PathBuf>,
}

/// Clients of kube-apiserver, by purpose; `None` without a cluster.
#[derive(Debug, Clone, Default)]
pub struct Cluster {
    /// For namespaces.
    pub core: Option<Client>,
    /// For TokenReviews, and the trust anchors in a ConfigMap.
    pub authentication: Option<Client>,
    /// For SubjectAccessReviews.
    pub authorization: Option<Client>,
}

/// A client of kube-apiserver with a bound on its requests in flight; cheap to clone.
#[derive(Clone)]
pub struct Client {
    pub(super) inner: ::kube::Client,
    pub(super) in_flight: Arc<Semaphore>,
    server: Arc<str>,
}

/// Why a client cannot be configured. The message names the file.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// A kubeconfig file is missing or invalid.
    #[error("{flag}: cannot use {path}: {reason}", path = path.display())]
    Kubeconfig {
        /// The flag that names the file.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The service account of the pod cannot be used.
    #[error("cannot use the service account of this pod: {0}: mount its token or set --kubeconfig")]
    InCluster(String),
}

// === impl Cluster ===

impl Cluster {
    /// Reads the configuration of each client. A purpose without a file uses `core`'s, and without
    /// that the service account of the pod, as `rest.InClusterConfig` of client-go does. Outside a
    /// pod and without files there are no clients. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// If a file or the service account is unusable. No connection is opened.
    pub async fn configure(files: &Kubeconfigs) -> Result<Self, ConnectError> {
        let core = match &files.core {
            Some(path) => Some(from_file("--kubeconfig", path).await?),
            None => in_cluster()?,
        };
        let mut clients = [None, None];
        let purposes = [
            ("--authentication-kubeconfig", &files.authentication),
            ("--authorization-kubeconfig", &files.authorization),
        ];
        for (client, (flag, file)) in clients.iter_mut().zip(purposes) {
            *client = match file {
                Some(path) => Some(from_file(flag, path).await?),
                None => core.clone(),
            };
        }
        let [authentication, authorization] = clients;
        Ok(Self {
            core,
            authentication,
            authorization,
        })
    }
}

async fn from_file(flag: &'static str, path: &Path) -> Result<Client, ConnectError> {
    let unusable = |reason: String| ConnectError::Kubeconfig {
        flag,
        path: path.to_owned(),
        reason,
    };
    let file = Kubeconfig::read_from(path).map_err(|error| unusable(error.to_string()))?;
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
        .await
        .map_err(|error| unusable(error.to_string()))?;
    Client::new(config).map_err(unusable)
}

/// The service account of the pod; `None` outside a pod and in a pod that mounts none.
fn in_cluster() -> Result<Option<Client>, ConnectError> {
    let config = match Config::incluster_env() {
        Ok(config) => config,
        Err(InClusterError::ReadEnvironmentVariable(_)) => return Ok(None),
        Err(
            InClusterError::ReadDefaultNamespace(error)
            | InClusterError::ReadCertificateBundle(error),
        ) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ConnectError::InCluster(error.to_string())),
    };
    Client::new(config)
        .map(Some)
        .map_err(ConnectError::InCluster)
}

// === impl Client ===

impl Client {
    pub(super) fn new(mut config: Config) -> Result<Self, String> {
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        config.read_timeout = Some(READ_TIMEOUT);
        config.reset_reader_on_write = true;
        // `call` retries as k8s.io/apiserver does, and counts each attempt.
        config.default_retry = false;
        let server = config.cluster_url.to_string().into();
        let inner = ::kube::Client::try_from(config).map_err(|error| error.to_string())?;
        Ok(Self {
            inner,
            in_flight: Arc::new(Semaphore::new(MAX_IN_FLIGHT)),
            server,
        })
    }

    /// The address of kube-apiserver, for logs.
    pub fn server(&self) -> &str {
        &self.server
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Client")
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}
