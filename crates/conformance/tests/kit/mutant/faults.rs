//! The faults, and those of unary calls.

use backend_proto::error::{from_status, to_status};
use backend_proto::v1::backend_error::{Outcome, Reason};
use backend_proto::v1::op::Action;
use backend_proto::v1::op_result::conflict::Cause;
use backend_proto::v1::op_result::{Applied, Verdict};
use backend_proto::v1::{
    BackendError, CurrentRevisionRequest, GetRequest, GetResponse, HealthRequest, Key, Op,
    OpResult, Origin, WriteRequest, WriteResponse, health_response,
};
use bytes::Bytes;
use tonic::Status;

use super::FaultyProxy;

/// Fault of a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// No fault: the proxy itself must not fail a case.
    None,
    // In watches.
    DropsAnEvent,
    SwapsTwoEvents,
    RepeatsAnEvent,
    WrongPrevious,
    ProgressTooEarly,
    ProgressGoesBack,
    NoProgress,
    WatchesEverything,
    CompactedStartsLater,
    FutureStartsNow,
    /// Keeps a thousand events for a watch, and drops later ones.
    DropsAtOverflow,
    // In lists and exports.
    ShortList,
    ListWithoutTrailer,
    ListsThePresent,
    NeverMore,
    ShortExport,
    IgnoresAfter,
    /// A page after a key that does not exist starts at the beginning.
    StartsOverAtMissingKeys,
    // In keys.
    FoldsCase,
    /// Reads by a pattern in which `_` stands for any character.
    MatchesWildcards,
    // In reads.
    StaleGet,
    StaleCurrentRevision,
    GetWithoutHeader,
    CutsAtZeroByte,
    UntypedErrors,
    // In writes.
    TrimsValues,
    ReusesARevision,
    LosesAWrite,
    CreateOverwrites,
    IgnoresExpectedRevision,
    IgnoresExpectedUid,
    ForgetsOpIds,
    NoopBurnsARevision,
    LosersBurnARevision,
    ForgetsManagers,
    ForgetsVerbs,
    ForgetsSubresources,
    /// Returns more bytes of a long manager than the limit.
    CutsTooLate,
    /// No fault: a driver of minor version 2, which has no origins.
    KnowsNoOrigins,
    // In fences.
    IgnoresAFence,
    ForgetsTheReason,
    HidesAFence,
    FencesTooEarly,
    NeverLifts,
    FencesReads,
    // In exports and imports that continue.
    ExportsAnew,
    ExportsThePresent,
    ShowsHalfAStore,
    KeepsBrokenCalls,
    ForgetsProgress,
    LosesImportedEvents,
    LosesImportedOrigins,
    TakesAnySource,
    DiscardsNothing,
    KeepsTheEpoch,
    /// Epochs begin above the stored revisions, regardless of the clock.
    IgnoresTheClock,
    /// Accepts an import whose revisions are too large.
    TakesLargeRevisions,
    /// Revisions are those of a store with the epoch in their upper bits.
    LargeRevisions,
    /// Epochs begin at the time at which the process started.
    FrozenClock,
    /// Imports values that are missing.
    TakesUnreadable,
    /// The header of an export after a revision has the current one.
    ExportsFromNow,
    /// An export never sends progress, or always does.
    HidesExportProgress,
    UnwantedExportProgress,
    // In sizes, health and connections.
    /// Responses are larger than a message.
    LargeResponses,
    /// Requests are limited to the default of gRPC libraries.
    SmallRequests,
    /// Does not count the operations and bytes of a request.
    NoRequestLimits,
    SmallLimits,
    SlowHealth,
    NoProbes,
    /// Probes read SERVING whatever the state is.
    ProbesAreConstant,
    /// Connections end after a second.
    ShortConnections,
    // In what a restart keeps.
    CounterFromLog,
    ForgetsCompaction,
    LiftsAFence,
    KeepsALiftedFence,
    NewIdentity,
    NewEpoch,
    FinishesImports,
    DropsImports,
    // Without space.
    FullIsInternal,
    FullRejectsDeletes,
    /// Drops all old changes, however few there are.
    KeepsNoEvents,
}

/// Rejection of a whole request.
fn no_space() -> Status {
    to_status(&BackendError {
        reason: Reason::NoSpace.into(),
        outcome: Outcome::NotApplied.into(),
        message: "the disk is full".to_owned(),
        ..BackendError::default()
    })
}

/// The key that a collation without case takes it for.
fn fold(key: &mut Option<Key>) {
    if let Some(key) = key {
        key.name = key.name.to_lowercase();
    }
}

/// A change that no client requested.
fn burn() -> Op {
    Op {
        key: Some(Key {
            group: "burnt.test".to_owned(),
            resource: "revisions".to_owned(),
            namespace: String::new(),
            name: uuid::Uuid::new_v4().to_string(),
        }),
        action: Action::Create.into(),
        ..Op::default()
    }
}

impl FaultyProxy {
    pub(super) async fn send(&self, ops: Vec<Op>) -> Result<WriteResponse, Status> {
        let response = self.model.clone().write(WriteRequest { ops }).await?;
        Ok(response.into_inner())
    }

    /// Sends operations one by one, and returns their results in one response.
    async fn send_each(&self, ops: Vec<Op>) -> Result<WriteResponse, Status> {
        let mut whole = WriteResponse::default();
        for op in ops {
            let response = self.send(vec![op]).await?;
            whole.header = response.header;
            whole.results.extend(response.results);
        }
        Ok(whole)
    }

    async fn is_full(&self) -> Result<bool, Status> {
        let health = self.model.clone().health(HealthRequest {}).await?;
        Ok(health.into_inner().cause() == health_response::Cause::NoSpace)
    }

