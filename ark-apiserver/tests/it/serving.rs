//! Normal operation from start to stop.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use rustix::process::Signal;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::program::{DEADLINE, Program, command, eventually, gone, standalone};

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn kubeconfig_authenticates_administrator_and_others_are_rejected() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let program = Program::start(&data, &[]);
    let kubeconfig = data.canonicalize().unwrap().join("kubeconfig");
    let wanted = format!(
        "ready: KUBECONFIG={} kubectl get queries\n",
        kubeconfig.display()
    );
    assert_eq!(program.ready, wanted);
    assert_eq!((mode(&data), mode(&kubeconfig)), (0o700, 0o600));
    assert_eq!(mode(&data.join("run")), 0o700);

    let admin = program.admin();
    assert_eq!(
        admin.get("/readyz").await,
        (StatusCode::OK, "ok".to_owned())
    );
    let (status, body) = admin.get("/apis/ark.mckinsey.com/v1alpha1").await;
    assert_eq!(status, StatusCode::OK);
    let resources: Value = serde_json::from_str(&body).unwrap();
    let mut resources = resources["resources"].as_array().unwrap().iter();
    assert!(
        resources.any(|resource| resource["name"] == "queries"),
        "{body}"
    );

    let (status, body) = admin.get("/openapi/v3").await;
    assert_eq!(status, StatusCode::OK);
    let index: Value = serde_json::from_str(&body).unwrap();
    let entry = &index["paths"]["apis/ark.mckinsey.com/v1alpha1"];
    let (status, body) = admin
        .get(entry["serverRelativeURL"].as_str().unwrap())
        .await;
    assert_eq!(status, StatusCode::OK);
    assert!(body.contains("com.mckinsey.ark.v1alpha1.Query"));

    let anonymous = admin.anonymous();
    assert_eq!(anonymous.get("/readyz").await.0, StatusCode::OK);
    for path in [
        "/apis",
        "/version",
        "/apis/ark.mckinsey.com/v1alpha1/queries",
    ] {
        let (status, body) = anonymous.get(path).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{path}");
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["reason"], "Unauthorized", "{path}");
    }
}

#[tokio::test]
async fn sigterm_stops_server_and_driver_cleanly() {
    for signal in [Signal::INT, Signal::TERM] {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path();
        let program = Program::start(data, &[]);
        let sidecar = program.driver();
        program.signal(signal);
        let (status, rest) = program.ended();
        assert!(status.success(), "{signal:?}: {status}");
        assert_eq!(rest, "", "one line on standard output");
        gone(sidecar).await;
        let lock = std::fs::read_to_string(data.join("ark.db.lock")).unwrap();
        assert_eq!(lock, "", "the database was closed in an orderly way");
        assert_eq!(std::fs::read_dir(data.join("run")).unwrap().count(), 0);
    }
}

#[tokio::test]
async fn restart_reuses_keys_of_data_directory() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let key = || std::fs::read_to_string(data.join("pki/admin.crt")).unwrap();
    let program = Program::start(data, &[]);
    let before = key();
    program.signal(Signal::INT);
    assert!(program.ended().0.success());
    let program = Program::start(data, &[]);
    assert!(program.admin().is_ready().await);
    assert_eq!(key(), before);
}

#[tokio::test]
async fn long_data_directory_path_is_served() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("d".repeat(120));
    let program = Program::start(&data, &[]);
    assert!(program.admin().is_ready().await);
    program.signal(Signal::INT);
    assert!(program.ended().0.success());
}

#[test]
fn descriptor_limit_is_raised() {
    let directory = tempfile::tempdir().unwrap();
    let program = standalone(command(&[]), directory.path());
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -Sn 256 && exec \"$0\" \"$@\""]);
    limited.arg(program.get_program()).args(program.get_args());
    let mut process = 0;
    let _program = Program::run(limited, directory.path(), |child| process = child.id());
    let limits = std::fs::read_to_string(format!("/proc/{process}/limits")).unwrap();
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let words: Vec<&str> = files.unwrap().split_whitespace().collect();
    assert_eq!(words[3], words[4], "soft and hard");
}

