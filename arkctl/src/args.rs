//! The command line.

use std::path::PathBuf;

use backend_proto::v1::Key;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::key;

/// Looks after the data behind ark-apiserver: backup, restore, moves between drivers and to or from
/// CRDs.
#[derive(Debug, Parser)]
#[command(name = "arkctl", version)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write everything, as it is at one revision, to a file.
    Backup(Backup),
    /// Fill an empty store from a file of `backup`; the epoch is bumped, so that clients list again.
    Restore(Restore),
    /// Copy a store into an empty one, of any driver.
    Copy(Copy),
    /// Read everything, and tell what cannot be read, or what differs from another store.
    Verify(Verify),
    /// Drop history. Current objects are never dropped.
    Compact(Compact),
    /// Every retained change of one object.
    History(History),
    /// Refuse writes, or serve them again.
    Fence(Fence),
    /// Fill an empty store from a cluster that keeps the kinds as CRDs.
    ImportCrds(ImportCrds),
    /// Write everything to a cluster that has the kinds as CRDs.
    ExportCrds(ExportCrds),
}

/// Where to read from.
#[derive(Debug, Args)]
pub struct From {
    /// The store to read: unix:///SOCKET, or https://HOST:PORT with its certificates.
    #[arg(
        id = "from",
        long = "from",
        value_name = "ENDPOINT",
        env = "ARKCTL_FROM"
    )]
    pub endpoint: String,
    /// PEM of the authority of the source's certificate; for https.
    #[arg(
        id = "from-ca",
        long = "from-ca",
        value_name = "FILE",
        requires_all = ["from-cert", "from-key"]
    )]
    pub ca: Option<PathBuf>,
    /// PEM of our certificate for the source.
    #[arg(
        id = "from-cert",
        long = "from-cert",
        value_name = "FILE",
        requires_all = ["from-ca", "from-key"]
    )]
    pub cert: Option<PathBuf>,
    /// PEM of its key.
    #[arg(
        id = "from-key",
        long = "from-key",
        value_name = "FILE",
        requires_all = ["from-ca", "from-cert"]
    )]
    pub key: Option<PathBuf>,
}

/// Where to write.
#[derive(Debug, Args)]
pub struct To {
    /// The store to fill: unix:///SOCKET, or https://HOST:PORT with its certificates.
    #[arg(id = "to", long = "to", value_name = "ENDPOINT", env = "ARKCTL_TO")]
    pub endpoint: String,
    /// PEM of the authority of the target's certificate; for https.
    #[arg(
        id = "to-ca",
        long = "to-ca",
        value_name = "FILE",
        requires_all = ["to-cert", "to-key"]
    )]
    pub ca: Option<PathBuf>,
    /// PEM of our certificate for the target.
    #[arg(
        id = "to-cert",
        long = "to-cert",
        value_name = "FILE",
        requires_all = ["to-ca", "to-key"]
    )]
    pub cert: Option<PathBuf>,
    /// PEM of its key.
    #[arg(
        id = "to-key",
        long = "to-key",
        value_name = "FILE",
        requires_all = ["to-ca", "to-cert"]
    )]
    pub key: Option<PathBuf>,
}

/// Which store.
#[derive(Debug, Args)]
pub struct At {
    /// The store: unix:///SOCKET, or https://HOST:PORT with its certificates.
    #[arg(long = "at", value_name = "ENDPOINT", env = "ARKCTL_AT")]
    pub endpoint: String,
    /// PEM of the authority of the store's certificate; for https.
    #[arg(long, value_name = "FILE", requires_all = ["cert", "key"])]
    pub ca: Option<PathBuf>,
    /// PEM of our certificate.
    #[arg(long, value_name = "FILE", requires_all = ["ca", "key"])]
    pub cert: Option<PathBuf>,
    /// PEM of its key.
    #[arg(long, value_name = "FILE", requires_all = ["ca", "cert"])]
    pub key: Option<PathBuf>,
}

