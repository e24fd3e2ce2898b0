//! S: what a driver's process keeps over a kill, flushes, and does without space.
//!
//! These cases need a driver that the suite starts itself, so they are not in
//! [`all`](super::all).

use std::time::{Duration, Instant};

use backend_proto::v1::backend_error::{Outcome, Reason};
use backend_proto::v1::health_response::{Cause, State};
use backend_proto::v1::import_request::Options;
use backend_proto::v1::op_result::Verdict;
use backend_proto::v1::{BackendError, HealthRequest, Op};
use tokio::time::sleep;

use super::copy::{CallContent, Content, import, progress};
use super::fence::{fence, lift, rejection};
use super::{Case, case};
use crate::check::{Check, Stop, ensure, refused, same};
use crate::client::timed;
use crate::context::{CaseContext, noise};
use crate::empty::Situation;
use crate::flushes::{self, Flushes, Window};

/// Requests whose flushes are traced.
const TRACED: usize = 20;

/// Size of the small file system, and of the values that fill it.
const DISK_MIB: u64 = 64;
const FILLER: usize = 256 << 10;

/// Time until health reports a full disk, and until freed space can be used.
const SPACE_TIMEOUT: Duration = Duration::from_secs(60);

/// Changes that are kept regardless of their age, and time until older ones are dropped.
const KEPT_EVENTS: u64 = 5;
const RETENTION_TIMEOUT: Duration = Duration::from_secs(20);

/// Several intervals of compaction of a driver that keeps history for a second.
const RETENTION_PAUSE: Duration = Duration::from_secs(3);

pub(super) const CASES: &[Case] = &[
    case!(
        "S1-the-revision-survives-a-kill-after-compaction",
        head,
        "After Compact up to the current revision, SIGKILL and a restart, the current revision is \
         the same, and the next change has the next one.",
        Compact
    ),
    case!(
        "S2-compaction-survives-a-kill",
        compaction,
        "After SIGKILL and a restart the compact revision is the same, and watches and reads below \
         it fail with COMPACTED.",
        Compact
    ),
    case!(
        "S3-a-fence-survives-a-kill",
        fenced,
        "A fence, and its end, survive SIGKILL and a restart.",
        Move
    ),
    case!(
        "S4-the-identity-survives-a-kill",
        identity,
        "After SIGKILL and a restart the store has the same store_id and epoch."
    ),
    case!(
        "S5-an-unfinished-import-survives-a-kill",
        unfinished,
        "An unfinished import survives SIGKILL and a restart: its progress is the same, every other \
         call is still NOT_READY, and the rest completes it.",
        Export,
        Move
    ),
    case!(
        "S6-changes-are-flushed-before-the-response",
        flushed,
        "The driver flushes each change (fsync, fdatasync, O_DSYNC) between request and response."
    ),
    case!(
        "S7-a-full-disk-rejects-creates-and-updates-only",
        full,
        "On a full disk creates and updates are NO_SPACE, Health is READ_ONLY because of it, reads \
         and deletes are served, and writes are served again once there is space."
    ),
    case!(
        "S8-old-history-is-dropped",
        retention,
        "The driver drops old history by itself, but not the changes that it must keep."
    ),
];

async fn head(context: CaseContext) -> Check {
    let client = &context.client;
    client.apply(context.create("ns/kept", "1")).await?;
    client.apply(context.create("ns/gone", "1")).await?;
    let last = client.apply(context.delete("ns/gone", 0)).await?.revision;
    client.compact(last).await?;
    let context = context.restarted().await?;
    let header = context.client.current().await?;
    same!(
        header.revision,
        last,
        "the current revision after a restart"
    );
    let next = context.client.apply(context.create("ns/next", "1")).await?;
    same!(
        next.revision,
        last + 1,
        "the first revision after a restart"
    );
    Ok(())
}

async fn compaction(context: CaseContext) -> Check {
    let client = &context.client;
    let first = client.apply(context.create("ns/a", "1")).await?.revision;
    let second = client.apply(context.update("ns/a", "2", 0)).await?.revision;
    client.apply(context.update("ns/a", "3", 0)).await?;
    client.compact(second).await?;
    let context = context.restarted().await?;
    let header = context.client.current().await?;
    same!(
        header.compact_revision,
        second,
        "compact_revision after a restart"
    );
    let watch = context.client.try_watch(context.after(first)).await?;
    refused(watch, Reason::Compacted)?;
    let read = context.client.get(&context.key("ns/a"), first).await;
    refused(read, Reason::Compacted)?;
    let mut watch = context.client.watch(context.after(second)).await?;
    let events = watch.until(header.revision).await?;
    same!(events.len(), 1, "events after the compact revision");
    Ok(())
}

