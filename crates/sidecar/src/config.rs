//! Flags common to all drivers.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// How the kit serves a driver. Flatten it into the driver's own command line.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Driver")]
pub struct Options {
    /// Where to serve: `unix:///PATH`, or `tcp://HOST:PORT` with mutual TLS.
    #[arg(long, env = "ARK_BACKEND_LISTEN", value_name = "ADDRESS")]
    pub listen: String,

    /// Certificate of this server, PEM; needed for `tcp://`.
    #[arg(long, env = "ARK_BACKEND_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,

    /// Private key of the certificate, PEM; needed for `tcp://`.
    #[arg(long, env = "ARK_BACKEND_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,

    /// Certificate authority of client certificates, PEM; needed for `tcp://`.
    #[arg(long, env = "ARK_BACKEND_TLS_CLIENT_CA", value_name = "FILE")]
    pub tls_client_ca: Option<PathBuf>,

    /// User id that may use the unix socket, besides the driver's own user and root.
    #[arg(long, env = "ARK_BACKEND_ALLOW_UID", value_name = "UID")]
    pub allow_uid: Option<u32>,

    /// Serve Prometheus metrics over plain HTTP at this address.
    #[arg(long, env = "ARK_BACKEND_METRICS_LISTEN", value_name = "HOST:PORT")]
    pub metrics_listen: Option<SocketAddr>,

    /// Keep history for this many seconds.
    #[arg(
        long,
        env = "ARK_BACKEND_KEEP_SECONDS",
        default_value_t = 3600,
        value_name = "N"
    )]
    pub keep_seconds: u64,

    /// Keep at least this many changes, regardless of age.
    #[arg(
        long,
        env = "ARK_BACKEND_KEEP_EVENTS",
        default_value_t = 10_000,
        value_name = "N"
    )]
    pub keep_events: u64,

    /// Shut down when standard input, a pipe, is closed at the other end: the parent process has
    /// ended.
    #[arg(long, env = "ARK_BACKEND_EXIT_ON_STDIN_CLOSE")]
    pub exit_on_stdin_close: bool,
}

impl Options {
    /// Default options for a server at `listen`.
    pub fn at(listen: impl Into<String>) -> Self {
        Self {
            listen: listen.into(),
            tls_cert: None,
            tls_key: None,
            tls_client_ca: None,
            allow_uid: None,
            metrics_listen: None,
            keep_seconds: 3600,
            keep_events: 10_000,
            exit_on_stdin_close: false,
        }
    }

    pub(crate) fn keep(&self) -> Duration {
        Duration::from_secs(self.keep_seconds)
    }
}
