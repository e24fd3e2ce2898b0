//! Listening address: a unix socket for the same pod, or TCP with mutual TLS.

use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tokio::net::{TcpListener, UnixListener, UnixStream};
use tonic::transport::{Certificate, Identity, ServerTlsConfig};

use crate::config::Options;

/// Error of binding the listening address; the message is for operators.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is neither `unix://` nor `tcp://`.
    #[error("--listen {0}: must be unix:///PATH or tcp://HOST:PORT")]
    Address(String),
    /// A file for mutual TLS is missing.
    #[error("--listen {0}: tcp:// needs --tls-cert, --tls-key and --tls-client-ca")]
    NoTls(String),
    /// A certificate or key cannot be read.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// Path of the file.
        path: PathBuf,
        /// Cause of the failure.
        source: std::io::Error,
    },
    /// Another process serves at the address, or another file is in its place.
    #[error("cannot listen on {address}: {problem}")]
    Bind {
        /// Address to listen on.
        address: String,
        /// Obstacle, and how to remove it.
        problem: String,
    },
}

/// A bound address.
#[derive(Debug)]
pub enum Listener {
    /// A unix socket; the file is removed when the kit stops.
    Unix(UnixListener, PathBuf),
    /// TCP, with mandatory mutual TLS.
    Tcp(TcpListener, Box<ServerTlsConfig>),
}

impl Listener {
    /// Binds `options.listen`.
    ///
    /// # Errors
    /// If the address is malformed, in use, or lacks its certificates.
    pub async fn bind(options: &Options) -> Result<Self, Error> {
        let address = options.listen.as_str();
        if let Some(path) = address.strip_prefix("unix://") {
            let path = PathBuf::from(path);
            if !path.is_absolute() {
                return Err(Error::Address(address.to_owned()));
            }
            return Ok(Self::Unix(bind_unix(&path).await?, path));
        }
        let socket: SocketAddr = address
            .strip_prefix("tcp://")
            .and_then(|socket| socket.parse().ok())
            .ok_or_else(|| Error::Address(address.to_owned()))?;
        let tls = tls(options)?;
        let listener = TcpListener::bind(socket)
            .await
            .map_err(|error| refuse(address, error.to_string()))?;
        Ok(Self::Tcp(listener, Box::new(tls)))
    }
}

/// Whether the peer process may use the socket: the driver's own user, root, or the allowed user
/// id.
pub(crate) fn is_permitted(stream: &UnixStream, allowed: Option<u32>) -> bool {
    let ours = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| {
        let uid = peer.uid();
        uid == ours || uid == 0 || Some(uid) == allowed
    })
}

async fn bind_unix(path: &Path) -> Result<UnixListener, Error> {
    let name = path.display().to_string();
    if let Ok(found) = std::fs::symlink_metadata(path) {
        if !found.file_type().is_socket() {
            return Err(refuse(&name, "a file that is not a socket exists there"));
        }
        if UnixStream::connect(path).await.is_ok() {
            return Err(refuse(&name, "another process serves there: stop it first"));
        }
        // Socket of a killed process: nothing accepts on it.
        std::fs::remove_file(path).map_err(|error| refuse(&name, error.to_string()))?;
    }
    let listener = UnixListener::bind(path).map_err(|error| refuse(&name, error.to_string()))?;
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(path, mode).map_err(|error| refuse(&name, error.to_string()))?;
    Ok(listener)
}

fn tls(options: &Options) -> Result<ServerTlsConfig, Error> {
    let files = (&options.tls_cert, &options.tls_key, &options.tls_client_ca);
    let (Some(cert), Some(key), Some(ca)) = files else {
        return Err(Error::NoTls(options.listen.clone()));
    };
    let identity = Identity::from_pem(read(cert)?, read(key)?);
    Ok(ServerTlsConfig::new()
        .identity(identity)
        .client_ca_root(Certificate::from_pem(read(ca)?)))
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::Unreadable {
        path: path.to_path_buf(),
        source,
    })
}

fn refuse(address: &str, problem: impl Into<String>) -> Error {
    Error::Bind {
        address: address.to_owned(),
        problem: problem.into(),
    }
}
