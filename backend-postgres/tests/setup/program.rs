//! The driver process as operators run it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use backend_proto::v1::CurrentRevisionRequest;
use conformance::Endpoint;
use postgres_testkit::Server;
use tempfile::TempDir;

/// Timeout of these tests.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A socket, a log file and the process.
pub(crate) struct Program {
    pub(crate) folder: TempDir,
    child: Option<Child>,
}

/// Result of a run: exit status and output.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) output: String,
}

impl Program {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("temporary directory"),
            child: None,
        }
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::unix(&self.socket())
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("s")
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// Returns the log so far.
    pub(crate) fn output(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// Starts the process.
    pub(crate) fn serve(&mut self, flags: &[&str], variables: &[(&str, &str)]) -> u32 {
        let log = std::fs::File::create(self.log()).expect("a log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_backend-postgres"));
        command
            .arg("--listen")
            .arg(format!("unix://{}", self.socket().display()));
        command.args(flags).envs(variables.iter().copied());
        let child = command.stderr(log).stdin(Stdio::null()).spawn();
        let child = child.expect("the program starts");
        let id = child.id();
        self.child = Some(child);
        id
    }

    /// Waits until it responds.
    pub(crate) async fn responds(&mut self) {
        let started = Instant::now();
        let requested = CurrentRevisionRequest {};
        while self
            .endpoint()
            .client()
            .current_revision(requested)
            .await
            .is_err()
        {
            let ended = self
                .child
                .as_mut()
                .expect("started")
                .try_wait()
                .expect("asked");
            assert!(ended.is_none(), "{}", self.output());
            assert!(
                started.elapsed() < DEADLINE,
                "it never responds: {}",
                self.output()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until the log contains a text.
    pub(crate) async fn says(&self, words: &str) {
        let started = Instant::now();
        while !self.output().contains(words) {
            assert!(
                started.elapsed() < DEADLINE,
                "not {words:?}, but: {}",
                self.output()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until it exits.
    pub(crate) async fn ends(&mut self) -> Ended {
        let child = self.child.as_mut().expect("started");
        let started = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().expect("asked") {
                break status;
            }
            assert!(started.elapsed() < DEADLINE, "it never ends");
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        self.child = None;
        Ended {
            status,
            output: self.output(),
        }
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        let id = self.child.as_ref().expect("started").id();
        let id = i32::try_from(id)
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        let signal = rustix::process::Signal::TERM;
        rustix::process::kill_process(id.expect("a process"), signal).expect("a signal");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Returns the one-line message with which the process refuses to serve.
pub(crate) async fn rejection(flags: &[&str], variables: &[(&str, &str)]) -> String {
    let mut program = Program::new();
    let quiet = [variables, &[("ARK_LOG", "off")]].concat();
    program.serve(flags, &quiet);
    let ended = program.ends().await;
    assert_eq!(ended.status.code(), Some(1), "{}", ended.output);
    sentence(&ended.output)
}

fn sentence(output: &str) -> String {
    let one = output.starts_with("error: ") && output.trim_end().lines().count() == 1;
    assert!(one, "not one sentence: {output}");
    output.trim_end().to_owned()
}

/// Runs `migrate`; returns its output or its one-line error message.
pub(crate) async fn migrate(dsn: &str, flags: &[&str]) -> Result<String, String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_backend-postgres"));
    command
        .args(["migrate", "--dsn", dsn])
        .args(flags)
        .env("ARK_LOG", "off");
    let ran = tokio::task::spawn_blocking(move || command.output());
    let output = tokio::time::timeout(DEADLINE, ran).await.expect("it ends");
    let output = output.expect("joined").expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    if output.status.success() {
        return Ok(text(output.stdout).trim_end().to_owned());
    }
    Err(sentence(&text(output.stderr)))
}

/// Starts a server with one database; returns it with the DSN.
pub(crate) async fn database(builder: postgres_testkit::Builder) -> (Server, String) {
    let server = builder.start().await.expect("a server");
    let dsn = server.create_database("ark").await.expect("a database");
    (server, dsn)
}

pub(crate) fn path(path: &Path) -> String {
    path.display().to_string()
}
