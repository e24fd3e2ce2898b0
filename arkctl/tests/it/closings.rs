//! Tests of `copy --live` whose closing call gets no definite response.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use backend_proto::v1::op::Action;
use tokio::net::{UnixListener, UnixStream};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use crate::faulty_driver::{FaultyDriver, ImportFault};
use crate::store::{Kind, Store, op, program, run, write};

/// Starts a source with content, and a target that fails.
async fn stores(fault: ImportFault) -> (Store, Store, Arc<FaultyDriver>) {
    let source = Store::start(Kind::Sqlite).await;
    source.fill(300, 500).await;
    let driver = FaultyDriver::with(fault);
    let folder = tempfile::tempdir().expect("temporary directory");
    let target = Store::serve(folder, driver.clone()).await;
    (source, target, driver)
}

/// Starts a run, and waits until `calls` of its calls failed.
async fn run_until_failing(driver: &FaultyDriver, arguments: &[&str], calls: u32) -> Child {
    let before = driver.met();
    let mut run = program(arguments).spawn().expect("started");
    tokio::select! {
        () = driver.fault(before + calls) => {}
        ended = run.wait() => panic!("it gave up: {ended:?}"),
    }
    run
}

/// Interrupts a run with SIGINT; returns its output.
async fn interrupt(run: Child) -> String {
    let id = run.id().expect("it runs").to_string();
    let mut kill = Command::new("kill");
    let killed = kill.args(["-INT", &id]).stdin(Stdio::null()).status().await;
    assert!(killed.expect("kill").success());
    let output = run.wait_with_output().await.expect("output");
    assert!(!output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fence_stays_while_closing_commit_is_pending() {
    let (source, target, driver) = stores(ImportFault::Standby).await;
    let (from, to) = (source.address(), target.address());
    let copy = ["copy", "--from", &from, "--to", &to, "--live"];
    let restart = ["copy", "--from", &from, "--to", &to, "--live", "--restart"];
    let reason = format!("moved to {to}");
    // The first outcome is unknown, and the next two calls fail because the commit holds the store.
    let first = run_until_failing(&driver, &copy, 3).await;
    let printed = interrupt(first).await;
    assert!(printed.contains("it is unknown"), "{printed}");
    assert_eq!(source.describe().await.fenced, reason);
    // Another run finds the store held too, and --restart is rejected.
    let rejected = run(&restart).await.expect_err("it is held");
    assert!(rejected.contains("stays fenced"), "{rejected}");
    assert_eq!(source.describe().await.fenced, reason);
    let second = run_until_failing(&driver, &copy, 2).await;
    assert_eq!(source.describe().await.fenced, reason);
    driver.commit_at_last().await;
    // The kit refreshes the import state on every call of Import, even an invalid one.
    let nothing = target.client().import(tokio_stream::empty()).await;
    nothing.expect_err("no options");
    let moved = second.wait_with_output().await.expect("output");
    assert!(moved.status.success(), "{moved:?}");
    assert_eq!(source.describe().await.fenced, reason);
    let create = vec![op(Action::Create, "ns/after", "{}")];
    let next = write(&mut target.client(), create).await.expect("written");
    assert_eq!(next, source.head().await.revision + 1);
    source.stop().await;
    target.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_call_without_response_can_be_interrupted() {
    let (source, target, driver) = stores(ImportFault::Silence).await;
    let (from, to) = (source.address(), target.address());
    let copy = ["copy", "--from", &from, "--to", &to, "--live"];
    let run = run_until_failing(&driver, &copy, 1).await;
    let printed = interrupt(run).await;
    assert!(printed.contains("it is unknown"), "{printed}");
    assert_eq!(source.describe().await.fenced, format!("moved to {to}"));
    source.stop().await;
}

/// A relay in front of a target that can vanish as if the process died.
struct Relay {
    _connections: JoinSet<()>,
}

impl Relay {
    fn at(socket: &Path, target: &Path) -> Self {
        let listener = UnixListener::bind(socket).expect("a socket");
        let target = target.to_owned();
        let mut connections = JoinSet::new();
        connections.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                let mut server = UnixStream::connect(&target).await.expect("connected");
                open.spawn(async move {
                    // Either side may close at any time.
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
        Self {
            _connections: connections,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fence_stays_and_is_reported_when_target_dies_at_closing_call() {
    let (source, target, driver) = stores(ImportFault::Silence).await;
    let socket = target.folder().join("relay");
    let relay = Relay::at(&socket, &target.folder().join("s"));
    let (from, to) = (source.address(), format!("unix://{}", socket.display()));
    let copy = ["copy", "--from", &from, "--to", &to, "--live"];
    let run = run_until_failing(&driver, &copy, 1).await;
    drop(relay);
    // The run retries; interrupt it instead of waiting for the deadline.
    let printed = interrupt(run).await;
    assert!(printed.contains("it is unknown"), "{printed}");
    assert!(printed.contains("stays fenced"), "{printed}");
    assert_eq!(source.describe().await.fenced, format!("moved to {to}"));
    source.stop().await;
}
