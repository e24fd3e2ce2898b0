//! Drivers that accept connections and never respond.

use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use crate::faulty_driver::{FaultyDriver, ImportFault};
use crate::store::{Kind, Store, run};

/// The upper bound of a command whose deadline is a second.
const BOUND: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_ends_at_a_driver_that_never_responds() {
    let store = Store::start(Kind::Model).await;
    store.fill(20, 100).await;
    let good = store.address();
    let folder = tempfile::tempdir().expect("temporary directory");
    let path = |name: &str| folder.path().join(name).display().to_string();
    // The socket accepts connections, but nothing reads them.
    let _silent = UnixListener::bind(path("s")).expect("a socket");
    let hung = format!("unix://{}", path("s"));
    run(&["backup", "--from", &good, "--to", &path("file")])
        .await
        .expect("saved");
    let key = "queries.ark.mckinsey.com/ns/a";
    let (new, file) = (path("new"), path("file"));
    for command in [
        vec!["status", "--at", &hung],
        vec!["verify", "--at", &hung],
        vec!["verify", "--at", &good, "--against", &hung],
        vec!["history", "--at", &hung, key],
        vec!["compact", "--at", &hung, "--all"],
        vec!["compact", "--at", &hung, "--revision", "7"],
        vec!["fence", "--at", &hung, "--reason", "rest"],
        vec!["fence", "--at", &hung, "--lift"],
        vec!["backup", "--from", &hung, "--to", &new],
        vec!["restore", "--from", &file, "--to", &hung],
        vec!["copy", "--from", &hung, "--to", &good],
        vec!["copy", "--from", &good, "--to", &hung, "--live"],
    ] {
        let begun = Instant::now();
        let command = [&command[..], &["--timeout", "1"]].concat();
        let failed = tokio::time::timeout(BOUND, run(&command)).await;
        let failed = failed.unwrap_or_else(|_| panic!("{command:?} hangs"));
        let failed = failed.expect_err("no response");
        assert!(failed.contains(&hung), "{command:?}: {failed}");
        assert!(begun.elapsed() < BOUND, "{command:?}");
    }
    assert!(!folder.path().join("new.partial").exists());
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn import_that_never_ends_is_given_up() {
    let source = Store::start(Kind::Model).await;
    source.fill(20, 100).await;
    let file = source.folder().join("file").display().to_string();
    run(&["backup", "--from", &source.address(), "--to", &file])
        .await
        .expect("saved");
    let folder = tempfile::tempdir().expect("temporary directory");
    // This driver answers pings, but not the call.
    let target = Store::serve(folder, FaultyDriver::with(ImportFault::Silence)).await;
    let to = target.address();
    let restore = ["restore", "--from", &file, "--to", &to, "--timeout", "1"];
    let failed = tokio::time::timeout(BOUND, run(&restore)).await;
    let failed = failed.expect("an end").expect_err("no response");
    assert!(failed.contains("no response within 10 s"), "{failed}");
    source.stop().await;
}