async fn fenced(context: CaseContext) -> Check {
    const REASON: &str = "the store moved to restart.conformance.test";
    context.restarts()?;
    fence(&context, Some(REASON)).await?;
    let kept = async {
        let context = context.restarted().await?;
        let described = context.client.describe().await?;
        same!(described.fenced, REASON, "Describe.fenced after a restart");
        let error = rejection(&context, context.create("ns/a", "1")).await?;
        ensure!(
            error.message.contains(REASON),
            "the rejection does not contain the reason of the fence: {}",
            error.message
        );
        Ok(())
    };
    let kept = kept.await;
    let context = context.at(context.endpoint());
    lift(&context, kept).await?;
    let context = context.restarted().await?;
    let described = context.client.describe().await?;
    same!(described.fenced, "", "Describe.fenced after it was lifted");
    context.client.apply(context.create("ns/a", "1")).await?;
    Ok(())
}

async fn identity(context: CaseContext) -> Check {
    let before = context.client.current().await?;
    let context = context.restarted().await?;
    let after = context.client.current().await?;
    same!(after.store_id, before.store_id, "store_id after a restart");
    same!(after.epoch, before.epoch, "epoch after a restart");
    Ok(())
}

async fn unfinished(context: CaseContext) -> Check {
    let original = context.empty().await?;
    let content = Content::prepared(&original).await?;
    let target = context.empty().await?;
    if target.restarts().is_err() {
        let reason = "the empty stores of this run cannot be restarted";
        return Err(Stop::Skipped(reason.to_owned()));
    }
    if !keeps_data(&context).await? {
        let reason = "a restart of --empty-command does not serve the data of $FOLDER";
        return Err(Stop::Skipped(reason.to_owned()));
    }
    let (first, rest) = content.records.split_at(5);
    let records = |records| CallContent {
        records,
        ..CallContent::default()
    };
    import(&target, content.options(true), records(first)).await?;
    let before = progress(&target).await?;
    let target = target.restarted().await?;
    same!(progress(&target).await?, before, "progress after a restart");
    let read = target.client.get(&target.key("plain"), 0).await;
    refused(read, Reason::NotReady)?;
    let write = target.client.write(vec![target.create("mine", "1")]).await;
    refused(write, Reason::NotReady)?;
    let last = Options {
        more: false,
        ..content.options(false)
    };
    let call_content = CallContent {
        records: rest,
        events: &content.events,
    };
    import(&target, last, call_content).await?;
    content.is_in(&original, &target).await
}

/// Whether an empty store keeps a record over a restart. If not, its command makes a new store each
/// time, such as a temporary database; lost changes of the driver fail S1 and C2.
async fn keeps_data(context: &CaseContext) -> Check<bool> {
    let store = context.empty().await?;
    store.client.apply(store.create("ns/a", "1")).await?;
    let store = store.restarted().await?;
    Ok(store.client.latest(&store.key("ns/a")).await?.is_some())
}

async fn flushed(context: CaseContext) -> Check {
    let skipped = |reason: &str| Err(Stop::Skipped(reason.to_owned()));
    let restarts = context.restarts()?;
    if !flushes::available() {
        return skipped("system calls cannot be traced: strace is missing or not permitted");
    }
    let folder = Trace::new()?;
    let started = restarts.restart_traced(&folder.file()).await;
    let started = started.map_err(|why| Stop::Failed(format!("a restart under strace: {why}")))?;
    let Some(log) = started else {
        return skipped("the driver is not a process of this suite");
    };
    let context = context.at(context.endpoint());
    // The first call opens the connection.
    context.client.current().await?;
    let mut windows = Vec::new();
    for number in 0..TRACED {
        let op = context.create(&format!("ns/{number}"), "1");
        let sent = flushes::now();
        context.client.apply(op).await?;
        let received = flushes::now();
        windows.push(Window { sent, received });
    }
    let context = context.restarted().await?;
    context.client.current().await?;
    let trace = std::fs::read(folder.file()).map_err(|error| Stop::Failed(error.to_string()))?;
    let trace = String::from_utf8_lossy(&trace);
    match flushes::between(&trace, &windows, &log) {
        Flushes::All => Ok(()),
        Flushes::Missing { requests, file } => Err(Stop::Failed(format!(
            "{requests} of {TRACED} changes were acknowledged before a flush; {file} was written"
        ))),
        Flushes::Unseen { io_uring: true } => skipped("the driver uses io_uring"),
        Flushes::Unseen { io_uring: false } => skipped(
            "the driver's processes write no file: check that the server that stores the data \
             flushes each commit",
        ),
    }
}

/// A directory for a trace, removed when dropped.
struct Trace(std::path::PathBuf);

impl Trace {
    fn new() -> Check<Self> {
        let name = format!("backend-conformance-{}", uuid::Uuid::new_v4().simple());
        let path = std::env::temp_dir().join(name);
        let created = std::fs::create_dir(&path);
        created.map_err(|error| Stop::Failed(format!("{}: {error}", path.display())))?;
        Ok(Self(path))
    }

