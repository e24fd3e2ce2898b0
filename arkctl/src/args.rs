//! The command line.

mod crds;
mod endpoints;
mod moves;

use std::path::PathBuf;
use std::time::Duration;

use backend_proto::v1::Key;
use clap::{Args, Parser, Subcommand, ValueEnum};
use command_line::Documents;

pub use self::crds::{Cluster, Etcd, ExportCrds, ImportCrds};
pub use self::endpoints::{At, From, To};
pub use self::moves::{Adopt, Gateway, Return};
use crate::deadlines::Deadlines;
use crate::key;
use crate::output::Sink;

/// Headings of the help.
const GLOBAL: &str = "Global options";
const OTHER: &str = "Other store";
const CLUSTER: &str = "Cluster";
const ETCD: &str = "etcd";
const GATEWAY: &str = "Gateway";

/// Manages the data behind ark-apiserver: backup, restore, moves between drivers, and moves to or
/// from CRDs.
#[derive(Debug, Parser)]
#[command(name = "arkctl", version = env!("ARK_BUILD_VERSION"))]
pub struct Arguments {
    /// Longest time without a response of a driver. The end of an import and a compaction may take
    /// ten times as long.
    #[arg(
        long,
        global = true,
        value_name = "SECONDS",
        env = "ARKCTL_TIMEOUT",
        default_value_t = 120,
        value_parser = clap::value_parser!(u64).range(1..=86_400),
        help_heading = GLOBAL
    )]
    pub timeout: u64,
    /// Subcommand to run.
    #[command(subcommand)]
    pub command: Command,
}

/// Subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write all records, as of one revision, to a file.
    Backup(Backup),
    /// Restore a backup file into an empty store; begins a new epoch, so that clients list again.
    Restore(Restore),
    /// Copy a store into an empty one, of any driver.
    Copy(Copy),
    /// Show the driver, epoch, revision, history, fence, objects and size of a store.
    Status(Status),
    /// Read all records of a store or a backup file and report unreadable ones, or differences from
    /// another store.
    Verify(Verify),
    /// Drop history. Current objects are never dropped.
    Compact(Compact),
    /// Show every retained change of one object.
    History(History),
    /// Reject all writes, or lift that fence.
    Fence(Fence),
    /// Fill an empty store from a cluster that stores the kinds as CRDs.
    ImportCrds(ImportCrds),
    /// Write all records to a cluster that has the kinds as CRDs.
    ExportCrds(ExportCrds),
    /// Take kinds over from the cluster's CRDs while they are in use.
    Adopt(Adopt),
    /// Give kinds back to the cluster's CRDs while they are in use.
    Return(Return),
    /// Documents about the program.
    #[command(flatten)]
    Documents(Documents),
}

/// `backup`.
#[derive(Debug, Args)]
#[command(mut_arg("from-data-dir", |arg| arg.visible_alias("data-dir")))]
#[command(mut_arg("from-ca", |arg| arg.visible_alias("ca")))]
#[command(mut_arg("from-cert", |arg| arg.visible_alias("cert")))]
#[command(mut_arg("from-key", |arg| arg.visible_alias("key")))]
pub struct Backup {
    /// Source store.
    #[command(flatten)]
    pub from: From,
    /// Backup file, which must not exist; - is standard output.
    #[arg(long = "to", value_name = "FILE")]
    pub file: PathBuf,
    /// Replace an existing file, once the new one is complete.
    #[arg(long)]
    pub force: bool,
    /// Compress with gzip: slower, but several times smaller.
    #[arg(long)]
    pub compress: bool,
}

/// `restore`.
#[derive(Debug, Args)]
#[command(mut_arg("to-data-dir", |arg| arg.visible_alias("data-dir")))]
#[command(mut_arg("to-ca", |arg| arg.visible_alias("ca")))]
#[command(mut_arg("to-cert", |arg| arg.visible_alias("cert")))]
#[command(mut_arg("to-key", |arg| arg.visible_alias("key")))]
pub struct Restore {
    /// File written by `backup`.
    #[arg(long = "from", value_name = "FILE")]
    pub file: PathBuf,
    /// Target store.
    #[command(flatten)]
    pub to: To,
}

