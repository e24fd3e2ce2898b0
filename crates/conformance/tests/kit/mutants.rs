//! Tests that every fault is detected by the case of the violated rule.

use std::sync::Arc;

use conformance::cases::{self, Case};
use conformance::report::{Row, Verdict};
use conformance::{RunOptions, suite};

use crate::mutant::{Empty, Fault, Mutant};

async fn run_cases(fault: Fault, cases: &[Case]) -> Vec<Row> {
    let mutant = Mutant::start(fault).await;
    let run_options = RunOptions {
        seed: 13,
        long: false,
    };
    let (endpoint, empty) = (mutant.endpoint(), Some(Arc::new(Empty(fault)) as _));
    let rows = suite::run_with(&endpoint, empty, cases, run_options, |_| ()).await;
    mutant.stop().await;
    rows.expect("the mutant answers")
}

/// Asserts that each of the named cases fails.
async fn assert_detected(fault: Fault, ids: &[&str]) {
    let mut cases = cases::all();
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
    for row in run_cases(Fault::None, &cases::all()).await {
        assert_eq!(row.verdict, Verdict::Passed, "{row}");
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
    let table: [(Fault, &[&str]); 10] = [
        (
            Fault::DropsAnEvent,
            &[reliable, "W3-linearizable", "V5-resumes-from-any-revision"],
        ),
        (Fault::SwapsTwoEvents, &[reliable, "W3-linearizable"]),
        (Fault::RepeatsAnEvent, &[reliable, "W3-linearizable"]),
        (
            Fault::WrongPrevious,
            &[reliable, "V8-events-say-what-they-replaced"],
        ),
        (
            Fault::ProgressTooEarly,
            &[reliable, "V13-progress-only-after-its-events"],
        ),
        (Fault::ProgressGoesBack, &["V6-progress-in-silence"]),
        (Fault::NoProgress, &["V6-progress-in-silence"]),
        (
            Fault::WatchesEverything,
            &[
                "V7-ranges-filter-events",
                "V6-progress-passes-foreign-changes",
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
    let table: [(Fault, &[&str]); 10] = [
        (Fault::ShortList, &["L7-records-are-in-key-order", snapshot]),
        (Fault::ListWithoutTrailer, &["L7-records-are-in-key-order"]),
        (
            Fault::ListsThePresent,
            &["L4-list-at-a-revision", "L5-pages-come-from-one-snapshot"],
        ),
        (
            Fault::NeverMore,
            &[
                "L8-more-says-whether-keys-follow",
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
    let table: [(Fault, &[&str]); 12] = [
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
                "W5-op-ids-that-meet",
                "F7-what-was-applied-before-is-still-told",
            ],
        ),
        (Fault::NoopBurnsARevision, &["W4-noop-writes-nothing"]),
        (Fault::LosersBurnARevision, &["R1-losers-cost-no-revision"]),
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
            &[refuses, "F2-a-fence-needs-a-reason", "F4-a-fence-is-told"],
        ),
        (Fault::HidesAFence, &["F4-a-fence-is-told"]),
        (Fault::FencesTooEarly, &["F5-no-change-after-a-fence"]),
        (Fault::NeverLifts, &["F6-a-lifted-fence-serves-writes"]),
        (Fault::FencesReads, &["F3-reads-and-watches-go-on"]),
    ];
    for (fault, ids) in table {
        assert_detected(fault, ids).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn move_faults_are_detected() {
    let (one, several) = (
        "E6-an-import-is-the-exported-store",
        "E7-several-calls-make-what-one-makes",
    );
    let (carries_on, unseen) = ("E9-an-import-carries-on", "E8-half-a-store-is-not-seen");
    let table: [(Fault, &[&str]); 13] = [
        (Fault::ExportsAnew, &["E5-an-export-carries-on", carries_on]),
        (
            Fault::ExportsThePresent,
            &["E5-an-export-carries-on", carries_on],
        ),
        (Fault::ShowsHalfAStore, &[unseen, carries_on]),
        (Fault::KeepsBrokenCalls, &[carries_on]),
        (Fault::ForgetsProgress, &[carries_on]),
        (Fault::LosesImportedEvents, &[one, several]),
        (Fault::LosesImportedOrigins, &[one, several]),
        (Fault::TakesAnySource, &["E10-an-import-has-one-source"]),
        (Fault::DiscardsNothing, &["E11-what-is-discarded-is-gone"]),
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