    fn file(&self) -> std::path::PathBuf {
        self.0.join("trace")
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        // What remains is in the temporary directory.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Returns the error of an operation, or `None` if it was applied.
async fn refusal(context: &CaseContext, op: Op) -> Check<Option<BackendError>> {
    let response = match context.client.write(vec![op]).await {
        Ok(response) => response,
        Err(status) => return refused::<()>(Err(status), Reason::NoSpace).map(Some),
    };
    match response
        .results
        .into_iter()
        .next()
        .and_then(|it| it.verdict)
    {
        Some(Verdict::Applied(_)) => Ok(None),
        Some(Verdict::Refused(error)) => {
            same!(error.reason(), Reason::NoSpace, "reason without space");
            same!(error.outcome(), Outcome::NotApplied, "its outcome");
            Ok(Some(error))
        }
        other => Err(Stop::Failed(format!("a write returned {other:?}"))),
    }
}

async fn full(context: CaseContext) -> Check {
    let store = context.empty_in(Situation::SmallDisk(DISK_MIB)).await?;
    let path = |number: usize| format!("ns/{number:05}");
    let filler = |number: usize| noise(number as u64, FILLER);
    let most = 2 * (DISK_MIB << 20) as usize / FILLER;
    let mut stored = 0;
    while refusal(&store, store.create(&path(stored), filler(stored)))
        .await?
        .is_none()
    {
        stored += 1;
        if stored == most {
            let reason =
                "the driver stores more than the disk at $FOLDER has: its data are not there";
            return Err(Stop::Skipped(reason.to_owned()));
        }
    }
    ensure!(
        stored > 0,
        "nothing can be stored on a disk of {DISK_MIB} MiB"
    );
    let update = store.update(&path(0), filler(most), 0);
    ensure!(
        refusal(&store, update).await?.is_some(),
        "an update is applied on a full disk that rejects creates"
    );
    until_health(&store, (State::ReadOnly, Cause::NoSpace)).await?;
    let listed = store.client.list(store.all(0)).await?;
    same!(listed.records.len(), stored, "records of a full disk");
    store.client.watch(store.after(0)).await?;
    for number in 0..stored {
        store.client.apply(store.delete(&path(number), 0)).await?;
    }
    let begun = Instant::now();
    // The history of deleted records takes space until the driver drops it.
    while refusal(&store, store.create("ns/again", filler(0)))
        .await?
        .is_some()
    {
        ensure!(
            begun.elapsed() < SPACE_TIMEOUT,
            "no create is applied within {} s after all records were deleted",
            SPACE_TIMEOUT.as_secs()
        );
        sleep(Duration::from_millis(50)).await;
    }
    until_health(&store, (State::Ready, Cause::Unspecified)).await
}

async fn until_health(store: &CaseContext, expected: (State, Cause)) -> Check {
    let begun = Instant::now();
    loop {
        let health = store
            .client
            .raw()
            .health(timed(HealthRequest {}))
            .await?
            .into_inner();
        let observed = (health.state(), health.cause());
        if observed == expected {
            return Ok(());
        }
        if begun.elapsed() > SPACE_TIMEOUT {
            same!(observed, expected, "health");
        }
        sleep(Duration::from_millis(100)).await;
    }
}

async fn retention(context: CaseContext) -> Check {
    let store = context
        .empty_in(Situation::ShortRetention(KEPT_EVENTS))
        .await?;
    let client = &store.client;
    let mut revisions = Vec::new();
    for number in 0..20 {
        let op = store.create(&format!("ns/{number:02}"), "1");
        revisions.push(client.apply(op).await?.revision);
    }
    let before = client.list(store.all(0)).await?;
    // The oldest change that must be kept follows this revision.
    let newest = revisions[revisions.len() - 1 - KEPT_EVENTS as usize];
    let begun = Instant::now();
    while client.current().await?.compact_revision <= revisions[0] {
        if begun.elapsed() > RETENTION_TIMEOUT {
            let reason = "the driver drops no history although ARK_BACKEND_KEEP_SECONDS is 1: check \
                          its retention";
            return Err(Stop::Skipped(reason.to_owned()));
        }
        sleep(Duration::from_millis(100)).await;
    }
    // All changes are old after this pause.
    sleep(RETENTION_PAUSE).await;
    let header = client.current().await?;
    ensure!(
        header.compact_revision <= newest,
        "history up to {} is dropped, but the last {KEPT_EVENTS} changes follow {newest}",
        header.compact_revision
    );
    refused(
        client.try_watch(store.after(revisions[0])).await?,
        Reason::Compacted,
    )?;
    let mut watch = client.watch(store.after(newest)).await?;
    let events = watch.until(header.revision).await?;
    same!(events.len() as u64, KEPT_EVENTS, "the last changes");
    let after = client.list(store.all(0)).await?;
    same!(
        after.records,
        before.records,
        "records after history was dropped"
    );
    Ok(())
}