/// `copy`.
#[derive(Debug, Args)]
#[command(after_help = COPY_HELP)]
pub struct Copy {
    /// Source store.
    #[command(flatten)]
    pub from: From,
    /// Target store.
    #[command(flatten)]
    pub to: To,
    /// Copy while the source serves, then fence the source and let the target take over. Clients
    /// keep their resourceVersions.
    #[arg(long)]
    pub live: bool,
    /// With --live: stop once the target has caught up, before the source is fenced. Repeat the
    /// command without this flag to continue.
    #[arg(long, requires = "live")]
    pub no_cut_over: bool,
    /// Reason of the fence, sent to clients of the source.
    #[arg(long, requires = "live", value_name = "TEXT")]
    pub reason: Option<String>,
    /// With --live: succeed at once, without comparing the stores, if an earlier run has moved the
    /// store. For init containers, which run at each start of a pod.
    #[arg(long, requires = "live", conflicts_with = "no_cut_over")]
    pub accept_moved: bool,
    /// Wait up to this many seconds until both drivers respond.
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    pub wait: u64,
    /// Drop the content of an unfinished copy in the target, and start over.
    #[arg(long)]
    pub restart: bool,
    /// Without --live: keep the source's epoch although it is not fenced, so that clients keep
    /// their resourceVersions. Safe only if nothing can write to the source any more, for instance
    /// because its gateways are stopped: a later change there would have the resourceVersion of a
    /// different change in the target. Not needed for a fenced source.
    #[arg(long, conflicts_with = "live")]
    pub planned: bool,
    /// Report what would be copied and what would be rejected, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
}

const COPY_HELP: &str = "\
Without --live the target gets the state at one revision and, unless the source is fenced or --planned
is given, a new epoch: clients then list again, because changes made after that revision are missing.

With --live the copy may be killed and given again at any time; it carries on. If it fails before the
target has taken over, the source's fence is lifted again; afterwards the source stays fenced.";

/// `status`.
#[derive(Debug, Args)]
pub struct Status {
    /// Store to describe.
    #[command(flatten)]
    pub at: At,
    /// Do not read the objects: their number is then an estimate of the driver, and their size is
    /// not shown.
    #[arg(long)]
    pub quick: bool,
    /// Output format.
    #[arg(long, short, value_enum, default_value = "text")]
    pub output: Output,
}

/// `verify`.
#[derive(Debug, Args)]
#[command(mut_arg("at", |arg| {
    arg.required_unless_present_any(["data_dir", "file"])
}))]
pub struct Verify {
    /// Store to read.
    #[command(flatten)]
    pub at: At,
    /// Check a file of `backup` instead: its hash, and every record.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["data_dir", "against"])]
    pub file: Option<PathBuf>,
    /// Output format.
    #[arg(
        long,
        short,
        value_enum,
        default_value = "text",
        conflicts_with = "against"
    )]
    pub output: Output,
    /// Store that should hold the same records.
    #[arg(long, value_name = "ENDPOINT", help_heading = OTHER)]
    pub against: Option<String>,
    /// Compare both stores at this revision, for instance that of a move. Without it the current
    /// states are compared.
    #[arg(long, value_name = "R", requires = "against", help_heading = OTHER)]
    pub revision: Option<i64>,
    /// Certificate authority of the other store, PEM; for https.
    #[arg(
        long,
        value_name = "FILE",
        requires_all = ["against_cert", "against_key"],
        help_heading = OTHER
    )]
    pub against_ca: Option<PathBuf>,
    /// Client certificate for the other store, PEM.
    #[arg(
        long,
        value_name = "FILE",
        requires_all = ["against_ca", "against_key"],
        help_heading = OTHER
    )]
    pub against_cert: Option<PathBuf>,
    /// Private key of the client certificate, PEM.
    #[arg(
        long,
        value_name = "FILE",
        requires_all = ["against_ca", "against_cert"],
        help_heading = OTHER
    )]
    pub against_key: Option<PathBuf>,
}

