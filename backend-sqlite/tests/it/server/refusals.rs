//! Tests of rejected starts: each with a one-line message and an exit code.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use backend_proto::error::from_status;
use backend_proto::v1::backend_error::Outcome;
use backend_proto::v1::op::Action;
use rustix::process::{Resource, Rlimit, prlimit};

use crate::server::program::{Program, client, command, create, list, op, write};

fn rejection(mut command: Command) -> String {
    let output = command
        .env("ARK_LOG", "off")
        .output()
        .expect("the program runs");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).expect("text");
    assert!(
        text.starts_with("error: ") && text.lines().count() == 1,
        "{text}"
    );
    text
}

#[tokio::test]
async fn invalid_addresses_files_and_second_process_are_rejected() {
    let mut program = Program::new();
    program.start().await;
    let folder = program.folder.path();
    let letter = folder.join("letter");
    std::fs::write(&letter, "dear reader, this is no database").expect("write");
    let free = folder.join("free");
    let cases: [(Command, &str); 5] = [
        (command(&program.database(), &free), "in use by process"),
        (
            command(&folder.join("other.db"), &program.socket()),
            "another process serves there",
        ),
        (command(&letter, &free), "not a SQLite database"),
        (
            command(&folder.join("other.db"), &letter),
            "a file that is not a socket",
        ),
        (command(Path::new("/proc/ark.db"), &free), "/proc/ark.db"),
    ];
    for (command, words) in cases {
        let line = rejection(command);
        assert!(line.contains(words), "{line}");
    }
}

#[tokio::test]
async fn closed_standard_input_stops_in_order() {
    let program = Program::new();
    let (database, socket) = (program.database(), program.socket());
    let serve = || {
        let mut command = command(&database, &socket);
        command.arg("--exit-on-stdin-close");
        command
    };
    let mut no_pipe = serve();
    no_pipe.stdin(Stdio::null());
    let line = rejection(no_pipe);
    assert!(line.contains("needs a pipe as standard input"), "{line}");

    let mut child = serve().stdin(Stdio::piped()).spawn().expect("starts");
    let client = client(&socket);
    let deadline = Instant::now() + Duration::from_secs(10);
    let write_one = || write(&client, op(Action::Create, "a", "a"));
    while write_one().await.is_err() {
        assert!(Instant::now() < deadline, "the program never answers");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(child.try_wait().expect("wait"), None);
    drop(child.stdin.take());
    // Only the closed standard input stops the process.
    let status = tokio::task::spawn_blocking(move || child.wait()).await;
    assert!(status.expect("joined").expect("waited").success());
    let lock = database.with_extension("db.lock");
    assert_eq!(std::fs::read_to_string(lock).expect("lock file"), "");
}

#[tokio::test]
async fn failing_disk_ends_the_process_with_unknown_outcome() {
    let mut program = Program::new();
    let client = program.start().await;
    create(&client, "before").await;
    // The file size limit makes writes fail with an error other than "disk full". Set it after the
    // start, because the driver takes a limit into account that it finds at the start.
    let limit = Rlimit {
        current: Some(400 << 10),
        maximum: None,
    };
    prlimit(Some(program.pid()), Resource::Fsize, limit).expect("a limit");
    let mut failed = None;
    for number in 0..2000 {
        let next = op(Action::Create, &format!("n{number}"), "v".repeat(4000));
        if let Err(status) = write(&client, next).await {
            failed = from_status(&status);
            break;
        }
    }
    let error = failed.expect("a typed error");
    assert_eq!(error.outcome(), Outcome::Unknown);
    // The process exits by itself, with the code for an unknown outcome.
    assert_eq!(program.ended().code(), Some(3));
    let client = program.start().await;
    let (_, records) = list(&client).await;
    assert!(
        records
            .iter()
            .any(|record| record.key.as_ref().is_some_and(|key| key.name == "before"))
    );
    create(&client, "after").await;
}
