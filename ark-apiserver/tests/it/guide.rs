//! The commands of the operator's guide, as written.

use std::path::Path;
use std::process::Command;

use postgres_testkit::{Server, Session};
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

/// The indented lines of the guide that are not excluded, in order.
fn commands() -> Vec<&'static str> {
    let lines = GUIDE.lines().filter_map(|line| line.strip_prefix("    "));
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

#[tokio::test]
async fn every_command_of_the_guide_works_as_written() {
    for package in ["backend-sqlite", "backend-postgres"] {
        program::ensure_built(package);
    }
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path();
    std::fs::create_dir(folder.join("backup")).unwrap();
    let postgres = Server::builder().start().await.unwrap();
    let mut commands = commands().into_iter();
    let mut next = |start: &str| {
        let line = commands.next().unwrap_or_else(|| panic!("no {start}"));
        assert!(line.starts_with(start), "{line} instead of {start}");
        line
    };

    // Without a cluster.
    let serve = next("ark-apiserver standalone --data-dir ");
    let data = folder.join(serve.rsplit_once(' ').unwrap().1);
    let start = || {
        let mut command = program::command(&[]);
        command.current_dir(folder);
        let arguments = serve.strip_prefix("ark-apiserver ").unwrap();
        command.args(arguments.split(' '));
        command.args(["--listen", "127.0.0.1:0"]);
        Program::run(command, &data, |_| ())
    };
    let server = start();
    let kubeconfig = data.join("kubeconfig");
    let kubeconfig = [("KUBECONFIG", kubeconfig.to_str().unwrap())];
    let forget = next("kubectl config delete-context ");
    let sql: Vec<&str> = (0..3).map(|_| next("CREATE ")).collect();
    let migrate = next("backend-postgres migrate ");
    let new_epoch_of_postgres = next("backend-postgres new-epoch ");
    let ready = next("kubectl get --raw ");
    let on_data = |line: &str| {
        let line = line.replace("DIR", data.to_str().unwrap());
        line.replace("/backup/", &format!("{}/backup/", folder.display()))
    };
    let backup = on_data(next("backend-sqlite backup "));
    let restore = [on_data(next("mkdir ")), on_data(next("cp "))];
    let new_epoch = on_data(next("backend-sqlite new-epoch "));
    assert_eq!(commands.next(), None, "neither run nor excluded");

    let path = "/apis/ark.mckinsey.com/v1alpha1/namespaces/default/queries";
    let admin = server.admin();
    let query = "{\"apiVersion\":\"ark.mckinsey.com/v1alpha1\",\"kind\":\"Query\",\
                 \"metadata\":{\"name\":\"saved\"},\"spec\":{\"input\":\"hello\"}}";
    assert_eq!(admin.send("POST", path, query).await.unwrap().0, 201);
    if has_kubectl() {
        let checks = run(ready, folder, &kubeconfig);
        assert!(checks.contains("[+]storage ok"), "{checks}");
    }
    run(&backup, folder, &[]);
    let saved = format!("{path}/saved");
    assert_eq!(admin.send("DELETE", &saved, "").await.unwrap().0, 200);
    server.signal(Signal::INT);
    assert!(server.ended().0.success());
    for line in &restore {
        run(line, folder, &[]);
    }
    run(&new_epoch, folder, &[]);
    let server = start();
    assert_eq!(server.admin().get(&saved).await.0, 200);
    server.signal(Signal::INT);
    assert!(server.ended().0.success());
    if has_kubectl() {
        run(forget, folder, &kubeconfig);
        let rest = std::fs::read_to_string(data.join("kubeconfig")).unwrap();
        assert!(!rest.contains("ark-admin"), "{rest}");
    }

    // PostgreSQL, with passwords from the environment.
    let session = Session::connect(&postgres.dsn("postgres")).await.unwrap();
    for statement in sql {
        session.text(statement).await.unwrap();
    }
    for line in [migrate, new_epoch_of_postgres] {
        let line = line.replace("@db/", &format!("@{}/", postgres.address()));
        run(&line, folder, &[("PGPASSWORD", "…")]);
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
