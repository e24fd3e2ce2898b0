//! `import-crds`, `export-crds`, and flags of clusters.

use std::path::PathBuf;

use clap::Args;

use super::{CLUSTER, ETCD, From, To};

/// Flags of the cluster and its kinds.
#[derive(Debug, Args)]
pub struct Cluster {
    /// Kubeconfig of the cluster, with a client certificate or a token.
    #[arg(long, value_name = "FILE", env = "KUBECONFIG", help_heading = CLUSTER)]
    pub kubeconfig: PathBuf,
    /// API group of the CRDs; may be given several times.
    #[arg(
        id = "group",
        long = "group",
        default_value = "ark.mckinsey.com",
        value_name = "GROUP",
        help_heading = CLUSTER
    )]
    pub groups: Vec<String>,
}

/// Flags of the cluster's etcd.
#[derive(Debug, Args)]
#[group(skip)]
pub struct Etcd {
    /// Write into the cluster's etcd (http:// or https://HOST:PORT), bypassing kube-apiserver: this
    /// keeps uids, timestamps, status and managedFields.
    #[arg(long, value_name = "ENDPOINT", value_parser = etcd, help_heading = ETCD)]
    pub etcd: Option<String>,
    /// Certificate authority of etcd, PEM; for https.
    #[arg(
        long,
        value_name = "FILE",
        requires_all = ["etcd", "etcd_cert", "etcd_key"],
        help_heading = ETCD
    )]
    pub etcd_ca: Option<PathBuf>,
    /// Client certificate for etcd, PEM.
    #[arg(
        long,
        value_name = "FILE",
        requires_all = ["etcd", "etcd_ca", "etcd_key"],
        help_heading = ETCD
    )]
    pub etcd_cert: Option<PathBuf>,
    /// Private key of the client certificate, PEM.
    #[arg(
        long,
        value_name = "FILE",
        requires_all = ["etcd", "etcd_ca", "etcd_cert"],
        help_heading = ETCD
    )]
    pub etcd_key: Option<PathBuf>,
    /// Value of kube-apiserver's --etcd-prefix.
    #[arg(
        long,
        default_value = "/registry",
        value_name = "PREFIX",
        requires = "etcd",
        help_heading = ETCD
    )]
    pub etcd_prefix: String,
}

/// `import-crds`.
#[derive(Debug, Args)]
#[command(mut_arg("to-data-dir", |arg| arg.visible_alias("data-dir")))]
#[command(mut_arg("to-ca", |arg| arg.visible_alias("ca")))]
#[command(mut_arg("to-cert", |arg| arg.visible_alias("cert")))]
#[command(mut_arg("to-key", |arg| arg.visible_alias("key")))]
pub struct ImportCrds {
    /// Source cluster.
    #[command(flatten)]
    pub cluster: Cluster,
    /// Target store.
    #[command(flatten)]
    pub to: To,
    /// Write the differences into a store that is not empty, such as one of an earlier import.
    #[arg(long)]
    pub incremental: bool,
    /// Report what would be imported, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// `export-crds`.
#[derive(Debug, Args)]
#[command(mut_arg("from-data-dir", |arg| arg.visible_alias("data-dir")))]
#[command(mut_arg("from-ca", |arg| arg.visible_alias("ca")))]
#[command(mut_arg("from-cert", |arg| arg.visible_alias("cert")))]
#[command(mut_arg("from-key", |arg| arg.visible_alias("key")))]
pub struct ExportCrds {
    /// Source store.
    #[command(flatten)]
    pub from: From,
    /// Target cluster.
    #[command(flatten)]
    pub cluster: Cluster,
    /// The cluster's etcd.
    #[command(flatten)]
    pub etcd: Etcd,
    /// With --etcd: also replace objects that differ, and delete objects that the store does not
    /// have. They are saved first.
    #[arg(long, requires = "etcd")]
    pub replace: bool,
    /// With --replace: new file for the former objects, one JSON object per line. Default:
    /// crd-objects-TIME.jsonl in the current directory.
    #[arg(long, requires = "replace", value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// With --etcd: accept objects in the CRDs that the store does not have.
    #[arg(long, requires = "etcd", conflicts_with = "replace")]
    pub keep_others: bool,
    /// Report what would be exported and what would be rejected, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// Parses an address of etcd.
fn etcd(text: &str) -> Result<String, String> {
    let host = ["http://", "https://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme));
    if host.is_some_and(|host| !host.is_empty()) {
        Ok(text.to_owned())
    } else {
        Err("must be http://HOST:PORT or https://HOST:PORT".to_owned())
    }
}
