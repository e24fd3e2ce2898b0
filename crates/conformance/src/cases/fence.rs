//! F: fenced stores.

use std::time::{Duration, Instant};

use backend_proto::v1::backend_error::{Outcome, Reason};
use backend_proto::v1::health_response::{Cause, State};
use backend_proto::v1::op_result::Verdict;
use backend_proto::v1::{
    BackendError, ExportRequest, FenceRequest, Header, HealthRequest, HealthResponse, Op,
};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic_health::pb::health_check_response::ServingStatus;

use super::describe::{SERVICES, probe};
use super::moves::Export;
use super::{Case, case};
use crate::check::{Check, Stop, ensure, refused, same, some};
use crate::client::timed;
use crate::context::CaseContext;

/// Reason of the fences in these cases.
const REASON: &str = "the store moved to fence.conformance.test";

/// Maximum time until health reports a fence, and its end.
const FENCE_TIMEOUT: Duration = Duration::from_secs(5);

/// Number of fences that race with writers, and of the writers.
const RACES: usize = 12;
const WRITERS: usize = 6;

pub(super) const CASES: &[Case] = &[
    case!(
        "F1-a-fence-refuses-writes",
        refuses,
        "A fenced store refuses creates, updates and deletes with NOT_READY and the fence's reason, \
         and stores nothing.",
        Move
    ),
    case!(
        "F2-a-fence-needs-a-reason",
        reason,
        "A fence without a reason is INVALID and fences nothing; another fence changes the reason.",
        Move
    ),
    case!(
        "F3-reads-and-watches-continue",
        reads,
        "A fenced store serves reads, lists, watches and exports.",
        Move
    ),
    case!(
        "F4-a-fence-is-reported",
        reported,
        "As long as a store is fenced, Describe has the reason of the fence, Health is READ_ONLY \
         because of it, and grpc.health.v1 is SERVING.",
        Move
    ),
    case!(
        "F5-no-change-after-a-fence",
        races,
        "Every write that was acknowledged during a call of Fence is stored, at or below the \
         revision of its response, and no revision follows.",
        Move
    ),
    case!(
        "F6-a-lifted-fence-serves-writes",
        lifted,
        "A fence that is lifted serves writes again, from the next revision.",
        Move
    ),
    case!(
        "F7-applied-operations-are-still-acknowledged",
        replays,
        "An operation that was applied before the fence and is sent again with its op_id returns \
         its first revision: its caller would believe the outcome NOT_APPLIED.",
        Move
    ),
];

pub(super) async fn fence(context: &CaseContext, reason: Option<&str>) -> Check<Header> {
    let request = FenceRequest {
        fenced: reason.is_some(),
        reason: reason.unwrap_or_default().to_owned(),
    };
    let response = context.client.raw().fence(timed(request)).await?;
    some(response.into_inner().header, "header of Fence")
}

async fn health(context: &CaseContext) -> Check<HealthResponse> {
    let response = context.client.raw().health(timed(HealthRequest {})).await?;
    Ok(response.into_inner())
}

