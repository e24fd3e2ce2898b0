//! Tests of the case that traces the flushes of a driver's process.

use std::path::PathBuf;
use std::sync::Arc;

use conformance::process::Process;
use conformance::report::Verdict;
use conformance::restart::Supervised;
use conformance::{Endpoint, RunOptions, Setup, cases, flushes, suite};

/// Path of the example program that serves the model.
pub(crate) fn model_process() -> PathBuf {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_backend-conformance"));
    let folder = program.parent().expect("a directory");
    folder.join("examples").join("model_process")
}

/// Runs the case against the model's process with further arguments.
async fn verdict(arguments: &str) -> Verdict {
    let folder = tempfile::tempdir().expect("temporary directory");
    let endpoint = Endpoint::unix(&folder.path().join("s"));
    let command = format!(
        "{} --listen $ENDPOINT {arguments}",
        model_process().display()
    );
    let process = Process::new(&command, &endpoint).expect("a process");
    let process = process
        .with("ENDPOINT", format!("unix://{}/s", folder.path().display()))
        .with("FOLDER", folder.path().display().to_string())
        .logging_in(folder.path());
    let supervised = Supervised::start(process, &endpoint).await;
    let supervised = Arc::new(supervised.expect("it serves"));
    let mut cases = cases::of_process();
    cases.retain(|case| case.id.starts_with("S6-"));
    let run_options = RunOptions {
        seed: 1,
        long: false,
    };
    let setup = Setup::new(None, Some(supervised));
    let rows = suite::run_in(&endpoint, &setup, &cases, run_options, |_| ()).await;
    rows.expect("it answers").remove(0).verdict
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_flushed_commits_pass() {
    let journal = "--journal $FOLDER/journal";
    let flushed = verdict(&format!("{journal} --flushed")).await;
    let unflushed = verdict(journal).await;
    let unseen = verdict("").await;
    assert!(matches!(unseen, Verdict::Skipped(_)), "{unseen:?}");
    if !flushes::available() {
        assert!(matches!(unflushed, Verdict::Skipped(_)), "{unflushed:?}");
        return;
    }
    assert_eq!(flushed, Verdict::Passed);
    let Verdict::Failed(sentence) = unflushed else {
        panic!("a driver without flushes is not detected: {unflushed:?}");
    };
    assert!(sentence.starts_with("20 of 20"), "{sentence}");
    assert!(sentence.contains("/journal was written"), "{sentence}");
}
