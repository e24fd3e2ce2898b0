//! Kills and stalls.

use std::time::Duration;

use rustix::process::{Signal, kill_process};

use crate::program::{Program, eventually, gone};

/// Longest time until a server without storage is not ready. The promised 5 s are checked as the
/// sum of the timeouts in `store/phase.rs`; this limit leaves room for a busy machine.
const MAX_DETECTION_LATENCY: Duration = Duration::from_secs(15);
const GREEN: Duration = Duration::from_secs(20);

#[tokio::test]
async fn killed_driver_is_restarted() {
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start(directory.path(), &[]);
    let admin = program.admin();
    // Twice, because the second restart delay is longer.
    for _ in 0..2 {
        let killed = program.driver();
        kill_process(killed, Signal::KILL).unwrap();
        gone(killed).await;
        let lock = directory.path().join("ark.db.lock");
        eventually("another driver has the database", GREEN, async || {
            let holder = std::fs::read_to_string(&lock).unwrap_or_default();
            let holder = holder.trim().parse::<i32>();
            holder.is_ok_and(|holder| holder != killed.as_raw_nonzero().get())
        })
        .await;
        eventually("ready again", GREEN, async || admin.is_ready().await).await;
    }
    eventually("both restarts are counted", GREEN, async || {
        let restarts = "ark_standalone_driver_restarts_total 2\n";
        admin.get("/metrics").await.1.contains(restarts)
    })
    .await;
    program.signal(Signal::INT);
    assert!(program.ended().0.success());
}

#[tokio::test]
async fn stalled_driver_fails_readyz() {
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start(directory.path(), &[]);
    let admin = program.admin();
    let sidecar = program.driver();
    kill_process(sidecar, Signal::STOP).unwrap();
    eventually("not ready", MAX_DETECTION_LATENCY, async || {
        !admin.is_ready().await
    })
    .await;
    let (status, _) = admin.get("/livez").await;
    assert_eq!(status, 200, "starting the gateway again would not help");
    let metrics = admin.get("/metrics").await.1;
    assert!(metrics.contains("ark_storage_ready 0\n"), "{metrics}");
    kill_process(sidecar, Signal::CONT).unwrap();
    eventually("ready again", GREEN, async || admin.is_ready().await).await;
}

#[tokio::test]
async fn driver_stops_when_gateway_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start(directory.path(), &[]);
    let sidecar = program.driver();
    program.signal(Signal::KILL);
    gone(sidecar).await;
    let lock = directory.path().join("ark.db.lock");
    let lock = std::fs::read_to_string(lock).unwrap();
    assert_eq!(lock, "", "it closed the database");
    drop(program);

    let again = Program::start(directory.path(), &[]);
    assert!(again.admin().is_ready().await);
    let sockets = std::fs::read_dir(directory.path().join("run")).unwrap();
    // The socket of the new driver, and the link to it.
    assert_eq!(sockets.count(), 2, "what was left behind is removed");
}
