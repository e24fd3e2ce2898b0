//! Tests that every fault is detected by the case of the violated rule.

use std::sync::Arc;

use conformance::cases::{self, Case};
use conformance::report::{Row, Verdict};
use conformance::{Effort, suite};

use crate::mutant::{Empty, Lie, Mutant};

async fn judge(lie: Lie, cases: &[Case]) -> Vec<Row> {
    let mutant = Mutant::start(lie).await;
    let effort = Effort {
        seed: 13,
        long: false,
    };
    let (endpoint, empty) = (mutant.endpoint(), Some(Arc::new(Empty(lie)) as _));
    let rows = suite::run_with(&endpoint, empty, cases, effort, |_| ()).await;
    mutant.stop().await;
    rows.expect("the mutant answers")
}

/// Asserts that each of the named cases fails.
async fn caught(lie: Lie, ids: &[&str]) {
    let mut cases = cases::all();
    cases.retain(|case| ids.contains(&case.id));
    assert_eq!(
        cases.len(),
        ids.len(),
        "{lie:?}: a case that does not exist"
    );
    for row in judge(lie, &cases).await {
        assert!(
            matches!(row.verdict, Verdict::Failed(_)),
            "{lie:?} is not caught: {row}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_between_is_no_reason_to_fail() {
    for row in judge(Lie::None, &cases::all()).await {
        assert_eq!(row.verdict, Verdict::Passed, "{row}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_driver_without_origins_is_excused_from_keeping_them() {
    let ids = ["B5-", "B6-", "D1-", "E6-", "E7-several", "V3-"];
    let mut cases = cases::all();
    cases.retain(|case| ids.iter().any(|id| case.id.starts_with(id)));
    for row in judge(Lie::KnowsNoOrigins, &cases).await {
        let excused = matches!(row.verdict, Verdict::Skipped(_));
        assert_eq!(excused, row.id == "B6-origins", "{row}");
        assert!(excused || row.verdict == Verdict::Passed, "{row}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lies_in_watches_are_caught() {
    let reliable = "V3-every-change-once-and-in-order";
    let table: [(Lie, &[&str]); 10] = [
        (
            Lie::DropsAnEvent,
            &[reliable, "W3-linearizable", "V5-resumes-from-any-revision"],
        ),
        (Lie::SwapsTwoEvents, &[reliable, "W3-linearizable"]),
        (Lie::RepeatsAnEvent, &[reliable, "W3-linearizable"]),
        (
            Lie::WrongPrevious,
            &[reliable, "V8-events-say-what-they-replaced"],
        ),
        (
            Lie::ProgressTooEarly,
            &[reliable, "V13-progress-only-after-its-events"],
        ),
        (Lie::ProgressGoesBack, &["V6-progress-in-silence"]),
        (Lie::NoProgress, &["V6-progress-in-silence"]),
        (
            Lie::WatchesEverything,
            &[
                "V7-ranges-filter-events",
                "V6-progress-passes-foreign-changes",
            ],
        ),
        (Lie::CompactedStartsLater, &["V9-a-compacted-start-fails"]),
        (Lie::FutureStartsNow, &["V11-a-future-start-fails"]),
    ];
    for (lie, ids) in table {
        caught(lie, ids).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lies_in_lists_and_reads_are_caught() {
    let latest = "L1-reads-see-every-acknowledged-write";
    let snapshot = "R2-a-snapshot-holds-everything-below";
    let table: [(Lie, &[&str]); 10] = [
        (Lie::ShortList, &["L7-records-are-in-key-order", snapshot]),
        (Lie::ListWithoutTrailer, &["L7-records-are-in-key-order"]),
        (
            Lie::ListsThePresent,
            &["L4-list-at-a-revision", "L5-pages-come-from-one-snapshot"],
        ),
        (
            Lie::NeverMore,
            &[
                "L8-more-says-whether-keys-follow",
                "L5-pages-come-from-one-snapshot",
            ],
        ),
        (
            Lie::ShortExport,
            &["E1-an-export-is-one-snapshot", "E2-an-export-that-follows"],
        ),
        (Lie::StaleGet, &[latest, "W3-linearizable"]),
        (Lie::StaleCurrentRevision, &[latest]),
        (Lie::GetWithoutHeader, &["D2-header-in-every-response"]),
        (Lie::CutsAtZeroByte, &["B1-values-are-binary-exact"]),
        (
            Lie::UntypedErrors,
            &["L4-reads-of-the-future-fail", "V9-a-compacted-start-fails"],
        ),
    ];
    for (lie, ids) in table {
        caught(lie, ids).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lies_in_writes_are_caught() {
    let table: [(Lie, &[&str]); 12] = [
        (Lie::ForgetsManagers, &["B6-origins"]),
        (Lie::ForgetsVerbs, &["B6-origins"]),
        (Lie::ForgetsSubresources, &["B6-origins"]),
        (Lie::CutsTooLate, &["B6-origins"]),
        (
            Lie::ReusesARevision,
            &["R1-revisions-increase", "W3-linearizable"],
        ),
        (
            Lie::LosesAWrite,
            &["W3-linearizable", "V3-every-change-once-and-in-order"],
        ),
        (
            Lie::CreateOverwrites,
            &[
                "W1-create-only-if-absent",
                "W1-one-of-many-creates-wins",
                "W3-linearizable",
            ],
        ),
        (
            Lie::IgnoresExpectedRevision,
            &[
                "W2-update-expects-its-revision",
                "W2-delete-expects-its-revision",
                "W2-one-of-many-updates-wins",
                "W3-linearizable",
            ],
        ),
        (Lie::IgnoresExpectedUid, &["W6-uid-precondition"]),
        (
            Lie::ForgetsOpIds,
            &[
                "W5-op-id-applies-once",
                "W5-op-ids-that-meet",
                "F7-what-was-applied-before-is-still-told",
            ],
        ),
        (Lie::NoopBurnsARevision, &["W4-noop-writes-nothing"]),
        (Lie::LosersBurnARevision, &["R1-losers-cost-no-revision"]),
    ];
    for (lie, ids) in table {
        caught(lie, ids).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lies_in_fences_are_caught() {
    let refuses = "F1-a-fence-refuses-writes";
    let table: [(Lie, &[&str]); 6] = [
        (Lie::IgnoresAFence, &[refuses, "F5-no-change-after-a-fence"]),
        (
            Lie::ForgetsTheReason,
            &[refuses, "F2-a-fence-needs-a-reason", "F4-a-fence-is-told"],
        ),
        (Lie::HidesAFence, &["F4-a-fence-is-told"]),
        (Lie::FencesTooEarly, &["F5-no-change-after-a-fence"]),
        (Lie::NeverLifts, &["F6-a-lifted-fence-serves-writes"]),
        (Lie::FencesReads, &["F3-reads-and-watches-go-on"]),
    ];
    for (lie, ids) in table {
        caught(lie, ids).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lies_in_moves_are_caught() {
    let (one, several) = (
        "E6-an-import-is-the-exported-store",
        "E7-several-calls-make-what-one-makes",
    );
    let (carries_on, unseen) = ("E9-an-import-carries-on", "E8-half-a-store-is-not-seen");
    let table: [(Lie, &[&str]); 13] = [
        (Lie::ExportsAnew, &["E5-an-export-carries-on", carries_on]),
        (
            Lie::ExportsThePresent,
            &["E5-an-export-carries-on", carries_on],
        ),
        (Lie::ShowsHalfAStore, &[unseen, carries_on]),
        (Lie::KeepsBrokenCalls, &[carries_on]),
        (Lie::ForgetsProgress, &[carries_on]),
        (Lie::LosesImportedEvents, &[one, several]),
        (Lie::LosesImportedOrigins, &[one, several]),
        (Lie::TakesAnySource, &["E10-an-import-has-one-source"]),
        (Lie::DiscardsNothing, &["E11-what-is-discarded-is-gone"]),
        (Lie::KeepsTheEpoch, &["E7-an-import-that-begins-an-epoch"]),
        (Lie::IgnoresTheClock, &["E7-an-epoch-begins-by-the-clock"]),
        (
            Lie::TakesLargeRevisions,
            &["R8-revisions-fit-into-a-double"],
        ),
        (Lie::LargeRevisions, &["D2-header-in-every-response"]),
    ];
    for (lie, ids) in table {
        caught(lie, ids).await;
    }
}