#[tokio::test]
async fn head_of_one_mebibyte_is_accepted() {
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start(directory.path(), &[]);
    let admin = program.admin();
    let head = |bytes: usize| Request::get("/version").header("x-large", "h".repeat(bytes));
    let response = admin.response(head(900 << 10), Bytes::new()).await;
    assert_eq!(response.unwrap().0, StatusCode::OK);
    // The server rejects the head or closes the connection; other clients are not affected.
    if let Some((status, _)) = admin.response(head(2 << 20), Bytes::new()).await {
        assert_eq!(status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
    assert!(admin.is_ready().await);
}

#[tokio::test]
async fn rejection_without_reading_body_keeps_connection() {
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start(directory.path(), &[]);
    let mut stream = program.admin().connect().await.unwrap();
    let head = |path: &str, bytes: usize| {
        format!("PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {bytes}\r\n\r\n")
    };
    for bytes in [2, 200 << 10] {
        // Sends the head first: the server responds without waiting for the body, and must then
        // skip it.
        let path = "/apis/ark.mckinsey.com/v1alpha1/namespaces/default/queries/missing/scale";
        stream
            .write_all(head(path, bytes).as_bytes())
            .await
            .unwrap();
        stream.flush().await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        stream.write_all(&vec![b' '; bytes]).await.unwrap();
        let response = response(&mut stream).await;
        assert!(response.starts_with("HTTP/1.1 404"), "{response}");
        assert!(!response.contains("connection: close"), "{response}");
    }
    // The rest is too large to drain, so the response announces the close of the connection.
    stream
        .write_all(head("/nothing", 1 << 20).as_bytes())
        .await
        .unwrap();
    let response = response(&mut stream).await;
    assert!(response.starts_with("HTTP/1.1 404"), "{response}");
    assert!(response.contains("connection: close"), "{response}");
}

/// One response with a `Content-Length`: head and body.
async fn response(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut text = Vec::new();
    loop {
        let got = stream.read_u8().await;
        text.push(got.expect("a response"));
        let read = String::from_utf8_lossy(&text);
        let Some((head, body)) = read.split_once("\r\n\r\n") else {
            continue;
        };
        let head = head.to_lowercase();
        let (_, length) = head.split_once("content-length: ").expect("a length");
        let length: usize = length.lines().next().unwrap().parse().unwrap();
        if body.len() >= length {
            return read.into_owned();
        }
    }
}

#[tokio::test]
async fn metrics_have_a_listener_without_credentials() {
    let directory = tempfile::tempdir().unwrap();
    // Free again at the end of this statement.
    let address = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .unwrap()
        .to_string();
    let program = Program::start(directory.path(), &["--metrics-bind-address", &address]);
    // A counter without samples has no series in the output.
    program.admin().get("/version").await;
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let request = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let text = response(&mut stream).await;
    let type_line = "content-type: text/plain; version=0.0.4";
    assert!(text.contains(type_line), "{text}");
    for line in [
        "# TYPE apiserver_request_total counter\n",
        "# TYPE ark_build_info gauge\n",
        "apiserver_resource_objects{group=\"ark.mckinsey.com\",resource=\"queries\"} 0\n",
        "ark_rejected_requests_total{reason=\"requests\"} 0\n",
        "ark_apiserver_backend_request_duration_seconds_count{method=\"List\"} ",
        "process_resident_memory_bytes ",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert!(!text.contains("code=\"0\""), "{text}");
    program.signal(Signal::INT);
    assert!(program.ended().0.success());
}

#[tokio::test]
async fn every_documented_metric_exists() {
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start(directory.path(), &[]);
    let admin = program.admin();
    // A counter without samples has no series in the output.
    let queries = "/apis/ark.mckinsey.com/v1alpha1/queries";
    admin.get(queries).await;
    let _watch = admin.watch(&format!("{queries}?watch=1")).await;
    program.signal(Signal::HUP);
    eventually("manifests are read again", DEADLINE, async || {
        admin
            .get("/metrics")
            .await
            .1
            .contains("ark_manifest_reloads_total{")
    })
    .await;
    let metrics = admin.get("/metrics").await.1;
    let guide = include_str!("../../../docs/operating.md");
    let (_, section) = guide.split_once("\n## Metrics\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let names: Vec<&str> = rows
        .flat_map(|row| row.split('|').nth(1).unwrap().split('`').skip(1).step_by(2))
        .collect();
    assert!(names.len() > 8, "{names:?}");
    for name in names {
        let described = format!("# TYPE {name} ");
        assert!(metrics.contains(&described), "{name} in\n{metrics}");
    }
}
