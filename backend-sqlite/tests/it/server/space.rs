//! Tests of a full disk: which calls continue, and that all resume once there is space.

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
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
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a shell");
    {
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

/// A process that ends with its test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a driver on a file system of `mib` MiB at `disk`; `None` where mounting is not permitted.
fn start_on(disk: &Path, mib: usize, mut command: Command) -> Option<Killed> {
    std::fs::create_dir(disk).expect("a directory");
    let mut shell = namespaced(disk, mib)?;
    let mut child = shell
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a shell");
    command.env_clear();
    let script = format!("exec {command:?}");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(script.as_bytes()).expect("written");
    Some(Killed(child))
}

#[tokio::test]
async fn small_volume_recovers_and_shrinks_without_restart() {
    const LIVE: usize = 20;
    let program = Program::new();
    let disk = program.folder.path().join("disk");
    let database = disk.join("ark.db");
    let mut driver = command(&database, &program.socket());
    driver.args(["--keep-seconds", "1", "--keep-events", "10"]);
    // Skip where mounting is not permitted.
    let Some(driver) = start_on(&disk, 64, driver) else {
        return;
    };
    let client = client(&program.socket());
    let deadline = Instant::now() + SOON;
    while client.clone().health(HealthRequest {}).await.is_err() {
        assert!(Instant::now() < deadline, "it never serves");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let names = fill(&client, 100_000).await;
    assert!(names.len() > 200, "{} objects", names.len());
    // The volume exists in the driver's mount namespace only.
    let inside = format!("/proc/{}/root{}", driver.0.id(), database.display());
    let size = || std::fs::metadata(&inside).expect("the database").len();
    assert!(size() > 8 << 20, "{}", size());
    empty(&client, names, 100_000).await;

    for number in 0..LIVE {
        let create = op(
            Action::Create,
            &format!("live{number}"),
            vec![b'v'; 100_000],
        );
        assert_eq!(rejection(&client, create).await, None);
    }
    let live = (LIVE as u64 + 1) * 100_000;
    let deadline = Instant::now() + Duration::from_secs(300);
    let mut number = 0;
    while size() > 2 * live {
        let value = format!("{number}{}", "v".repeat(1000));
        let action = if number == 0 {
            Action::Create
        } else {
            Action::Update
        };
        assert_eq!(rejection(&client, op(action, "steady", value)).await, None);
        number += 1;
        assert!(Instant::now() < deadline, "{} bytes for {live}", size());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
