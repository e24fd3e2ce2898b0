//! Flags of metrics.

use std::net::SocketAddr;

/// Metrics without credentials.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Metrics")]
pub struct Monitoring {
    /// Also serve `/metrics` at this address, over plain HTTP and to every client that reaches it.
    #[arg(long, env = "ARK_METRICS_BIND_ADDRESS", value_name = "HOST:PORT")]
    pub metrics_bind_address: Option<SocketAddr>,
}
