//! Files and web servers that receive events.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::receiver::Receiver;
use super::server::{Audited, EVERYTHING, until};
use crate::writes::server::thing;

const METADATA: &str = "- {level: Metadata, omitStages: [RequestReceived]}";

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_served_while_the_log_hangs() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("audit.log");
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    // Open for reading, so that it can be opened for writing, but never read.
    let reader = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&pipe)
        .unwrap();
    let flags = "--audit-log-path LOG --audit-log-mode batch --audit-log-batch-buffer-size 10 \
        --audit-log-maxsize 0";
    let server = Audited::within(folder, EVERYTHING, flags).await;
    // A pipe holds 64 KiB.
    let long = "x".repeat(20_000);
    for at in 0..60 {
        let line = format!("GET things/none-{at}?{long}");
        assert_eq!(server.request(&line, "").await.0, 404);
    }
    let lost = server
        .metric("apiserver_audit_error_total{plugin=\"buffered\"}")
        .await;
    let events = server.metric("apiserver_audit_event_total").await;
    assert!(lost > 50 && lost < events, "{lost} of {events}");
    drop(reader);
    // The shutdown does not wait for it without end.
    server.stop_process().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn request_is_rejected_if_strict_log_fails() {
    let flags = "--audit-log-path /dev/full --audit-log-maxsize 0 --audit-log-mode";
    for (mode, code) in [("blocking-strict", 500), ("blocking", 404)] {
        let rules = "- {level: None, nonResourceURLs: [/metrics]}\n- level: Metadata";
        let server = Audited::new(rules, &format!("{flags} {mode}")).await;
        let (found, text) = server.request("GET things/none", "").await;
        let text = String::from_utf8_lossy(&text).into_owned();
        assert_eq!(found, code, "{text}");
        assert_eq!(text.contains("failed to store audit event"), code == 500);
        let rejected = server
            .metric("apiserver_audit_requests_rejected_total")
            .await;
        assert_eq!(rejected, u64::from(code == 500), "{mode}");
        let lost = server
            .metric("apiserver_audit_error_total{plugin=\"log\"}")
            .await;
        assert_eq!(lost, if code == 500 { 1 } else { 2 }, "{mode}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn log_is_rotated_without_a_loss() {
    let flags = "--audit-log-path LOG --audit-log-maxsize 1 --audit-log-mode batch \
        --audit-log-compress";
    let server = Audited::new(METADATA, flags).await;
    let long = "x".repeat(20_000);
    for at in 0..120 {
        server
            .request(&format!("GET things/none-{at}?{long}"), "")
            .await;
    }
    let folder = server.stop_process().await;
    let mut events = 0;
    let mut compressed = 0;
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if !name.starts_with("audit") {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        let text = if name.ends_with(".gz") {
            compressed += 1;
            let mut text = String::new();
            let mut decoder = flate2::read::GzDecoder::new(&*bytes);
            std::io::Read::read_to_string(&mut decoder, &mut text).unwrap();
            text
        } else {
            String::from_utf8(bytes).unwrap()
        };
        assert!(text.len() <= 1 << 20, "{name}");
        for line in text.lines() {
            serde_json::from_str::<Value>(line).unwrap();
            events += 1;
        }
    }
    assert_eq!(events, 120);
    assert!(compressed >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn webhook_receives_batches_and_is_retried() {
    let receiver = Receiver::failing(2).await;
    let flags = format!(
        "{} --audit-webhook-initial-backoff 10ms --audit-webhook-batch-max-size 5 \
         --audit-webhook-batch-max-wait 50ms",
        receiver.flag()
    );
    let server = Audited::new(METADATA, &flags).await;
    for at in 0..12 {
        server.request(&format!("GET things/none-{at}"), "").await;
    }
    // The shutdown sends what is left.
    server.stop_process().await;
    let lists = receiver.lists();
    let sizes: Vec<usize> = lists
        .iter()
        .map(|list| {
            assert_eq!(list["kind"], "EventList");
            assert_eq!(list["apiVersion"], "audit.k8s.io/v1");
            list["items"].as_array().unwrap().len()
        })
        .collect();
    assert_eq!(sizes.iter().sum::<usize>(), 12, "{sizes:?}");
    assert!(sizes.iter().all(|size| *size <= 5), "{sizes:?}");
    let paths = receiver.paths();
    assert_eq!(paths.len(), lists.len() + 2);
    assert!(paths.iter().all(|path| path == "/audit?key=1"), "{paths:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_counted_while_the_webhook_is_away() {
    let receiver = Receiver::failing(0).await;
    let flags = format!(
        "{} --audit-webhook-initial-backoff 1ms --audit-webhook-batch-max-wait 10ms",
        receiver.flag()
    );
    // Stopped, but its address and file stay.
    let flags = {
        let kubeconfig = std::fs::read(flags.split_whitespace().nth(1).unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kubeconfig");
        std::fs::write(&path, kubeconfig).unwrap();
        drop(receiver);
        let path = folder.keep().join("kubeconfig");
        let rest = flags
            .split_whitespace()
            .skip(2)
            .collect::<Vec<_>>()
            .join(" ");
        format!("--audit-webhook-config-file {} {rest}", path.display())
    };
    let server = Audited::new(METADATA, &flags).await;
    assert_eq!(server.request("POST things", thing("x", 1)).await.0, 201);
    let name = "apiserver_audit_error_total{plugin=\"webhook\"}";
    until("a loss", async || server.metric(name).await > 0).await;
    tokio::time::timeout(Duration::from_secs(20), server.stop_process())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn large_events_lose_their_bodies() {
    let receiver = Receiver::failing(0).await;
    let flags = format!(
        "{} --audit-webhook-mode blocking --audit-webhook-truncate-enabled \
         --audit-webhook-truncate-max-event-size 2000",
        receiver.flag()
    );
    let rules = "- {level: None, nonResourceURLs: ['*']}\n- {level: RequestResponse, omitStages: \
        [RequestReceived]}";
    let server = Audited::new(rules, &flags).await;
    assert_eq!(server.request("POST things", thing("x", 1)).await.0, 201);
    assert_eq!(
        server
            .request("MERGE things/x", "{\"spec\": {\"size\": 2}}")
            .await
            .0,
        200
    );
    let labels = serde_json::json!({"metadata": {"annotations": {"a": "x".repeat(3_000)}}});
    assert_eq!(
        server.request("MERGE things/x", labels.to_string()).await.0,
        200
    );
    let items: Vec<Value> = receiver
        .lists()
        .iter()
        .map(|list| list["items"][0].clone())
        .collect();
    assert_eq!(items.len(), 3);
    assert!(items[1].get("responseObject").is_some());
    assert!(items[2].get("responseObject").is_none());
    assert_eq!(items[2]["annotations"]["audit.k8s.io/truncated"], "true");
    server.stop_process().await;
}
