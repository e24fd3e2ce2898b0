//! Every way to choose a storage driver, from the flag to a stored object.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use http::StatusCode;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::Client;
use crate::program::{self, DEADLINE, Program, driver, eventually, failed_start, gone, wait};

const QUERIES: &str = "/apis/ark.mckinsey.com/v1alpha1/namespaces/default/queries";
const DSN: &str = "postgres://ark:s3cret@db.example.com/ark";

/// Creates an object and reads it back.
async fn store(client: &Client, name: &str) {
    let query = json!({
        "apiVersion": "ark.mckinsey.com/v1alpha1",
        "kind": "Query",
        "metadata": {"name": name},
        "spec": {"input": "What is kept?", "target": {"type": "agent", "name": "a"}},
    });
    let (status, body) = client
        .send("POST", QUERIES, query.to_string())
        .await
        .unwrap();
    assert_eq!(status, StatusCode::CREATED, "{body}");
    assert!(names(client).await.contains(&name.to_owned()));
}

async fn names(client: &Client) -> Vec<String> {
    let (status, body) = client.get(QUERIES).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let list: Value = serde_json::from_str(&body).unwrap();
    let items = list["items"].as_array().unwrap().iter();
    items
        .map(|item| item["metadata"]["name"].as_str().unwrap().to_owned())
        .collect()
}

/// A shell script that runs `before` and then the SQLite driver on `ark.db` of the data directory,
/// with the arguments it received.
fn wrapper(path: &Path, data: &Path, before: &str) {
    // Builds the driver if necessary.
    drop(program::command(&[]));
    let (driver, database) = (driver(), data.join("ark.db"));
    let (driver, database) = (driver.display(), database.display());
    let script = format!("#!/bin/sh\n{before}\nexec '{driver}' \"$@\" --path '{database}'\n");
    std::fs::write(path, script).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn stop(program: Program) {
    program.signal(Signal::TERM);
    assert!(program.ended().0.success());
}

#[tokio::test]
async fn running_driver_is_used_and_not_stopped() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let address = format!("unix://{}", path("socket").display());
    // Builds the driver if necessary.
    drop(program::command(&[]));
    let mut sidecar = Command::new(driver())
        .args(["--listen", &address, "--path"])
        .arg(path("other.db"))
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let program = Program::start(&path("data"), &["--backend", &address]);
    store(&program.admin(), "kept").await;
    assert!(!path("data/ark.db").exists());
    stop(program);
    assert_eq!(sidecar.try_wait().unwrap(), None);
    let program = Program::start(&path("data"), &["--backend", &address]);
    assert_eq!(names(&program.admin()).await, ["kept"]);
    stop(program);
    kill_process(Pid::from_child(&sidecar), Signal::TERM).unwrap();
    assert!(wait(&mut sidecar).success());
}

#[tokio::test]
async fn exec_driver_serves_on_socket() {
    let directory = tempfile::tempdir().unwrap();
    let (data, path) = (directory.path().join("data"), directory.path().join("mine"));
    // Fails unless `--listen` is the only flag, as for every driver.
    let before = r#"[ "$#" = 2 ] && [ "$1" = --listen ] || exit 1"#;
    wrapper(&path, &data, before);
    let backend = format!("exec:{}", path.display());
    let program = Program::start(&data, &["--backend", &backend]);
    let admin = program.admin();
    store(&admin, "kept").await;
    let killed = program.driver();
    kill_process(killed, Signal::KILL).unwrap();
    gone(killed).await;
    eventually("it is started again", DEADLINE, async || {
        admin.get(QUERIES).await.0 == StatusCode::OK
    })
    .await;
    assert_eq!(names(&admin).await, ["kept"]);
    let sidecar = program.driver();
    stop(program);
    gone(sidecar).await;
}

/// Our program with a fake PostgreSQL driver beside it.
struct Installed {
    folder: TempDir,
}

impl Installed {
    fn new(before: &str) -> Self {
        // On the same file system, so that the program can be hard-linked instead of copied.
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let installed = Self { folder };
        let program = env!("CARGO_BIN_EXE_ark-apiserver");
        std::fs::hard_link(program, installed.program()).unwrap();
        let driver = installed.folder.path().join("backend-postgres");
        wrapper(&driver, &installed.data(), before);
        installed
    }

    fn program(&self) -> PathBuf {
        self.folder.path().join("ark-apiserver")
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn command(&self) -> Command {
        let mut command = program::standalone(Command::new(self.program()), &self.data());
        command
            .args(["--backend", "postgres"])
            .env_remove("ARK_LOG");
        command.env("ARK_POSTGRES_DSN", DSN);
        command
    }
}

#[tokio::test]
async fn postgres_driver_gets_dsn_in_its_environment_only() {
    let before = format!(
        r#"
        [ "$ARK_BACKEND_POSTGRES_DSN" = '{DSN}' ] || {{ echo "error: no DSN" >&2; exit 1; }}
        case "$*" in *s3cret*) echo "error: everybody sees it" >&2; exit 1;; esac"#
    );
    let installed = Installed::new(&before);
    let program = Program::run(installed.command(), &installed.data(), |_| ());
    store(&program.admin(), "kept").await;
    stop(program);
}

#[test]
fn password_in_driver_output_is_redacted() {
    let before = r#"
        echo "trying $ARK_BACKEND_POSTGRES_DSN" >&2
        echo "error: cannot reach $ARK_BACKEND_POSTGRES_DSN" >&2
        exit 1"#;
    let installed = Installed::new(before);
    let failure = failed_start(installed.command());
    let shown = DSN.replace("s3cret", "***");
    let wanted = format!("error: backend-postgres: cannot reach {shown} (exit status: 1)\n");
    assert_eq!(failure.stderr, wanted);
}

#[tokio::test]
async fn slow_driver_start_logs_what_it_waits_for() {
    let directory = tempfile::tempdir().unwrap();
    let (data, path) = (directory.path().join("data"), directory.path().join("slow"));
    let go = directory.path().join("go");
    let before = format!(
        "echo the database is down >&2; while [ ! -e '{}' ]; do sleep 0.05; done",
        go.display()
    );
    wrapper(&path, &data, &before);
    let mut command = program::standalone(program::command(&[]), &data);
    command
        .arg("--backend")
        .arg(format!("exec:{}", path.display()));
    command.stderr(Stdio::piped());
    let program = Program::run(command, &data, |child| {
        let warning = output(child, "storage driver does not serve yet");
        assert!(warning.contains("WARN"), "{warning}");
        assert!(warning.contains("the database is down"), "{warning}");
        std::fs::write(&go, "").unwrap();
    });
    store(&program.admin(), "kept").await;
    stop(program);
}

/// The first line on standard error that contains `part`; a thread discards later lines.
fn output(child: &mut Child, part: &str) -> String {
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let found = lines
        .by_ref()
        .map_while(Result::ok)
        .find(|line| line.contains(part));
    // The pipe must stay open: a write to a closed pipe would end the process.
    std::thread::spawn(move || lines.for_each(drop));
    found.expect("it ended")
}