/// `backup`.
#[derive(Debug, Args)]
#[command(mut_arg("from-ca", |arg| arg.visible_alias("ca")))]
#[command(mut_arg("from-cert", |arg| arg.visible_alias("cert")))]
#[command(mut_arg("from-key", |arg| arg.visible_alias("key")))]
pub struct Backup {
    /// Where to read.
    #[command(flatten)]
    pub from: From,
    /// The file; replaced if it exists, once the new one is complete.
    #[arg(long = "to", value_name = "FILE")]
    pub file: PathBuf,
    /// Compress with gzip: slower, and several times smaller.
    #[arg(long)]
    pub compress: bool,
}

/// `restore`.
#[derive(Debug, Args)]
#[command(mut_arg("to-ca", |arg| arg.visible_alias("ca")))]
#[command(mut_arg("to-cert", |arg| arg.visible_alias("cert")))]
#[command(mut_arg("to-key", |arg| arg.visible_alias("key")))]
pub struct Restore {
    /// A file of `backup`.
    #[arg(long = "from", value_name = "FILE")]
    pub file: PathBuf,
    /// Where to write.
    #[command(flatten)]
    pub to: To,
}

/// `copy`.
#[derive(Debug, Args)]
#[command(after_help = COPY_HELP)]
pub struct Copy {
    /// Where to read.
    #[command(flatten)]
    pub from: From,
    /// Where to write.
    #[command(flatten)]
    pub to: To,
    /// Copy while the source serves, then fence it and let the target take over: clients keep their
    /// resourceVersions.
    #[arg(long)]
    pub live: bool,
    /// With --live: stop once the target has caught up, before the source is fenced. The same command
    /// without this flag carries on.
    #[arg(long, requires = "live")]
    pub no_cut_over: bool,
    /// What clients of the fenced source are told.
    #[arg(long, requires = "live", value_name = "TEXT")]
    pub reason: Option<String>,
    /// Drop what an unfinished copy left in the target, and begin anew.
    #[arg(long)]
    pub restart: bool,
    /// Without --live: stay in the source's epoch although it is not fenced, so that clients keep
    /// their resourceVersions. Right only if nobody can write to the source any more, for instance
    /// because its gateways are stopped: a change made there later would have the resourceVersion of
    /// another change made here. A fenced source needs no such word.
    #[arg(long, conflicts_with = "live")]
    pub planned: bool,
    /// Tell what would be copied, and what would be refused, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
}

const COPY_HELP: &str = "\
Without --live the target gets the state at one revision and, unless the source is fenced or --planned
is given, a new epoch: clients then list again, because changes made after that revision are missing.

With --live the copy may be killed and given again at any time; it carries on. If it fails before the
target has taken over, the source's fence is lifted again; afterwards the source stays fenced.";

/// `verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// Which store.
    #[command(flatten)]
    pub at: At,
    /// A store that should hold the same.
    #[arg(long, value_name = "ENDPOINT")]
    pub against: Option<String>,
    /// Compare both as they were at this revision, for instance the one of a move. Without it what is
    /// current is compared.
    #[arg(long, value_name = "R", requires = "against")]
    pub revision: Option<i64>,
    /// PEM of the authority of the other store's certificate; for https.
    #[arg(long, value_name = "FILE", requires_all = ["against_cert", "against_key"])]
    pub against_ca: Option<PathBuf>,
    /// PEM of our certificate for the other store.
    #[arg(long, value_name = "FILE", requires_all = ["against_ca", "against_key"])]
    pub against_cert: Option<PathBuf>,
    /// PEM of its key.
    #[arg(long, value_name = "FILE", requires_all = ["against_ca", "against_cert"])]
    pub against_key: Option<PathBuf>,
}

