//! Flags that name a store.

use std::path::PathBuf;

use clap::Args;

/// Headings of the help.
pub(super) const SOURCE: &str = "Source store";
pub(super) const TARGET: &str = "Target store";
pub(super) const STORE: &str = "Store";

/// Flags of the source store.
#[derive(Debug, Args)]
pub struct From {
    /// Source store: unix:///SOCKET, or https://HOST:PORT with its certificates.
    #[arg(
        id = "from",
        long = "from",
        value_name = "ENDPOINT",
        env = "ARKCTL_FROM",
        required_unless_present = "from-data-dir",
        help_heading = SOURCE
    )]
    pub endpoint: Option<String>,
    /// Source store: that of the `ark-apiserver standalone` which runs on this data directory.
    #[arg(
        id = "from-data-dir",
        long = "from-data-dir",
        value_name = "DIR",
        conflicts_with_all = ["from", "from-ca"],
        help_heading = SOURCE
    )]
    pub data_dir: Option<PathBuf>,
    /// Certificate authority of the source, PEM; for https.
    #[arg(
        id = "from-ca",
        long = "from-ca",
        value_name = "FILE",
        requires_all = ["from-cert", "from-key"],
        help_heading = SOURCE
    )]
    pub ca: Option<PathBuf>,
    /// Client certificate for the source, PEM.
    #[arg(
        id = "from-cert",
        long = "from-cert",
        value_name = "FILE",
        requires_all = ["from-ca", "from-key"],
        help_heading = SOURCE
    )]
    pub cert: Option<PathBuf>,
    /// Private key of the client certificate, PEM.
    #[arg(
        id = "from-key",
        long = "from-key",
        value_name = "FILE",
        requires_all = ["from-ca", "from-cert"],
        help_heading = SOURCE
    )]
    pub key: Option<PathBuf>,
}

/// Flags of the target store.
#[derive(Debug, Args)]
pub struct To {
    /// Target store: unix:///SOCKET, or https://HOST:PORT with its certificates.
    #[arg(
        id = "to",
        long = "to",
        value_name = "ENDPOINT",
        env = "ARKCTL_TO",
        required_unless_present = "to-data-dir",
        help_heading = TARGET
    )]
    pub endpoint: Option<String>,
    /// Target store: that of the `ark-apiserver standalone` which runs on this data directory.
    #[arg(
        id = "to-data-dir",
        long = "to-data-dir",
        value_name = "DIR",
        conflicts_with_all = ["to", "to-ca"],
        help_heading = TARGET
    )]
    pub data_dir: Option<PathBuf>,
    /// Certificate authority of the target, PEM; for https.
    #[arg(
        id = "to-ca",
        long = "to-ca",
        value_name = "FILE",
        requires_all = ["to-cert", "to-key"],
        help_heading = TARGET
    )]
    pub ca: Option<PathBuf>,
    /// Client certificate for the target, PEM.
    #[arg(
        id = "to-cert",
        long = "to-cert",
        value_name = "FILE",
        requires_all = ["to-ca", "to-key"],
        help_heading = TARGET
    )]
    pub cert: Option<PathBuf>,
    /// Private key of the client certificate, PEM.
    #[arg(
        id = "to-key",
        long = "to-key",
        value_name = "FILE",
        requires_all = ["to-ca", "to-cert"],
        help_heading = TARGET
    )]
    pub key: Option<PathBuf>,
}

/// Flags of the store.
#[derive(Debug, Args)]
pub struct At {
    /// Store: unix:///SOCKET, or https://HOST:PORT with its certificates.
    #[arg(
        id = "at",
        long = "at",
        value_name = "ENDPOINT",
        env = "ARKCTL_AT",
        required_unless_present = "data_dir",
        help_heading = STORE
    )]
    pub endpoint: Option<String>,
    /// Store: that of the `ark-apiserver standalone` which runs on this data directory.
    #[arg(
        long,
        value_name = "DIR",
        conflicts_with_all = ["at", "ca"],
        help_heading = STORE
    )]
    pub data_dir: Option<PathBuf>,
    /// Certificate authority of the store, PEM; for https.
    #[arg(
        long,
        value_name = "FILE",
        requires_all = ["cert", "key"],
        help_heading = STORE
    )]
    pub ca: Option<PathBuf>,
    /// Client certificate, PEM.
    #[arg(
        long,
        value_name = "FILE",
        requires_all = ["ca", "key"],
        help_heading = STORE
    )]
    pub cert: Option<PathBuf>,
    /// Private key of the client certificate, PEM.
    #[arg(
        long,
        value_name = "FILE",
        requires_all = ["ca", "cert"],
        help_heading = STORE
    )]
    pub key: Option<PathBuf>,
}
