//! The program and its data directory.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::client::Client;

/// Upper bound for every step here, in a debug build on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A running server; killed when dropped.
pub(crate) struct Program {
    child: Child,
    stdout: BufReader<std::process::ChildStdout>,
    data: PathBuf,
    /// The line that the server printed when it was ready.
    pub(crate) ready: String,
}

/// Exit status and output of a program that failed to start.
pub(crate) struct FailedStart {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// `ark-apiserver` with these arguments.
pub(crate) fn command(arguments: &[&str]) -> Command {
    ensure_built("backend-sqlite");
    let mut command = Command::new(env!("CARGO_BIN_EXE_ark-apiserver"));
    command.args(arguments).env_remove("ARK_LOG");
    command.env_remove("ARK_POSTGRES_DSN");
    command
}

/// `standalone` on a data directory and a free port.
pub(crate) fn standalone(mut command: Command, data: &Path) -> Command {
    command.args(["standalone", "--listen", "127.0.0.1:0", "--data-dir"]);
    command.arg(data);
    command
}

/// The SQLite driver beside the program.
pub(crate) fn driver() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_ark-apiserver")).with_file_name("backend-sqlite")
}

/// Runs the program with the PostgreSQL driver beside it, on a database and a data directory.
pub(crate) fn on_postgres(dsn: &str, data: &Path) -> Program {
    ensure_built("backend-postgres");
    let mut command = standalone(command(&[]), data);
    command.args(["--backend", "postgres"]);
    command.env("ARK_POSTGRES_DSN", dsn);
    Program::run(command, data, |_| ())
}

/// Builds the program of another crate unless it exists: cargo builds only the binaries of this
/// crate for its tests.
pub(crate) fn ensure_built(package: &str) {
    static BUILDS: Mutex<()> = Mutex::new(());
    let _one_at_a_time = BUILDS.lock();
    let folder = driver().parent().unwrap().to_owned();
    if folder.join(package).is_file() {
        return;
    }
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "-p", package, "--target-dir"]);
    cargo.arg(folder.parent().unwrap());
    if folder.ends_with("release") {
        cargo.arg("--release");
    }
    assert!(cargo.status().unwrap().success(), "{cargo:?}");
}

impl Program {
    /// Starts on a data directory and waits until the server is ready.
    pub(crate) fn start(data: &Path, arguments: &[&str]) -> Self {
        let mut command = standalone(command(&[]), data);
        command.args(arguments);
        Self::run(command, data, |_| ())
    }

    /// Runs a command that serves `data`, calls `meanwhile`, and waits until the server is ready.
    pub(crate) fn run(
        mut command: Command,
        data: &Path,
        meanwhile: impl FnOnce(&mut Child),
    ) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        meanwhile(&mut child);
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut ready = String::new();
        // Ends with the program, which has a startup timeout.
        stdout.read_line(&mut ready).unwrap();
        assert!(
            ready.starts_with("ready: "),
            "{ready:?} {:?}",
            child.try_wait()
        );
        Self {
            child,
            stdout,
            data: data.to_owned(),
            ready,
        }
    }

    /// A client with the administrator's certificate.
    pub(crate) fn admin(&self) -> Client {
        Client::of_kubeconfig(&self.data.join("kubeconfig"))
    }

    /// Sends a signal to the server only.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Resident memory of the server, bytes.
    pub(crate) fn resident(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
        kibibytes.unwrap().parse::<usize>().unwrap() << 10
    }

    /// The process that holds the database open.
    pub(crate) fn driver(&self) -> Pid {
        let holder = std::fs::read_to_string(self.data.join("ark.db.lock")).unwrap();
        Pid::from_raw(holder.trim().parse().unwrap()).unwrap()
    }

    /// Waits for the end of the server; returns the output after the ready line.
    pub(crate) fn ended(mut self) -> (ExitStatus, String) {
        let status = wait(&mut self.child);
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        (status, rest)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a program that is expected to fail at startup.
pub(crate) fn failed_start(mut command: Command) -> FailedStart {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let status = wait(&mut child);
    // The output is a few lines, which fit into the pipe buffers, so it can be read after the exit.
    let (mut stdout, mut stderr) = (String::new(), String::new());
    let pipes = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    { pipes.0 }.read_to_string(&mut stdout).unwrap();
    { pipes.1 }.read_to_string(&mut stderr).unwrap();
    FailedStart {
        status,
        stdout,
        stderr,
    }
}

pub(crate) fn wait(child: &mut Child) -> ExitStatus {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            panic!("still running after {DEADLINE:?}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until a process has exited.
pub(crate) async fn gone(pid: Pid) {
    eventually("the process is gone", DEADLINE, async || {
        test_kill_process(pid).is_err() || is_zombie(pid)
    })
    .await;
}

/// Whether the process is a zombie: in containers without an init, it is never reaped.
fn is_zombie(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    stat.is_ok_and(|stat| stat.contains(") Z "))
}

/// Polls until `holds` is true, for at most `limit`.
pub(crate) async fn eventually(what: &str, limit: Duration, holds: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + limit;
    while !holds().await {
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
