//! Tests of a full disk: which calls continue, and that all resume once there is space.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use backend_proto::error::from_status;
use backend_proto::v1::backend_error::Reason;
use backend_proto::v1::op::Action;
use backend_proto::v1::op_result::Verdict;
use backend_proto::v1::{HealthRequest, Op, WriteRequest, health_response};
use backend_sqlite::{Options, SqliteDriver};
use conformance::Served;
use std::sync::Arc;

use crate::server::program::{Client, Program, client, command, list, op};

/// Recovery takes seconds; the rest is slack for busy machines.
const SOON: Duration = Duration::from_secs(60);

/// Returns the reason of a rejection; `None` if the operation was applied.
async fn rejection(client: &Client, op: Op) -> Option<Reason> {
    let request = WriteRequest { ops: vec![op] };
    match client.clone().write(request).await {
        Ok(response) => match response.into_inner().results.remove(0).verdict {
            Some(Verdict::Applied(_)) => None,
            Some(Verdict::Refused(error)) => Some(error.reason()),
            other => panic!("a conflict: {other:?}"),
        },
        Err(status) => Some(from_status(&status).expect("a typed error").reason()),
    }
}

async fn state(client: &Client) -> health_response::State {
    let health = client.clone().health(HealthRequest {}).await;
    health.expect("health").into_inner().state()
}

/// Creates objects until the disk is full; returns their names.
async fn fill(client: &Client, bytes: usize) -> Vec<String> {
    let mut names = Vec::new();
    loop {
        let name = format!("n{:04}", names.len());
        let create = op(Action::Create, &name, vec![b'v'; bytes]);
        match rejection(client, create).await {
            None => names.push(name),
            Some(reason) => {
                assert_eq!(reason, Reason::NoSpace);
                return names;
            }
        }
        assert!(names.len() < 1000, "the disk is never full");
    }
}

/// Deletes all objects and waits for space, although their history is still retained.
async fn empty(client: &Client, names: Vec<String>, bytes: usize) {
    assert_eq!(list(client).await.1.len(), names.len());
    for name in names {
        assert_eq!(rejection(client, op(Action::Delete, &name, "")).await, None);
    }
    let deadline = Instant::now() + SOON;
    loop {
        // Clients that retry without pause must not prevent the space from being freed.
        let create = op(Action::Create, "again", vec![b'v'; bytes]);
        match rejection(client, create).await {
            None => break,
            Some(reason) => assert_eq!(reason, Reason::NoSpace),
        }
        assert!(Instant::now() < deadline, "never room again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let deadline = Instant::now() + SOON;
    while state(client).await != health_response::State::Ready {
        assert!(Instant::now() < deadline, "never ready again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn deleting_objects_frees_space() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let mut options = Options::new(folder.path().join("ark.db"));
    options.max_pages = Some(8192);
    options.ballast_bytes = 4 << 20;
    options.low_space_bytes = 2 << 20;
    let driver = SqliteDriver::open(&options, Arc::new(|line| panic!("fatal: {line}")));
    let socket = folder.path().join("s");
    let served = Served::at(&socket, Arc::new(driver.expect("a store"))).await;
    let served = served.expect("served");
    let client = client(&socket);
    let names = fill(&client, 100_000).await;
    assert!(names.len() > 200, "{} objects", names.len());
    empty(&client, names, 100_000).await;
    drop(client);
    served.stop().await.expect("stopped");
}

/// Returns a shell script in its own mount namespace with a small file system at `folder`; `None`
/// where mounting is not permitted.
fn namespaced(folder: &Path, mib: usize) -> Option<Command> {
    let may = Command::new("unshare")
        .args(["-rm", "mount", "-t", "tmpfs", "none"])
        .arg(folder)
        .output();
    if !may.is_ok_and(|output| output.status.success()) {
        return None;
    }
    let mut command = Command::new("unshare");
    let mount = format!("mount -t tmpfs -o size={mib}m none {}", folder.display());
    command
        .args(["-rm", "sh", "-c"])
        .arg(format!("{mount} && cd {} && exec sh -s", folder.display()));
    Some(command)
}

#[tokio::test]
async fn driver_starts_on_full_disk() {
    let program = Program::new();
    let disk = program.folder.path().join("disk");
    std::fs::create_dir(&disk).expect("a directory");
    // Skip where mounting is not permitted.
    let Some(mut shell) = namespaced(&disk, 64) else {
        return;
    };
    // Start, stop, fill the disk to the last byte, and start again. The socket is on another disk,
    // as in most deployments.
    let line = format!("{:?}", command(&disk.join("ark.db"), &program.socket()));
    let script = format!(
        "{line} & first=$!; until [ -S {socket} ]; do sleep 0.05; done; sleep 2; \
         kill -9 $first; wait $first; rm {socket}; \
         cat /dev/zero > filler 2>/dev/null; \
         exec {line}",
        socket = program.socket().display()
    );
    let mut child = shell
        .stdin(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("a shell");
    {
        use std::io::Write as _;
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(script.as_bytes()).expect("written");
    }
    let client = client(&program.socket());
    let deadline = Instant::now() + SOON;
    let full = async {
        loop {
            let health = client.clone().health(HealthRequest {}).await;
            let health = health.map(tonic::Response::into_inner);
            if health.is_ok_and(|it| it.state() == health_response::State::ReadOnly) {
                return;
            }
            assert!(Instant::now() < deadline, "it never serves on a full disk");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    full.await;
    let create = op(Action::Create, "a", "v");
    assert_eq!(rejection(&client, create).await, Some(Reason::NoSpace));
    let delete = op(Action::Delete, "a", "");
    let request = WriteRequest { ops: vec![delete] };
    let deleted = client.clone().write(request).await.expect("an answer");
    let verdict = deleted.into_inner().results.remove(0).verdict;
    assert!(matches!(verdict, Some(Verdict::Conflict(_))), "{verdict:?}");
    child.kill().expect("kill");
    child.wait().expect("wait");
}