/// `compact`.
#[derive(Debug, Args)]
#[group(skip)]
pub struct Compact {
    /// Store to compact.
    #[command(flatten)]
    pub at: At,
    /// Drop the history up to this revision.
    #[arg(long, value_name = "R", required_unless_present = "all")]
    pub revision: Option<i64>,
    /// Drop all history. Watches that are behind then get 410 and list again.
    #[arg(long, conflicts_with = "revision")]
    pub all: bool,
}

/// Output formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Human-readable lines.
    Text,
    /// One JSON object per line.
    Json,
}

/// `history`.
#[derive(Debug, Args)]
pub struct History {
    /// Store to read.
    #[command(flatten)]
    pub at: At,
    /// RESOURCE.GROUP/NAMESPACE/NAME, or RESOURCE.GROUP/NAME for a cluster-scoped object.
    #[arg(value_name = "KEY", value_parser = key::parse)]
    pub object: Key,
    /// Show the changed fields.
    #[arg(long)]
    pub diff: bool,
    /// Output format.
    #[arg(long, short, value_enum, default_value = "text")]
    pub output: Output,
}

/// `fence`.
#[derive(Debug, Args)]
#[group(skip)]
pub struct Fence {
    /// Store to fence.
    #[command(flatten)]
    pub at: At,
    /// Reject writes with this reason, which clients see. With --lift: the reason of the fence to
    /// be lifted.
    #[arg(long, value_name = "TEXT", required_unless_present = "lift")]
    pub reason: Option<String>,
    /// Lift the fence. Needs its reason, or --force.
    #[arg(long)]
    pub lift: bool,
    /// Replace or lift a fence with another reason. After a move, the other store may have taken
    /// over: then both would accept writes.
    #[arg(long)]
    pub force: bool,
}

// === impl Output ===

impl Output {
    /// Where lines for people go: JSON has standard output for itself.
    pub(crate) const fn sink(self) -> Sink {
        match self {
            Self::Text => Sink::Stdout,
            Self::Json => Sink::Stderr,
        }
    }
}

// === impl Arguments ===

impl Arguments {
    /// The deadlines of calls to drivers.
    #[must_use]
    pub const fn deadlines(&self) -> Deadlines {
        Deadlines {
            response: Duration::from_secs(self.timeout),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::endpoints::{SOURCE, STORE, TARGET};
    use super::*;

    #[test]
    fn flags_of_stores_have_headings_of_their_own() {
        let mut command = Arguments::command();
        command.build();
        for (name, flag, heading) in [
            ("fence", "at", Some(STORE)),
            ("fence", "data-dir", Some(STORE)),
            ("fence", "lift", None),
            ("fence", "timeout", Some(GLOBAL)),
            ("copy", "from-ca", Some(SOURCE)),
            ("copy", "to-data-dir", Some(TARGET)),
            ("copy", "live", None),
            ("export-crds", "etcd-prefix", Some(ETCD)),
            ("export-crds", "group", Some(CLUSTER)),
            ("export-crds", "dry-run", None),
            ("adopt", "service", Some(GATEWAY)),
            ("return", "etcd", Some(ETCD)),
            ("verify", "against-key", Some(OTHER)),
            ("verify", "file", None),
        ] {
            let sub = command.find_subcommand(name).expect(name);
            let found = sub.get_arguments().find(|it| it.get_long() == Some(flag));
            let found = found.expect(flag).get_help_heading();
            assert_eq!(found, heading, "{name} --{flag}");
        }
    }
}