/// `compact`.
#[derive(Debug, Args)]
#[group(skip)]
pub struct Compact {
    /// Which store.
    #[command(flatten)]
    pub at: At,
    /// Drop the history up to this revision.
    #[arg(long, value_name = "R", required_unless_present = "all")]
    pub revision: Option<i64>,
    /// Drop all of it. Watches that are behind are then answered 410, and list again.
    #[arg(long, conflicts_with = "revision")]
    pub all: bool,
}

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// `history`.
#[derive(Debug, Args)]
pub struct History {
    /// Which store.
    #[command(flatten)]
    pub at: At,
    /// RESOURCE.GROUP/NAMESPACE/NAME, or RESOURCE.GROUP/NAME for what has no namespace.
    #[arg(value_name = "KEY", value_parser = key::parse)]
    pub object: Key,
    /// Show the fields that changed.
    #[arg(long)]
    pub diff: bool,
    /// How to print.
    #[arg(long, short, value_enum, default_value = "text")]
    pub output: Output,
}

/// `fence`.
#[derive(Debug, Args)]
#[group(skip)]
pub struct Fence {
    /// Which store.
    #[command(flatten)]
    pub at: At,
    /// Refuse writes and tell clients this.
    #[arg(long, value_name = "TEXT", required_unless_present = "lift")]
    pub reason: Option<String>,
    /// Serve writes again.
    #[arg(long, conflicts_with = "reason")]
    pub lift: bool,
}

/// Which cluster, and which kinds.
#[derive(Debug, Args)]
pub struct Cluster {
    /// How to reach the cluster: a client certificate or a token.
    #[arg(long, value_name = "FILE", env = "KUBECONFIG")]
    pub kubeconfig: PathBuf,
    /// The API group whose CRDs are meant; may be given several times.
    #[arg(
        id = "group",
        long = "group",
        default_value = "ark.mckinsey.com",
        value_name = "GROUP"
    )]
    pub groups: Vec<String>,
}

/// `import-crds`.
#[derive(Debug, Args)]
#[command(mut_arg("to-ca", |arg| arg.visible_alias("ca")))]
#[command(mut_arg("to-cert", |arg| arg.visible_alias("cert")))]
#[command(mut_arg("to-key", |arg| arg.visible_alias("key")))]
pub struct ImportCrds {
    /// Which cluster.
    #[command(flatten)]
    pub cluster: Cluster,
    /// Where to write.
    #[command(flatten)]
    pub to: To,
    /// Tell what would be imported, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// `export-crds`.
#[derive(Debug, Args)]
#[command(mut_arg("from-ca", |arg| arg.visible_alias("ca")))]
#[command(mut_arg("from-cert", |arg| arg.visible_alias("cert")))]
#[command(mut_arg("from-key", |arg| arg.visible_alias("key")))]
pub struct ExportCrds {
    /// Where to read.
    #[command(flatten)]
    pub from: From,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: Cluster,
    /// Write into the cluster's etcd (http:// or https://HOST:PORT), past kube-apiserver: uids,
    /// timestamps, status and managedFields are then kept.
    #[arg(long, value_name = "ENDPOINT", value_parser = etcd)]
    pub etcd: Option<String>,
    /// PEM of the authority of etcd's certificate; for https.
    #[arg(long, value_name = "FILE", requires_all = ["etcd", "etcd_cert", "etcd_key"])]
    pub etcd_ca: Option<PathBuf>,
    /// PEM of our certificate for etcd.
    #[arg(long, value_name = "FILE", requires_all = ["etcd", "etcd_ca", "etcd_key"])]
    pub etcd_cert: Option<PathBuf>,
    /// PEM of its key.
    #[arg(long, value_name = "FILE", requires_all = ["etcd", "etcd_ca", "etcd_cert"])]
    pub etcd_key: Option<PathBuf>,
    /// kube-apiserver's --etcd-prefix.
    #[arg(
        long,
        default_value = "/registry",
        value_name = "PREFIX",
        requires = "etcd"
    )]
    pub etcd_prefix: String,
    /// Tell what would be exported, and what would be refused, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// An address of etcd.
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