/// Waits until health reports the expected state.
async fn healthy(context: &CaseContext, expected: (State, Cause)) -> Check<HealthResponse> {
    let begun = Instant::now();
    loop {
        let now = health(context).await?;
        if (now.state(), now.cause()) == expected {
            return Ok(now);
        }
        if begun.elapsed() > FENCE_TIMEOUT {
            same!((now.state(), now.cause()), expected, "health");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Lifts the fence whatever the result of a case: later cases need a writable store.
pub(super) async fn lift(context: &CaseContext, result: Check) -> Check {
    let lifted = async {
        fence(context, None).await?;
        healthy(context, (State::Ready, Cause::Unspecified)).await
    };
    let lifted = lifted.await;
    result?;
    lifted.map(drop)
}

/// Returns the error of a rejected write: of the whole call, or of its only operation.
pub(super) async fn rejection(context: &CaseContext, op: Op) -> Check<BackendError> {
    let response = match context.client.write(vec![op]).await {
        Err(status) => return refused::<()>(Err(status), Reason::NotReady),
        Ok(response) => response,
    };
    let verdict = response.results.into_iter().next();
    match verdict.and_then(|result| result.verdict) {
        Some(Verdict::Refused(error)) => {
            same!(error.reason(), Reason::NotReady, "reason of a refusal");
            same!(error.outcome(), Outcome::NotApplied, "its outcome");
            Ok(error)
        }
        other => Err(Stop::Failed(format!(
            "a write to a fenced store must be rejected, and returned {other:?}"
        ))),
    }
}

async fn replays(context: CaseContext) -> Check {
    let known = context.create("ns/a", "1");
    let stored = context.client.apply(known.clone()).await?;
    fence(&context, Some(REASON)).await?;
    let result = async {
        let ops = vec![context.create("ns/b", "1"), known];
        let response = context.client.write(ops).await?;
        let verdicts: Vec<_> = response.results.into_iter().map(|it| it.verdict).collect();
        match verdicts.as_slice() {
            [
                Some(Verdict::Refused(error)),
                Some(Verdict::Applied(applied)),
            ] => {
                same!(error.reason(), Reason::NotReady, "reason of a refusal");
                same!(applied.replayed, true, "whether it was a replay");
                same!(applied.revision, stored.revision, "revision of a replay");
                Ok(())
            }
            other => Err(Stop::Failed(format!("verdicts: {other:?}"))),
        }
    };
    let result = result.await;
    lift(&context, result).await
}

async fn refuses(context: CaseContext) -> Check {
    let stored = context.client.apply(context.create("ns/a", "1")).await?;
    let header = fence(&context, Some(REASON)).await?;
    let result = async {
        same!(header.revision, stored.revision, "revision of the fence");
        for op in [
            context.create("ns/b", "1"),
            context.update("ns/a", "2", stored.revision),
            context.delete("ns/a", 0),
        ] {
            let error = rejection(&context, op).await?;
            ensure!(
                error.message.contains(REASON),
                "a refusal does not say why: {}",
                error.message
            );
            ensure!(error.retry_after_ms > 0, "a refusal without retry_after_ms");
        }
        let listed = context.client.list(context.all(0)).await?;
        same!(listed.header.revision, header.revision, "revision");
        same!(listed.records.len(), 1, "records of a fenced store");
        same!(listed.records[0].value, "1", "the record");
        Ok(())
    };
    let result = result.await;
    lift(&context, result).await
}

async fn reason(context: CaseContext) -> Check {
    let request = FenceRequest {
        fenced: true,
        reason: String::new(),
    };
    let reply = context.client.raw().fence(timed(request)).await;
    refused(reply, Reason::Invalid)?;
    context.client.apply(context.create("ns/a", "1")).await?;
    let result = async {
        for reason in ["first", "second"] {
            fence(&context, Some(reason)).await?;
            let error = rejection(&context, context.create("ns/b", "1")).await?;
            ensure!(
                error.message.contains(reason),
                "the reason {reason} is reported as {}",
                error.message
            );
        }
        Ok(())
    };
    let result = result.await;
    lift(&context, result).await
}

async fn reads(context: CaseContext) -> Check {
    let client = &context.client;
    let first = client.apply(context.create("ns/a", "1")).await?.revision;
    let mut open = client.watch(context.after(first)).await?;
    let last = client.apply(context.update("ns/a", "2", 0)).await?.revision;
    let header = fence(&context, Some(REASON)).await?;
    let result = async {
        let there = client.stored(&context.key("ns/a")).await?;
        same!(there.value, "2", "the latest record");
        let before = client.get(&context.key("ns/a"), first).await?.record;
        same!(some(before, "a past record")?.value, "1", "a past record");
        same!(
            client.list(context.all(0)).await?.records,
            [there],
            "a list"
        );
        same!(client.current().await?.revision, last, "CurrentRevision");
        same!(header.revision, last, "revision of the fence");
        for watch in [&mut open, &mut client.watch(context.after(first)).await?] {
            let events = watch.until(last).await?;
            same!(events.len(), 1, "events of a watch");
            // The watch continues, although no changes can happen.
            ensure!(watch.next().await??.progress, "no progress");
        }
        let mut export = Export::open(&context, ExportRequest::default()).await?;
        same!(export.snapshot(&context).await?.len(), 1, "an export");
        Ok(())
    };
    let result = result.await;
    lift(&context, result).await
}

async fn reported(context: CaseContext) -> Check {
    fence(&context, Some(REASON)).await?;
    let result = async {
        let described = context.client.describe().await?;
        same!(described.fenced, REASON, "Describe.fenced");
        let health = healthy(&context, (State::ReadOnly, Cause::Fenced)).await?;
        ensure!(
            health.message.contains(REASON),
            "the message of Health does not contain the reason: {}",
            health.message
        );
        for service in SERVICES {
            let status = probe(&context, service).await?;
            same!(
                status,
                ServingStatus::Serving,
                "grpc.health.v1 of `{service}`"
            );
        }
        Ok(())
    };
    let result = result.await;
    lift(&context, result).await?;
    let described = context.client.describe().await?;
    same!(described.fenced, "", "Describe.fenced after it was lifted");
    Ok(())
}

/// Creates records until one is rejected, and signals the first acknowledgement; returns path and
/// revision of the acknowledged ones.
async fn write_until_refused(
    context: CaseContext,
    prefix: String,
    begun: watch::Sender<bool>,
) -> Check<Vec<(String, i64)>> {
    let client = context.connect();
    let mut acknowledged = Vec::new();
    loop {
        let path = format!("{prefix}/{:05}", acknowledged.len());
        match client.write(vec![context.create(&path, "1")]).await {
            Ok(response) => {
                let verdict = response.results.into_iter().next();
                match verdict.and_then(|result| result.verdict) {
                    Some(Verdict::Applied(applied)) => {
                        acknowledged.push((path, applied.revision));
                        begun.send_replace(true);
                    }
                    Some(Verdict::Refused(error)) if error.reason() == Reason::NotReady => {
                        return Ok(acknowledged);
                    }
                    other => return Err(Stop::Failed(format!("a create returned {other:?}"))),
                }
            }
            Err(status) => {
                refused::<()>(Err(status), Reason::NotReady)?;
                return Ok(acknowledged);
            }
        }
    }
}

async fn races(context: CaseContext) -> Check {
    for race in 0..RACES {
        let mut writers = JoinSet::new();
        let (begun, mut observed) = watch::channel(false);
        for writer in 0..WRITERS {
            let prefix = format!("r{race}w{writer}");
            writers.spawn(write_until_refused(context.clone(), prefix, begun.clone()));
        }
        drop(begun);
        // Writers use new connections. If one fails or never writes, the check below reports it.
        let _ = tokio::time::timeout(FENCE_TIMEOUT, observed.wait_for(|begun| *begun)).await;
        // Fence at a different moment each time.
        tokio::time::sleep(Duration::from_millis(race as u64)).await;
        let header = fence(&context, Some(REASON)).await?;
        let written = tokio::time::timeout(FENCE_TIMEOUT, writers.join_all()).await;
        let result = async {
            let timed_out = |_| Stop::Failed("writes to a fenced store are not refused".to_owned());
            let mut acknowledged = Vec::new();
            for of_writer in written.map_err(timed_out)? {
                acknowledged.extend(of_writer?);
            }
            settled(&context, &header, race, acknowledged).await
        };
        let result = result.await;
        fence(&context, None).await?;
        result?;
    }
    lift(&context, Ok(())).await
}

/// Asserts that exactly the acknowledged records of a race exist, and that no revision follows the
/// fence.
async fn settled(
    context: &CaseContext,
    header: &Header,
    race: usize,
    mut acknowledged: Vec<(String, i64)>,
) -> Check {
    ensure!(!acknowledged.is_empty(), "nothing was written: no race");
    let newest = acknowledged.iter().map(|(_, at)| *at).max();
    ensure!(
        newest <= Some(header.revision),
        "a write was acknowledged at {newest:?}, the fence at {}",
        header.revision
    );
    let now = context.client.current().await?;
    same!(now.revision, header.revision, "revision after the fence");
    let listed = context.client.list(context.all(0)).await?;
    let of_race = format!("r{race}w");
    let mut stored: Vec<(String, i64)> = Vec::new();
    for record in listed.records {
        let path = record.key.as_ref().map(crate::key::path_of);
        stored.extend(path.map(|path| (path, record.revision)));
    }
    stored.retain(|(path, _)| path.starts_with(&of_race));
    stored.sort();
    acknowledged.sort();
    ensure!(
        stored == acknowledged,
        "{} records are stored, {} were acknowledged",
        stored.len(),
        acknowledged.len()
    );
    Ok(())
}

async fn lifted(context: CaseContext) -> Check {
    let header = fence(&context, Some(REASON)).await?;
    let again = fence(&context, Some(REASON)).await;
    lift(&context, again.map(drop)).await?;
    let written = context.client.apply(context.create("ns/a", "1")).await?;
    same!(written.revision, header.revision + 1, "the next revision");
    // Lifting an absent fence has no effect.
    lift(&context, Ok(())).await?;
    context.client.apply(context.create("ns/b", "1")).await?;
    Ok(())
}
