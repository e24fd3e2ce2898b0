//! `adopt` and `return`.

use std::path::PathBuf;

use clap::Args;

use super::{Cluster, Etcd, From, GATEWAY, To};

/// Flags of the gateway that takes the kinds over.
#[derive(Debug, Args)]
pub struct Gateway {
    /// Namespace and name of the gateway's Service. The state of the move is a ConfigMap of this
    /// namespace.
    #[arg(
        long,
        value_name = "NAMESPACE/NAME",
        default_value = "ark-system/ark-apiserver",
        value_parser = service,
        help_heading = GATEWAY
    )]
    pub service: (String, String),
    /// Port of the Service.
    #[arg(long, value_name = "PORT", default_value_t = 443, help_heading = GATEWAY)]
    pub service_port: u16,
    /// Address at which arkctl reaches the gateway, such as that of `kubectl port-forward`. Its
    /// certificate must have the name that kube-apiserver verifies, NAME.NAMESPACE.svc. Default:
    /// `https://NAME.NAMESPACE.svc:PORT`, which is reachable from pods.
    #[arg(long, value_name = "URL", help_heading = GATEWAY)]
    pub gateway: Option<String>,
    /// Authority of the gateway's certificate, PEM. Default: ca.crt of the Secret NAME-tls in the
    /// namespace of the Service, which the chart's default TLS mode fills.
    #[arg(long, value_name = "FILE", help_heading = GATEWAY)]
    pub gateway_ca: Option<PathBuf>,
}

/// `adopt`.
#[derive(Debug, Args)]
#[command(after_help = ADOPT_HELP)]
pub struct Adopt {
    /// Cluster whose CRDs hold the kinds.
    #[command(flatten)]
    pub cluster: Cluster,
    /// The gateway's store.
    #[command(flatten)]
    pub to: To,
    /// The gateway.
    #[command(flatten)]
    pub gateway: Gateway,
    /// Report all obstacles, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Print the steps, and change nothing.
    #[arg(long, conflicts_with = "dry_run")]
    pub plan: bool,
    /// Undo an unfinished adoption: open the CRDs for writes again. Not possible once the first
    /// APIService has been changed: use `arkctl return`.
    #[arg(long, conflicts_with_all = ["dry_run", "plan"])]
    pub undo: bool,
    /// Do not close the CRDs by a ValidatingAdmissionPolicy, for clusters before 1.30. You must stop
    /// all writers yourself; restarts of kube-apiserver may then accept writes that are lost.
    #[arg(long)]
    pub without_policy: bool,
    /// Make the store's objects of the groups equal to the CRDs', although no earlier move has put
    /// them there.
    #[arg(long)]
    pub overwrite_store: bool,
    /// Accept that the gateway's definitions lack fields of the CRDs: it drops them at the next
    /// write of an object.
    #[arg(long)]
    pub accept_lost_fields: bool,
}

const ADOPT_HELP: &str = "\
The command may be killed and given again at any time; it carries on. While it runs, clients work with
the CRDs; writes are rejected for some seconds before the gateway takes over.";

/// `return`.
#[derive(Debug, Args)]
#[command(mut_arg("etcd", |arg| arg.required(true)))]
#[command(after_help = RETURN_HELP)]
pub struct Return {
    /// The gateway's store.
    #[command(flatten)]
    pub from: From,
    /// Cluster whose CRDs get the objects.
    #[command(flatten)]
    pub cluster: Cluster,
    /// The cluster's etcd.
    #[command(flatten)]
    pub etcd: Etcd,
    /// The gateway.
    #[command(flatten)]
    pub gateway: Gateway,
    /// New file for the objects of the CRDs that are replaced or deleted, one JSON object per line.
    /// Default: crd-objects-TIME.jsonl in the current directory.
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// How long the gateway rejects requests at least, so that every client notices before the CRDs
    /// respond again: client-go pauses up to 30 s between attempts.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub goodbye: u64,
    /// Report all obstacles and the changes of the CRDs, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Print the steps, and change nothing.
    #[arg(long, conflicts_with = "dry_run")]
    pub plan: bool,
}

const RETURN_HELP: &str = "\
The command may be killed and given again at any time; it carries on. Requests for the kinds are
rejected with 503 from the fence until the CRDs respond.";

/// Parses the name of a Service.
fn service(text: &str) -> Result<(String, String), String> {
    match text.split_once('/') {
        Some((namespace, name))
            if !namespace.is_empty() && !name.is_empty() && !name.contains('/') =>
        {
            Ok((namespace.to_owned(), name.to_owned()))
        }
        _ => Err("must be NAMESPACE/NAME".to_owned()),
    }
}
