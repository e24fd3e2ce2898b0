//! Startup errors: one line on standard error, no file changed.

use std::path::Path;
use std::process::Command;

use crate::program::{self, Program, failed_start};

/// `standalone` on a data directory and a free port, with more arguments.
fn standalone(data: &Path, arguments: &[&str]) -> Command {
    let mut command = program::standalone(program::command(&[]), data);
    command.args(arguments);
    command
}

fn check(command: Command, parts: &[&str]) {
    let shown = format!("{command:?}");
    let failure = failed_start(command);
    assert!(!failure.status.success(), "{shown}");
    assert_eq!(failure.stdout, "", "{shown}");
    let lines: Vec<&str> = failure.stderr.lines().collect();
    assert_eq!(lines.len(), 1, "{shown}\n{}", failure.stderr);
    assert!(lines[0].starts_with("error: "), "{}", lines[0]);
    for part in parts {
        assert!(lines[0].contains(part), "{part:?} in {}", lines[0]);
    }
    let causes = ["os error", "exit status"].map(|cause| lines[0].matches(cause).count());
    assert!(
        causes.iter().all(|count| *count < 2),
        "reported twice: {}",
        lines[0]
    );
}

#[test]
fn invalid_flags_fail_startup() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    check(standalone(&data, &["--bogus"]), &["'--bogus'", "--help"]);
    check(program::command(&["standalone"]), &["--data-dir <DIR>"]);
    let postgres = standalone(&data, &["--backend", "postgres"]);
    check(postgres, &["--backend postgres", "--postgres-dsn DSN"]);
    let dsn = "postgres://u:s3cret@h/db";
    let sqlite = standalone(&data, &["--postgres-dsn", dsn]);
    check(sqlite, &["--postgres-dsn", "only for --backend postgres"]);
    let mixed_up = standalone(&data, &["--backend", dsn]);
    check(mixed_up, &["'postgres://u:***@h/db'", "use sqlite"]);
    check(
        standalone(&data, &["--log", "inof"]),
        &["\"inof\" is no log level"],
    );
    check(standalone(&data, &["--log", "gateway"]), &["MODULE=LEVEL"]);
    check(
        standalone(&data, &["--kubeconfig", "/dev/null"]),
        &["/dev/null", "no regular file"],
    );
    let other = directory.path().join("other.yaml");
    std::fs::write(&other, "kind: Pod\n").unwrap();
    let mut foreign = standalone(&data, &["--kubeconfig"]);
    foreign.arg(&other);
    assert!(!data.exists(), "nothing was made");
    check(
        foreign,
        &["other.yaml", "it is no kubeconfig", "give another file"],
    );
    assert_eq!(std::fs::read_to_string(&other).unwrap(), "kind: Pod\n");
}

/// Every line of a failed start with JSON logs, parsed.
fn json(mut command: Command) -> Vec<serde_json::Value> {
    command.env("ARK_LOG_FORMAT", "json");
    let failure = failed_start(command);
    assert!(!failure.status.success());
    let lines = failure.stderr.lines();
    lines
        .map(|line| serde_json::from_str(line).expect(line))
        .collect()
}

#[test]
fn errors_are_json_with_json_logs() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let usage = json(standalone(&data, &["--bogus"]));
    let error = |line: &serde_json::Value| line["fields"]["error"].as_str().unwrap().to_owned();
    assert!(error(&usage[0]).contains("'--bogus'"), "{usage:?}");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("ark.db"), "This is not SQLite. ".repeat(1000)).unwrap();
    let lines = json(standalone(&data, &[]));
    let last = lines.last().unwrap();
    assert_eq!(
        (&last["level"], lines.len()),
        (&"ERROR".into(), 1),
        "{lines:?}"
    );
    assert!(error(last).starts_with("backend-sqlite: "), "{last}");
    assert!(error(last).contains("ark.db"), "{last}");
    let driver = json({
        let mut command = Command::new(program::driver());
        command.args(["--listen", "unix:///no/such/folder/s", "--path"]);
        command.arg(data.join("ark.db"));
        command
    });
    assert!(
        error(driver.last().unwrap()).contains("ark.db"),
        "{driver:?}"
    );
    let mut wrong = Command::new(program::driver());
    wrong.env("ARK_LOG", "loud").arg("--version");
    let refused = failed_start(wrong);
    assert!(
        refused.stderr.contains("ARK_LOG: \"loud\" is no log level"),
        "{}",
        refused.stderr
    );
}

#[tokio::test]
async fn data_directory_or_port_in_use_fails_startup() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let running = Program::start(&data, &[]);
    let admin = running.admin();
    let mine = format!("in use by process {}", running_pid(&data));
    check(
        standalone(&data, &[]),
        &["--data-dir", &mine, "stop it first"],
    );

    let other = directory.path().join("other");
    let address = format!("127.0.0.1:{}", admin.port());
    let mut command = program::command(&["standalone", "--listen", &address, "--data-dir"]);
    command.arg(&other);
    let parts = [&*address, "Address already in use", "--listen"];
    check(command, &parts);
    assert!(!other.exists(), "nothing was made");

    assert!(admin.is_ready().await, "the first one goes on");
}

fn running_pid(data: &Path) -> String {
    let holder = std::fs::read_to_string(data.join("lock")).unwrap();
    holder.trim().to_owned()
}

#[test]
fn invalid_database_file_fails_startup() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("ark.db");
    let garbage = "This is not SQLite. ".repeat(1000);
    std::fs::write(&database, &garbage).unwrap();
    check(
        standalone(directory.path(), &[]),
        &["backend-sqlite: ", "ark.db"],
    );
    assert_eq!(std::fs::read_to_string(&database).unwrap(), garbage);
}

#[test]
fn file_as_data_directory_fails_startup() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let parts = ["--data-dir", "give a directory"];
    check(standalone(file.path(), &[]), &parts);
}

#[test]
fn invalid_manifests_fail_startup() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let check_manifest = |resources: &str, parts: &[&str]| {
        check(standalone(&data, &["--resources", resources]), parts);
    };
    check_manifest("/no/such/folder", &["/no/such/folder", "No such file"]);
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    check_manifest(&write("a.yaml", "kind: [\n"), &["a.yaml"]);
    let pod = write("b.yaml", "apiVersion: v1\nkind: Pod\n");
    check_manifest(&pod, &["b.yaml", "not a CustomResourceDefinition"]);
    let incomplete = write(
        "c.yaml",
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n\
         metadata: {name: foos.x.io}\nspec: {group: x.io, scope: Namespaced}\n",
    );
    check_manifest(
        &incomplete,
        &["c.yaml", "foos.x.io is invalid", "spec.names"],
    );
    let nothing = standalone(&data, &["--no-default-resources"]);
    check(nothing, &["give --resources"]);
    assert!(!data.exists(), "nothing was made");
}

#[test]
fn unusable_drivers_fail_startup() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let missing = standalone(data, &["--backend", "exec:/no/such/driver"]);
    check(missing, &["/no/such/driver", "build or install it"]);
    let silent = standalone(data, &["--backend", "exec:/bin/false"]);
    check(silent, &["false: exit status: 1"]);
    let file = data.join("notes");
    std::fs::write(&file, "no program").unwrap();
    let backend = format!("exec:{}", file.display());
    let parts = ["cannot start", "Permission denied"];
    check(standalone(data, &["--backend", &backend]), &parts);
}