    /// Returns the current revision and the compact revision.
    async fn header(&self) -> Result<(i64, i64), Status> {
        let current = self
            .model
            .clone()
            .current_revision(CurrentRevisionRequest {})
            .await?;
        let header = current.into_inner().header.unwrap_or_default();
        Ok((header.revision, header.compact_revision))
    }

    pub(super) async fn lie_in_write(
        &self,
        request: WriteRequest,
    ) -> Result<WriteResponse, Status> {
        let mut ops = request.ops;
        if self.fault == Fault::LosesAWrite && self.every(7) {
            return self.pretend(ops.len()).await;
        }
        for op in &mut ops {
            match self.fault {
                Fault::IgnoresExpectedRevision => op.expected_revision = 0,
                Fault::IgnoresExpectedUid => op.expected_uid.clear(),
                Fault::ForgetsOpIds => op.op_id = Bytes::new(),
                Fault::TrimsValues => op.value = Bytes::copy_from_slice(op.value.trim_ascii_end()),
                Fault::FoldsCase => fold(&mut op.key),
                _ => {}
            }
            self.fault_in_origin(&mut op.origin);
        }
        if self.fault == Fault::FullRejectsDeletes
            && ops.iter().any(|op| op.action() == Action::Delete)
            && self.is_full().await?
        {
            return Err(no_space());
        }
        if self.fault == Fault::LargeResponses {
            return self.send_each(ops).await;
        }
        let mut response = self.send(ops.clone()).await?;
        self.fault_in_header(&mut response.header);
        for (op, result) in ops.into_iter().zip(&mut response.results) {
            self.fault_in_verdict(op, result).await?;
        }
        Ok(response)
    }

    /// Removes the part of a change's origin that the fault loses.
    pub(super) fn fault_in_origin(&self, origin: &mut Option<Origin>) {
        match (self.fault, &mut *origin) {
            (Fault::ForgetsManagers, Some(origin)) => origin.manager.clear(),
            (Fault::ForgetsVerbs, Some(origin)) => origin.verb.clear(),
            (Fault::ForgetsSubresources, Some(origin)) => origin.subresource.clear(),
            (Fault::KnowsNoOrigins, _) => *origin = None,
            _ => {}
        }
    }

    /// Returns verdicts of operations that the model never gets.
    async fn pretend(&self, count: usize) -> Result<WriteResponse, Status> {
        let mut response = self.send(Vec::new()).await?;
        let (head, _) = self.header().await?;
        let applied = (1..=count as i64).map(|number| Applied {
            revision: head + number,
            ..Applied::default()
        });
        response.results = applied
            .map(|applied| OpResult {
                verdict: Some(Verdict::Applied(applied)),
            })
            .collect();
        Ok(response)
    }

    async fn fault_in_verdict(&self, op: Op, result: &mut OpResult) -> Result<(), Status> {
        match (&mut result.verdict, self.fault) {
            (Some(Verdict::Applied(applied)), Fault::ReusesARevision) if self.every(5) => {
                applied.revision -= 1;
            }
            (Some(Verdict::Applied(applied)), Fault::CounterFromLog) if self.has_restarted() => {
                applied.revision -= 1;
            }
            (Some(Verdict::Applied(applied)), Fault::NoopBurnsARevision) if applied.noop => {
                self.send(vec![burn()]).await?;
            }
            (Some(Verdict::Conflict(_)), Fault::LosersBurnARevision) => {
                self.send(vec![burn()]).await?;
            }
            (Some(Verdict::Refused(error)), Fault::FullIsInternal)
                if error.reason() == Reason::NoSpace =>
            {
                error.set_reason(Reason::Internal);
            }
            (Some(Verdict::Conflict(conflict)), Fault::CreateOverwrites)
                if conflict.cause() == Cause::Exists =>
            {
                let overwrite = Op {
                    action: Action::Update.into(),
                    ..op
                };
                let mut response = self.send(vec![overwrite]).await?;
                result.verdict = response.results.pop().and_then(|result| result.verdict);
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) async fn lie_in_get(&self, mut request: GetRequest) -> Result<GetResponse, Status> {
        self.fault_in_fenced_read().await?;
        if self.fault == Fault::StaleGet && request.revision == 0 {
            let (head, oldest) = self.header().await?;
            request.revision = (head - 1).max(oldest);
        }
        if self.fault == Fault::FoldsCase {
            fold(&mut request.key);
        }
        let mut response = self.model.clone().get(request.clone()).await?.into_inner();
        if self.fault == Fault::MatchesWildcards
            && response.record.is_none()
            && let Some(key) = &mut request.key
        {
            key.name = key.name.replace('_', "x");
            response = self.model.clone().get(request).await?.into_inner();
        }
        match (self.fault, &mut response.record) {
            (Fault::GetWithoutHeader, _) => response.header = None,
            (Fault::CutsAtZeroByte, Some(record)) => {
                let end = record.value.iter().position(|byte| *byte == 0);
                record.value.truncate(end.unwrap_or(record.value.len()));
            }
            _ => {}
        }
        Ok(response)
    }

    /// Returns the revision at which a watch silently starts instead of failing.
    pub(super) fn moved_start(&self, status: &Status) -> Option<i64> {
        let error = from_status(status)?;
        match (self.fault, error.reason()) {
            (Fault::CompactedStartsLater, Reason::Compacted) => Some(error.compact_revision),
            (Fault::ForgetsCompaction, Reason::Compacted) if self.has_restarted() => {
                Some(error.compact_revision)
            }
            (Fault::FutureStartsNow, Reason::FutureRevision) => Some(error.current_revision),
            _ => None,
        }
    }
}
