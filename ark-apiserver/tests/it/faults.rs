//! Kills and stalls.

use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

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
        let metrics = admin.get("/metrics").await.1;
        let name = "ark_standalone_driver_restarts_total ";
        let restarts = metrics.lines().find_map(|line| line.strip_prefix(name));
        restarts.is_some_and(|restarts| restarts.parse::<u32>().is_ok_and(|it| it >= 2))
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

/// Whether a process handles SIGTERM.
fn handles_term(id: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    caught.is_some_and(|mask| mask >> 14 & 1 == 1)
}

#[tokio::test]
async fn second_signal_ends_a_start_that_reads_from_a_pipe() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let mut command = Command::new(env!("CARGO_BIN_EXE_ark-apiserver"));
    command.arg("standalone").arg("--data-dir");
    command.arg(directory.path().join("data"));
    command.arg("--resources").arg(&pipe);
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped());
    let child = child.spawn().unwrap();
    let id = Pid::from_child(&child);
    eventually("signals are handled", GREEN, async || {
        handles_term(child.id())
    })
    .await;
    for _ in 0..2 {
        kill_process(id, Signal::TERM).unwrap();
        // Two pending signals are one.
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let ended = tokio::task::spawn_blocking(|| child.wait_with_output());
    let ended = tokio::time::timeout(GREEN, ended).await;
    let output = ended.expect("it ends").unwrap().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("received second signal"), "{errors}");
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
