//! The commands of the operator's guide, as written.

use std::path::Path;
use std::process::Command;

use postgres_testkit::Server;
use rustix::process::Signal;

use crate::program::{self, Program};

const GUIDE: &str = include_str!("../../../docs/operating.md");

/// Lines that this test does not run, by their beginning, and why.
const NOT_RUN: [(&str, &str); 12] = [
    ("ready: ", "output of the program"),
    ("cargo build ", "the programs under test are built already"),
    (
        "sudo ",
        "changes the system; the unit is verified in another test",
    ),
    ("journalctl ", "reads the system's journal"),
    (
        "kubectl patch secret ",
        "needs a cluster; see gateway/tests/it/cluster/self_managed.rs",
    ),
    ("scrape_configs:", "configuration of Prometheus"),
    ("  - job_name:", "configuration of Prometheus"),
    ("    static_configs:", "configuration of Prometheus"),
    ("      - targets:", "configuration of Prometheus"),
    ("{\"process\"", "an example of a log line"),
    ("{\"fields\"", "an example of a log line"),
    (
        "backend-postgres --dsn ",
        "serves; see ark-apiserver/tests/it/drivers.rs",
    ),
];

/// The indented lines of the guide that are not excluded, in order. Files are in fences.
fn commands() -> Vec<&'static str> {
    let mut in_file = false;
    let lines = GUIDE.lines().filter(|line| {
        in_file ^= line.starts_with("```");
        !in_file
    });
    let lines = lines.filter_map(|line| line.strip_prefix("    "));
    let is_run = |line: &&str| !NOT_RUN.iter().any(|(start, _)| line.starts_with(start));
    lines.filter(is_run).collect()
}

/// Runs a command of the guide in a shell, with the programs under test in its path.
#[track_caller]
fn run(line: &str, folder: &Path, environment: &[(&str, &str)]) -> String {
    let programs = program::driver();
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", programs.parent().unwrap().display());
    let mut shell = Command::new("bash");
    shell.args(["-euo", "pipefail", "-c", line]);
    shell.current_dir(folder).env("PATH", path);
    shell.envs(environment.iter().copied());
    let output = shell.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (stdout, stderr) = (text(output.stdout), text(output.stderr));
    assert!(output.status.success(), "{line}\n{stdout}\n{stderr}");
    stdout
}

fn has_kubectl() -> bool {
    let mut version = Command::new("kubectl");
    version.args(["version", "--client"]);
    version.output().is_ok_and(|output| output.status.success())
}

/// The commands of the guide that run, by what they are for.
struct Commands {
    serve: &'static str,
    forget: &'static str,
    sql: [&'static str; 3],
    migrate: &'static str,
    new_epoch_of_postgres: &'static str,
    ready: &'static str,
    backup: &'static str,
    restore: [&'static str; 2],
    new_epoch: &'static str,
}

impl Commands {
    fn of_the_guide() -> Self {
        let mut commands = commands().into_iter();
        let mut next = |start: &str| {
            let line = commands.next().unwrap_or_else(|| panic!("no {start}"));
            assert!(line.starts_with(start), "{line} instead of {start}");
            line
        };
        // In the order of the guide.
        let found = Self {
            serve: next("ark-apiserver standalone --data-dir "),
            forget: next("kubectl config delete-context "),
            sql: [(); 3].map(|()| next("CREATE ")),
            migrate: next("backend-postgres migrate "),
            new_epoch_of_postgres: next("backend-postgres new-epoch "),
            ready: next("kubectl get --raw "),
            backup: next("backend-sqlite backup "),
            restore: [next("mkdir "), next("cp ")],
            new_epoch: next("backend-sqlite new-epoch "),
        };
        assert_eq!(commands.next(), None, "neither run nor excluded");
        found
    }
}

#[tokio::test]
async fn every_command_of_the_guide_works_as_written() {
    program::ensure_built("backend-sqlite");
    let commands = Commands::of_the_guide();
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path();
    std::fs::create_dir(folder.join("backup")).unwrap();
    let data = folder.join(commands.serve.rsplit_once(' ').unwrap().1);
    let start = || {
        let mut command = program::command(&[]);
        command.current_dir(folder);
        let arguments = commands.serve.strip_prefix("ark-apiserver ").unwrap();
        command.args(arguments.split(' '));
        command.args(["--listen", "127.0.0.1:0"]);
        Program::run(command, &data, |_| ())
    };
    let on_data = |line: &str| {
        let line = line.replace("DIR", data.to_str().unwrap());
        line.replace("/backup/", &format!("{}/backup/", folder.display()))
    };
    let server = start();
    let kubeconfig = data.join("kubeconfig");
    let kubeconfig = [("KUBECONFIG", kubeconfig.to_str().unwrap())];
    let path = "/apis/ark.mckinsey.com/v1alpha1/namespaces/default/queries";
    let query = "{\"apiVersion\":\"ark.mckinsey.com/v1alpha1\",\"kind\":\"Query\",\
                 \"metadata\":{\"name\":\"saved\"},\"spec\":{\"input\":\"hello\"}}";
    let admin = server.admin();
    assert_eq!(admin.send("POST", path, query).await.unwrap().0, 201);
    if has_kubectl() {
        let checks = run(commands.ready, folder, &kubeconfig);
        assert!(checks.contains("[+]storage ok"), "{checks}");
    }
    run(&on_data(commands.backup), folder, &[]);
    let saved = format!("{path}/saved");
    assert_eq!(admin.send("DELETE", &saved, "").await.unwrap().0, 200);
    server.signal(Signal::INT);
    assert!(server.ended().0.success());
    for line in [commands.restore[0], commands.restore[1], commands.new_epoch] {
        run(&on_data(line), folder, &[]);
    }
    let server = start();
    assert_eq!(server.admin().get(&saved).await.0, 200);
    server.signal(Signal::INT);
    assert!(server.ended().0.success());
    if has_kubectl() {
        run(commands.forget, folder, &kubeconfig);
        let rest = std::fs::read_to_string(data.join("kubeconfig")).unwrap();
        assert!(!rest.contains("ark-admin"), "{rest}");
    }
}

#[tokio::test]
async fn commands_for_postgresql_work_as_written() {
    program::ensure_built("backend-postgres");
    let commands = Commands::of_the_guide();
    let directory = tempfile::tempdir().unwrap();
    let postgres = Server::builder().start().await.unwrap();
    let session = postgres.session("postgres").await.unwrap();
    for statement in commands.sql {
        session.text(statement).await.unwrap();
    }
    for line in [commands.migrate, commands.new_epoch_of_postgres] {
        let line = line.replace("@db/", &format!("@{}/", postgres.address()));
        run(&line, directory.path(), &[("PGPASSWORD", "…")]);
    }
}

#[test]
fn systemd_unit_is_valid() {
    let Ok(found) = Command::new("systemd-analyze").arg("--version").output() else {
        println!("skipped: no systemd-analyze");
        return;
    };
    assert!(found.status.success());
    let unit = include_str!("../../../dev/systemd/ark-apiserver.service");
    let program = env!("CARGO_BIN_EXE_ark-apiserver");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ark-apiserver.service");
    let installed = unit.replace("/usr/local/bin/ark-apiserver", program);
    assert_ne!(installed, unit);
    std::fs::write(&path, installed).unwrap();
    let mut verify = Command::new("systemd-analyze");
    let output = verify.arg("verify").arg(&path).output().unwrap();
    let report = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && report.is_empty(), "{report}");
}
