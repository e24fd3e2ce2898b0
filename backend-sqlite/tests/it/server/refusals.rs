//! Tests of rejected starts: each with a one-line message and an exit code.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use backend_proto::error::from_status;
use backend_proto::v1::WriteRequest;
use backend_proto::v1::backend_error::{Outcome, Reason};
use backend_proto::v1::op::Action;
use backend_proto::v1::op_result::Verdict;
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

/// Runs `command` with a limit of the file size in KiB.
fn limited(command: &Command, kib: usize) -> Command {
    let mut shell = Command::new("bash");
    let script = format!("ulimit -f {kib}; exec {command:?}");
    shell.args(["-c", &script]);
    shell
}

#[tokio::test]
async fn file_size_limit_is_a_full_disk() {
    let mut program = Program::new();
    let command = limited(&command(&program.database(), &program.socket()), 20 << 10);
    let client = program.start_as(command).await;
    let mut names = Vec::new();
    let error = loop {
        let name = format!("n{}", names.len());
        let create = op(Action::Create, &name, "v".repeat(100_000));
        let request = WriteRequest { ops: vec![create] };
        match client.clone().write(request).await {
            Ok(response) => match response.into_inner().results.remove(0).verdict {
                Some(Verdict::Applied(_)) => names.push(name),
                Some(Verdict::Refused(error)) => break error,
                other => panic!("{other:?}"),
            },
            Err(status) => break from_status(&status).expect("a typed error"),
        }
        assert!(names.len() < 1000, "the limit is never reached");
    };
    assert_eq!(error.reason(), Reason::NoSpace, "{error:?}");
    assert_eq!(list(&client).await.1.len(), names.len());
    for name in names {
        write(&client, op(Action::Delete, &name, ""))
            .await
            .expect("deleted");
    }
    assert_eq!(list(&client).await.1.len(), 0);
}

#[tokio::test]
async fn file_size_limit_fails_a_backup_with_a_message() {
    let mut program = Program::new();
    let client = program.start().await;
    for number in 0..20 {
        let create = op(Action::Create, &format!("n{number}"), "v".repeat(100_000));
        write(&client, create).await.expect("written");
    }
    let copy = program.folder.path().join("copy.db");
    let mut backup = Command::new(env!("CARGO_BIN_EXE_backend-sqlite"));
    backup.args(["backup", "--path"]).arg(program.database());
    backup.arg("--to").arg(&copy);
    let line = rejection(limited(&backup, 1 << 10));
    assert!(
        line.contains("copy.db") && line.contains("ulimit -f"),
        "{line}"
    );
    let left = std::fs::read_dir(program.folder.path()).expect("a directory");
    let names = left.map(|entry| entry.expect("an entry").file_name());
    for name in names {
        assert!(!name.to_string_lossy().contains("copy.db"), "{name:?}");
    }
}

#[tokio::test]
async fn database_that_is_a_mount_of_its_own_is_rejected() {
    let program = Program::new();
    let (other, database) = (program.folder.path().join("other"), program.database());
    std::fs::create_dir(&other).expect("a directory");
    // As with `docker run -v /host/ark.db:/data/ark.db`.
    let script = format!(
        "mount -t tmpfs none {other} && \
         {{ {first:?} & }}; first=$!; until [ -S {socket} ]; do sleep 0.05; done; \
         kill $first; wait $first; cp {database} {other}/ark.db && \
         mount --bind {other}/ark.db {database} && exec {first:?}",
        other = other.display(),
        database = database.display(),
        socket = program.socket().display(),
        first = command(&database, &program.socket()),
    );
    let mut shell = Command::new("unshare");
    shell
        .args(["-rm", "sh", "-c", &script])
        .env("ARK_LOG", "off");
    let output = shell.output().expect("a shell");
    let text = String::from_utf8(output.stderr).expect("text");
    if text.contains("unshare:") || text.contains("mount:") {
        // Mounting is not permitted here.
        return;
    }
    assert!(text.contains("on another device than its folder"), "{text}");
    assert!(text.contains("mount the folder"), "{text}");
}
