//! Who made a change: from a request to `arkctl history`, on each driver.

use std::path::Path;
use std::process::Command;

use http::{Request, StatusCode};
use postgres_testkit::Server;
use rustix::process::Signal;
use serde_json::json;

use crate::client::Client;
use crate::program::{Program, driver, ensure_built, on_postgres};

const QUERIES: &str = "/apis/ark.mckinsey.com/v1alpha1/namespaces/default/queries";

/// Sends a request with a user agent.
async fn send(client: &Client, method: &str, url: &str, agent: &str, body: &serde_json::Value) {
    let content = match method {
        "PATCH" => "application/merge-patch+json",
        _ => "application/json",
    };
    let request = Request::builder().method(method).uri(url);
    let request = request
        .header("content-type", content)
        .header("user-agent", agent);
    let (status, body) = client
        .response(request, body.to_string().into())
        .await
        .unwrap();
    assert!(
        [StatusCode::OK, StatusCode::CREATED].contains(&status),
        "{body}"
    );
}

/// Changes an object in several ways. Returns what `arkctl history` prints for it, without
/// revisions and times.
async fn changes(program: &Program, data: &Path) -> Vec<String> {
    ensure_built("arkctl");
    let client = program.admin();
    let query = json!({
        "apiVersion": "ark.mckinsey.com/v1alpha1",
        "kind": "Query",
        "metadata": {"name": "traced"},
        "spec": {"input": "a", "target": {"type": "agent", "name": "a"}},
    });
    let object = format!("{QUERIES}/traced");
    send(&client, "POST", QUERIES, "helm/3.1 linux", &query).await;
    let label = json!({"metadata": {"labels": {"a": "b"}}});
    let patched = format!("{object}?fieldManager=kubectl-label");
    send(&client, "PATCH", &patched, "kubectl/v1.37", &label).await;
    let phase = json!({"status": {"phase": "running"}});
    let status = format!("{object}/status");
    send(&client, "PATCH", &status, "ark-controller/1.0", &phase).await;
    send(&client, "DELETE", &object, "curl/8", &json!({})).await;

    let sockets = std::fs::read_dir(data.join("run")).unwrap();
    let mut sockets = sockets.map(|entry| entry.unwrap().path());
    let socket = sockets.find(|path| path.extension().is_some_and(|end| end == "sock"));
    let at = format!("unix://{}", socket.unwrap().display());
    let key = "queries.ark.mckinsey.com/default/traced";
    let output = Command::new(driver().with_file_name("arkctl"))
        .args(["history", "--at", &at, key])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let words = lines.lines().map(|line| {
        let words = line.split_whitespace();
        let after = words.skip_while(|word| !["created", "updated", "deleted"].contains(word));
        after.collect::<Vec<_>>().join(" ")
    });
    words.collect()
}

fn stop(program: Program) {
    program.signal(Signal::TERM);
    assert!(program.ended().0.success());
}

const EXPECTED: [&str; 4] = [
    "created ark-admin helm create",
    "updated ark-admin kubectl-label patch",
    "updated ark-admin ark-controller patch/status",
    "deleted ark-admin curl delete",
];

#[tokio::test]
async fn history_names_who_changed_object_on_sqlite() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let program = Program::start(&data, &[]);
    assert_eq!(changes(&program, &data).await, EXPECTED);
    stop(program);
}

#[tokio::test]
async fn history_names_who_changed_object_on_postgresql() {
    let server = Server::builder().start().await.unwrap();
    let dsn = server.create_database("ark").await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let program = on_postgres(&dsn, &data);
    assert_eq!(changes(&program, &data).await, EXPECTED);
    stop(program);
}
