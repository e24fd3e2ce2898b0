//! What a new user finds: logs, versions, the kubeconfig, the socket.

use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use rustix::process::Signal;

use crate::program::{self, Program};

#[tokio::test]
async fn json_logs_are_json_throughout() {
    let directory = tempfile::tempdir().unwrap();
    let (data, log) = (directory.path().join("data"), directory.path().join("log"));
    let mut command = program::standalone(program::command(&[]), &data);
    command.args(["--log-format", "json", "--log", "debug"]);
    command.stderr(File::create(&log).unwrap());
    let program = Program::run(command, &data, |_| ());
    assert!(program.admin().is_ready().await);
    program.signal(Signal::TERM);
    assert!(program.ended().0.success());
    let text = std::fs::read_to_string(&log).unwrap();
    let lines = text.lines();
    let lines: Vec<serde_json::Value> = lines
        .map(|line| serde_json::from_str(line).expect(line))
        .collect();
    assert!(lines.iter().any(|line| line["target"] == "gateway::app"));
    let driver = |line: &&serde_json::Value| line["process"] == "backend-sqlite";
    let driver: Vec<_> = lines.iter().filter(driver).collect();
    assert!(!driver.is_empty(), "{text}");
    assert!(
        driver.iter().all(|line| line["level"].is_string()),
        "{text}"
    );
    for noise in ["h2::", "hyper_util::", "tower::"] {
        let prefix = format!("\"target\":\"{noise}");
        let found = text.lines().find(|line| line.contains(&prefix));
        assert_eq!(found, None, "{noise} without its name in the filter");
    }
}

#[tokio::test]
async fn text_logs_name_their_module() {
    let directory = tempfile::tempdir().unwrap();
    let (data, log) = (directory.path().join("data"), directory.path().join("log"));
    let mut command = program::standalone(program::command(&[]), &data);
    command.stderr(File::create(&log).unwrap());
    let program = Program::run(command, &data, |_| ());
    program.signal(Signal::TERM);
    program.ended();
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(text.contains(" INFO gateway::app: "), "{text}");
    let driver = |line: &str| line.starts_with("backend-sqlite: ") && line.contains(" sidecar::");
    assert!(text.lines().any(driver), "{text}");
}

#[tokio::test]
async fn version_has_commit_and_date() {
    program::ensure_built("backend-sqlite");
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let program = Program::start(&data, &[]);
    let (_, served) = program.admin().get("/version").await;
    let served: serde_json::Value = serde_json::from_str(&served).unwrap();
    for path in [
        env!("CARGO_BIN_EXE_ark-apiserver").into(),
        program::driver(),
    ] {
        let output = Command::new(path).arg("--version").output().unwrap();
        let version = String::from_utf8(output.stdout).unwrap();
        assert!(
            version.contains(" (commit ") && version.contains(", built 2"),
            "{version}"
        );
    }
    let output = Command::new(env!("CARGO_BIN_EXE_ark-apiserver"))
        .arg("--version")
        .output();
    let version = String::from_utf8(output.unwrap().stdout).unwrap();
    let commit = served["gitCommit"].as_str().unwrap();
    let date = served["buildDate"].as_str().unwrap();
    let short = commit.get(..12).unwrap_or(commit);
    assert!(
        version.contains(&format!("commit {short}, built {date}")),
        "{version} {served}"
    );
}

#[tokio::test]
async fn kubeconfig_of_the_user_is_merged_not_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let (data, path) = (
        directory.path().join("data"),
        directory.path().join("config"),
    );
    let prod = "apiVersion: v1\nkind: Config\nclusters:\n- name: prod\n  cluster:\n    \
                proxy-url: http://proxy\n";
    std::fs::write(&path, prod).unwrap();
    let mut command = program::standalone(program::command(&[]), &data);
    command.env("ARK_STANDALONE_KUBECONFIG", &path);
    // The variable of `serve`, whose file is read.
    command.env("ARK_KUBECONFIG", "/dev/null");
    let program = Program::run(command, &data, |_| ());
    assert!(
        program.ready.contains(&path.display().to_string()),
        "{}",
        program.ready
    );
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(
        text.contains("proxy-url: http://proxy") && text.contains("name: prod"),
        "{text}"
    );
    let admin = crate::client::Client::of_kubeconfig(&path);
    assert!(admin.is_ready().await);
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(!path.with_extension("lock").exists());
    assert!(!data.join("kubeconfig").exists());
}

#[tokio::test]
async fn socket_of_the_driver_has_a_fixed_name() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("x".repeat(120));
    let program = Program::start(&data, &[]);
    let link = data.join("run/backend.sock");
    let socket = link.canonicalize().unwrap();
    std::os::unix::net::UnixStream::connect(&socket).unwrap();
    program.signal(Signal::TERM);
    assert!(program.ended().0.success());
    assert!(link.symlink_metadata().is_err(), "removed with the server");
}

#[test]
fn completions_and_pages_are_printed() {
    program::ensure_built("backend-sqlite");
    let directory = tempfile::tempdir().unwrap();
    for (path, page, part) in [
        (
            env!("CARGO_BIN_EXE_ark-apiserver").into(),
            "ark-apiserver-serve.1",
            "shutdown",
        ),
        (
            program::driver(),
            "backend-sqlite-backup.1",
            "Path of the copy",
        ),
    ] {
        let run = |arguments: &[&str]| {
            let output = Command::new(&path).args(arguments).output().unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        assert!(run(&["completions", "zsh"]).starts_with("#compdef"));
        run(&["man", directory.path().to_str().unwrap()]);
        let page = std::fs::read_to_string(directory.path().join(page)).unwrap();
        assert!(page.contains(part), "{page}");
    }
}
