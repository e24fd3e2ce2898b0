//! Tests that every fault is detected by the case of the violated rule.

use std::sync::Arc;

use conformance::cases::{self, Case};
use conformance::report::{Row, Verdict};
use conformance::{RunOptions, Setup, suite};

use crate::mutant::{Empty, Fault, Mutant, Restarting};

async fn run_cases(fault: Fault, cases: &[Case]) -> Vec<Row> {
    let mutant = Mutant::start(fault).await;
    let endpoint = mutant.endpoint();
    let mutant = Arc::new(Restarting::new(mutant));
    let run_options = RunOptions {
        seed: 13,
        long: false,
    };
    let setup = Setup::new(Some(Arc::new(Empty(fault))), Some(Arc::clone(&mutant) as _));
    let rows = suite::run_in(&endpoint, &setup, cases, run_options, |_| ()).await;
    mutant.stop().await;
    rows.expect("the mutant answers")
}

/// All cases, with those of a driver's process.
fn all() -> Vec<Case> {
    [cases::all(), cases::of_process()].concat()
}

/// Asserts that each of the named cases fails.
async fn assert_detected(fault: Fault, ids: &[&str]) {
    let mut cases = all();
    cases.retain(|case| ids.contains(&case.id));
    assert_eq!(
        cases.len(),
        ids.len(),
        "{fault:?}: a case that does not exist"
    );
    for row in run_cases(fault, &cases).await {
        assert!(
            matches!(row.verdict, Verdict::Failed(_)),
            "{fault:?} is not caught: {row}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proxy_without_fault_passes_every_case() {
    for row in run_cases(Fault::None, &all()).await {
        // The proxy is not a process of its own.
        let excused = row.id.starts_with("S6-") && matches!(row.verdict, Verdict::Skipped(_));
        assert!(excused || row.verdict == Verdict::Passed, "{row}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn driver_without_origins_skips_origin_cases() {
    let ids = ["B5-", "B6-", "D1-", "E6-", "E7-several", "V3-"];
    let mut cases = cases::all();
    cases.retain(|case| ids.iter().any(|id| case.id.starts_with(id)));
    for row in run_cases(Fault::KnowsNoOrigins, &cases).await {
        let excused = matches!(row.verdict, Verdict::Skipped(_));
        assert_eq!(excused, row.id == "B6-origins", "{row}");
        assert!(excused || row.verdict == Verdict::Passed, "{row}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watch_faults_are_detected() {
    let reliable = "V3-every-change-once-and-in-order";
    let table: [(Fault, &[&str]); 11] = [
        (Fault::DropsAtOverflow, &["V3-a-long-history-is-complete"]),
        (
            Fault::DropsAnEvent,
            &[
                reliable,
                "W3-linearizable",
                "V5-resumes-from-any-revision",
                "V9-a-watch-behind-compaction-fails",
            ],
        ),
        (Fault::SwapsTwoEvents, &[reliable, "W3-linearizable"]),
        (Fault::RepeatsAnEvent, &[reliable, "W3-linearizable"]),
        (
            Fault::WrongPrevious,
            &[reliable, "V8-events-name-the-replaced-revision"],
        ),
        (
            Fault::ProgressTooEarly,
            &[reliable, "V13-progress-only-after-its-events"],
        ),
        (Fault::ProgressGoesBack, &["V6-progress-while-idle"]),
        (Fault::NoProgress, &["V6-progress-while-idle"]),
        (
            Fault::WatchesEverything,
            &[
                "V7-ranges-filter-events",
                "V6-progress-includes-changes-outside-the-ranges",
            ],
        ),
        (Fault::CompactedStartsLater, &["V9-a-compacted-start-fails"]),
        (Fault::FutureStartsNow, &["V11-a-future-start-fails"]),
    ];
    for (fault, ids) in table {
        assert_detected(fault, ids).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn list_and_read_faults_are_detected() {
    let latest = "L1-reads-see-every-acknowledged-write";
    let snapshot = "R2-a-snapshot-holds-everything-below";
    let (pages, bytes) = (
        "L5-pages-at-the-present-make-up-the-list",
        "L7-keys-are-compared-by-bytes",
    );
    let table: [(Fault, &[&str]); 14] = [
        (Fault::IgnoresAfter, &[pages]),
        (Fault::StartsOverAtMissingKeys, &[pages]),
        (Fault::FoldsCase, &[bytes]),
        (Fault::MatchesWildcards, &[bytes]),
        (Fault::ShortList, &["L7-records-are-in-key-order", snapshot]),
        (Fault::ListWithoutTrailer, &["L7-records-are-in-key-order"]),
        (
            Fault::ListsThePresent,
            &["L4-list-at-a-revision", "L5-pages-come-from-one-snapshot"],
        ),
        (
            Fault::NeverMore,
            &[
                "L8-more-reports-whether-keys-follow",
                "L5-pages-come-from-one-snapshot",
            ],
        ),
        (
            Fault::ShortExport,
            &["E1-an-export-is-one-snapshot", "E2-an-export-that-follows"],
        ),
        (Fault::StaleGet, &[latest, "W3-linearizable"]),
        (Fault::StaleCurrentRevision, &[latest]),
        (Fault::GetWithoutHeader, &["D2-header-in-every-response"]),
        (Fault::CutsAtZeroByte, &["B1-values-are-binary-exact"]),
        (
            Fault::UntypedErrors,
            &["L4-reads-of-the-future-fail", "V9-a-compacted-start-fails"],
        ),
    ];
    for (fault, ids) in table {
        assert_detected(fault, ids).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn write_faults_are_detected() {
    let table: [(Fault, &[&str]); 13] = [
        (Fault::TrimsValues, &["B1-values-are-binary-exact"]),
        (Fault::ForgetsManagers, &["B6-origins"]),
        (Fault::ForgetsVerbs, &["B6-origins"]),
        (Fault::ForgetsSubresources, &["B6-origins"]),
        (Fault::CutsTooLate, &["B6-origins"]),
        (
            Fault::ReusesARevision,
            &["R1-revisions-increase", "W3-linearizable"],
        ),
        (
            Fault::LosesAWrite,
            &["W3-linearizable", "V3-every-change-once-and-in-order"],
        ),
        (
            Fault::CreateOverwrites,
            &[
                "W1-create-only-if-absent",
                "W1-one-of-many-creates-wins",
                "W3-linearizable",
            ],
        ),
        (
            Fault::IgnoresExpectedRevision,
            &[
                "W2-update-expects-its-revision",
                "W2-delete-expects-its-revision",
                "W2-one-of-many-updates-wins",
                "W3-linearizable",
            ],
        ),
        (Fault::IgnoresExpectedUid, &["W6-uid-precondition"]),
        (
            Fault::ForgetsOpIds,
            &[
                "W5-op-id-applies-once",
                "W5-concurrent-op-ids-apply-once",
                "F7-applied-operations-are-still-acknowledged",
            ],
        ),
        (Fault::NoopBurnsARevision, &["W4-noop-writes-nothing"]),
        (
            Fault::LosersBurnARevision,
            &["R1-conflicts-use-no-revision"],
        ),
    ];
    for (fault, ids) in table {
        assert_detected(fault, ids).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fence_faults_are_detected() {
    let refuses = "F1-a-fence-refuses-writes";
    let table: [(Fault, &[&str]); 6] = [
        (
            Fault::IgnoresAFence,
            &[refuses, "F5-no-change-after-a-fence"],
        ),
        (
            Fault::ForgetsTheReason,
            &[
                refuses,
                "F2-a-fence-needs-a-reason",
                "F4-a-fence-is-reported",
            ],
        ),
        (Fault::HidesAFence, &["F4-a-fence-is-reported"]),
        (Fault::FencesTooEarly, &["F5-no-change-after-a-fence"]),
        (Fault::NeverLifts, &["F6-a-lifted-fence-serves-writes"]),
        (Fault::FencesReads, &["F3-reads-and-watches-continue"]),
    ];
    for (fault, ids) in table {
        assert_detected(fault, ids).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn move_faults_are_detected() {
    let (one, several) = (
        "E6-an-import-is-the-exported-store",
        "E7-several-calls-equal-one",
    );
    let (carries_on, unseen) = (
        "E9-an-import-resumes",
        "E8-an-unfinished-import-is-invisible",
    );
    let table: [(Fault, &[&str]); 13] = [
        (Fault::ExportsAnew, &["E5-an-export-resumes", carries_on]),
        (
            Fault::ExportsThePresent,
            &["E5-an-export-resumes", carries_on],
        ),
        (Fault::ShowsHalfAStore, &[unseen, carries_on]),
        (Fault::KeepsBrokenCalls, &[carries_on]),
        (Fault::ForgetsProgress, &[carries_on]),
        (Fault::LosesImportedEvents, &[one, several]),
        (Fault::LosesImportedOrigins, &[one, several]),
        (Fault::TakesAnySource, &["E10-an-import-has-one-source"]),
        (
            Fault::DiscardsNothing,
            &["E11-a-discarded-import-starts-over"],
        ),
        (Fault::KeepsTheEpoch, &["E7-an-import-that-begins-an-epoch"]),
        (Fault::IgnoresTheClock, &["E7-an-epoch-begins-by-the-clock"]),
        (
            Fault::TakesLargeRevisions,
            &["R8-revisions-fit-into-a-double"],
        ),
        (Fault::LargeRevisions, &["D2-header-in-every-response"]),
    ];
    for (fault, ids) in table {
        assert_detected(fault, ids).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_of_sizes_and_health_are_detected() {
    let (limits, fits) = (
        "W10-a-request-at-the-limits",
        "W13-a-response-fits-into-a-message",
    );
    let table: [(Fault, &[&str]); 8] = [
        (Fault::LargeResponses, &[fits]),
        (Fault::SmallRequests, &[limits]),
        (Fault::NoRequestLimits, &[limits]),
        (Fault::SmallLimits, &["D1-describe-is-complete"]),
        (Fault::SlowHealth, &["D3-a-serving-driver-is-ready"]),
        (
            Fault::NoProbes,
            &[
                "D4-health-is-published-for-probes",
                "F4-a-fence-is-reported",
            ],
        ),
        (
            Fault::ProbesAreConstant,
            &["E8-an-unfinished-import-is-invisible"],
        ),
        (Fault::ShortConnections, &["D5-connections-stay-open"]),
    ];
    for (fault, ids) in table {
        assert_detected(fault, ids).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_of_exports_and_imports_are_detected() {
    let (progress, header) = (
        "E2-an-export-reports-progress",
        "E3-an-export-after-a-revision",
    );
    let table: [(Fault, &[&str]); 5] = [
        (Fault::FrozenClock, &["E7-an-epoch-begins-by-the-clock"]),
        (
            Fault::TakesUnreadable,
            &["E12-unreadable-records-are-not-imported"],
        ),
        (Fault::ExportsFromNow, &[header]),
        (Fault::HidesExportProgress, &[progress]),
        (Fault::UnwantedExportProgress, &[progress]),
    ];
    for (fault, ids) in table {
        assert_detected(fault, ids).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_of_restarts_are_detected() {
    let (fence, identity, import) = (
        "S3-a-fence-survives-a-kill",
        "S4-the-identity-survives-a-kill",
        "S5-an-unfinished-import-survives-a-kill",
    );
    let table: [(Fault, &[&str]); 8] = [
        (
            Fault::CounterFromLog,
            &["S1-the-revision-survives-a-kill-after-compaction"],
        ),
        (Fault::ForgetsCompaction, &["S2-compaction-survives-a-kill"]),
        (Fault::LiftsAFence, &[fence]),
        (Fault::KeepsALiftedFence, &[fence]),
        (Fault::NewIdentity, &[identity]),
        (Fault::NewEpoch, &[identity]),
        (Fault::FinishesImports, &[import]),
        (Fault::DropsImports, &[import]),
    ];
    for (fault, ids) in table {
        assert_detected(fault, ids).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_of_space_and_retention_are_detected() {
    let full = "S7-a-full-disk-rejects-creates-and-updates-only";
    let table: [(Fault, &[&str]); 3] = [
        (Fault::FullIsInternal, &[full]),
        (Fault::FullRejectsDeletes, &[full]),
        (Fault::KeepsNoEvents, &["S8-old-history-is-dropped"]),
    ];
    for (fault, ids) in table {
        assert_detected(fault, ids).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_name_the_call_and_its_request() {
    let mut cases = all();
    cases.retain(|case| case.id == "L4-reads-of-the-future-fail");
    let rows = run_cases(Fault::UntypedErrors, &cases).await;
    let Verdict::Failed(sentence) = &rows[0].verdict else {
        panic!("not failed: {}", rows[0]);
    };
    assert!(sentence.contains("Get { key { group: \"g"), "{sentence}");
    assert!(sentence.contains("failed with OUT_OF_RANGE"), "{sentence}");
    assert!(sentence.contains("expected FUTURE_REVISION"), "{sentence}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shared_preparation_fails_one_case_only() {
    let mut cases = all();
    cases.retain(|case| case.id.starts_with("E6-") || case.id.starts_with("E9-"));
    let rows = run_cases(Fault::ShortExport, &cases).await;
    let failed = matches!(&rows[0].verdict, Verdict::Failed(why) if why.contains("exporting"));
    assert!(failed, "{}", rows[0]);
    let skipped = matches!(&rows[1].verdict, Verdict::Skipped(why) if why.ends_with(rows[0].id));
    assert!(skipped, "{}", rows[1]);
}
