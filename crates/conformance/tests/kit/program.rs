//! Tests of the command line: output and exit codes.

use std::process::Command;
use std::sync::Arc;

use conformance::{ModelDriver, cases, crash};

use crate::flushes::model_process;
use crate::served::Served;

struct Ran {
    code: Option<i32>,
    output: String,
    errors: String,
}

/// Runs the program to its end, without blocking the test's servers.
async fn run(arguments: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_backend-conformance"));
    command.args(arguments);
    let output = tokio::task::spawn_blocking(move || command.output());
    let output = output.await.expect("task").expect("the program runs");
    Ran {
        code: output.status.code(),
        output: String::from_utf8(output.stdout).expect("text"),
        errors: String::from_utf8(output.stderr).expect("text"),
    }
}

#[tokio::test]
async fn list_prints_every_case() {
    let ran = run(&["--list"]).await;
    assert_eq!(ran.code, Some(0));
    let expected = cases::all().len() + cases::of_process().len() + crash::rules().len() + 1;
    assert_eq!(ran.output.lines().count(), expected);
    let some = run(&["--list", "--only", "W4-"]).await;
    assert_eq!(some.output.lines().count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn running_driver_is_checked() {
    let served = Served::start(Arc::new(ModelDriver::new())).await;
    let endpoint = format!("unix://{}", served.socket().display());
    let folder = tempfile::tempdir().expect("temporary directory");
    let junit = folder.path().join("junit.xml");
    let junit = junit.to_str().expect("text");
    let ran = run(&["--endpoint", &endpoint, "--only", "W4-", "--junit", junit]).await;
    assert_eq!(ran.code, Some(0), "{}", ran.errors);
    assert!(ran.output.ends_with("1 passed, 0 failed, 0 skipped\n"));
    let xml = std::fs::read_to_string(junit).expect("written");
    assert!(xml.contains("name=\"W4-noop-writes-nothing\""));
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn import_cases_require_empty_stores() {
    let served = Served::start(Arc::new(ModelDriver::new())).await;
    let endpoint = format!("unix://{}", served.socket().display());
    let only = ["--endpoint", &endpoint, "--only", "E6-"];
    let ran = run(&only).await;
    assert_eq!(ran.code, Some(0), "{}", ran.errors);
    assert!(ran.output.ends_with("0 passed, 0 failed, 1 skipped\n"));
    let ends = "echo $FOLDER is no good; exit 7";
    let ran = run(&[&only[..], &["--empty-command", ends]].concat()).await;
    assert_eq!(ran.code, Some(1), "{}", ran.errors);
    assert!(ran.output.contains("is no good"), "{}", ran.output);
    served.stop().await;
}

#[tokio::test]
async fn errors_and_failed_cases_have_different_exit_codes() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let unserved = format!("unix://{}/s", folder.path().display());
    let nothing = ["--endpoint", &unserved];
    let ends = [
        "--endpoint",
        &unserved,
        "--restart-command",
        "echo no luck >&2; exit 7",
    ];
    let table: [(&[&str], &str); 5] = [
        (&[], "--endpoint"),
        (&["--endpoint", "http://host"], "must be unix:///PATH"),
        (
            &["--endpoint", &unserved, "--only", "nonsense"],
            "no case has that id",
        ),
        (&nothing, "error: unix://"),
        (&ends, "no luck"),
    ];
    for (arguments, words) in table {
        let ran = run(arguments).await;
        assert_eq!(ran.code, Some(2), "{arguments:?}");
        assert!(ran.errors.contains(words), "{arguments:?}: {}", ran.errors);
    }
}

#[tokio::test]
async fn rules_are_explained_by_number_and_by_case() {
    for name in ["R5", "r5-any"] {
        let ran = run(&["--explain", name]).await;
        assert_eq!(ran.code, Some(0), "{}", ran.errors);
        assert!(
            ran.output
                .starts_with("R5: An acknowledged change survives")
        );
        assert!(ran.output.contains("C2-nothing-acknowledged-is-lost"));
    }
    let ran = run(&["--explain", "X9"]).await;
    assert_eq!(ran.code, Some(2));
    assert!(ran.errors.contains("no rule has the number X9"));
}

#[tokio::test]
async fn commands_are_run_by_the_shell() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let endpoint = format!("unix://{}/s", folder.path().display());
    let program = model_process();
    let program = program.display();
    let before = "set -u; umask 077; [ -n \"$ENDPOINT\" ] && ";
    // A driver that replaces the shell, one that it waits for, and one with a failing cleanup.
    for (command, code) in [
        (format!("{before} exec {program} --listen $ENDPOINT"), 0),
        (format!("{before} {program} --listen $ENDPOINT; exit $?"), 0),
        (format!("{before} {program} --listen $ENDPOINT; exit 3"), 1),
    ] {
        let arguments = ["--endpoint", &endpoint, "--restart-command", &command];
        let ran = run(&[&arguments[..], &["--only", "C7-"]].concat()).await;
        assert_eq!(
            ran.code,
            Some(code),
            "{command}: {}{}",
            ran.output,
            ran.errors
        );
    }
}
