//! The events of each kind of request.

use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use super::server::{Audited, EVERYTHING, event, request, until};
use crate::writes::server::thing;

const LOG: &str = "--audit-log-path LOG";

/// Requests in order, each with its status code.
const REQUESTS: [(&str, &str, u16); 17] = [
    ("GET /version", "", 200),
    ("GET /apis", "", 200),
    ("GET /nothing", "", 404),
    ("GET /apis/example.com/v1/namespaces/a/others", "", 404),
    ("GET things/none", "", 404),
    ("POST things", "{}", 400),
    ("PUT things/none", "x", 400),
    ("MERGE things/none", "{\"a\": 1}", 404),
    (
        "APPLY things/t1",
        "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: t1}\nspec: {size: 2}",
        422,
    ),
    (
        "APPLY things/t1?fieldManager=m",
        "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: t1}\nspec: {size: 2}",
        201,
    ),
    ("GET things", "", 200),
    ("GET things/t1", "", 200),
    ("GET things/t1?timeout=zz", "", 400),
    ("MERGE things/t1", "{\"spec\":\n {\"size\": 3}}", 200),
    (
        "DELETE things/t1",
        "{\"propagationPolicy\": \"Background\"}",
        200,
    ),
    ("DELETE things", "", 200),
    ("PUT /version", "", 405),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_request_has_exactly_one_last_event() {
    let server = Audited::new(EVERYTHING, LOG).await;
    for (line, body, code) in REQUESTS {
        let (found, text) = server.request(line, body).await;
        let text = String::from_utf8_lossy(&text).into_owned();
        assert_eq!(found, code, "{line}: {text}");
    }
    let events = server.stop().await;
    for (line, _, code) in REQUESTS {
        let rejected = line.contains("timeout=zz");
        let stage = if rejected {
            "ResponseStarted"
        } else {
            "ResponseComplete"
        };
        let last = event(&events, line, stage);
        assert_eq!(last["responseStatus"]["code"], code, "{line}");
        if !rejected {
            let first = event(&events, line, "RequestReceived");
            assert!(first.get("responseStatus").is_none(), "{line}");
            assert_eq!(first["stageTimestamp"], first["requestReceivedTimestamp"]);
        }
    }
    let expected = REQUESTS.len() * 2 - 1;
    assert_eq!(events.len(), expected, "{events:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn event_of_create_has_all_fields() {
    let server = Audited::new(EVERYTHING, LOG).await;
    let (code, created) = server.request("POST things", thing("x", 1)).await;
    assert_eq!(code, 201);
    let events = server.stop().await;
    let mut last = event(&events, "POST things", "ResponseComplete").clone();
    let created: Value = serde_json::from_slice(&created).unwrap();
    assert_eq!(last["responseObject"], created);
    assert_eq!(last["requestObject"]["spec"]["size"], 1);
    for time in ["requestReceivedTimestamp", "stageTimestamp"] {
        let text = last[time].as_str().unwrap();
        assert_eq!(text.len(), "2026-11-30T10:00:00.000000Z".len(), "{text}");
    }
    let object = last.as_object_mut().unwrap();
    let user = object.remove("user").unwrap();
    assert_eq!(user["username"], "ark-admin");
    assert_eq!(
        user["groups"],
        json!(["system:masters", "system:authenticated"])
    );
    object.retain(|key, _| !key.ends_with("Object") && !key.ends_with("Timestamp"));
    let expected = json!({
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "RequestResponse",
        "auditID": "POST things",
        "stage": "ResponseComplete",
        "requestURI": "/apis/example.com/v1/namespaces/a/things",
        "verb": "create",
        "sourceIPs": ["127.0.0.1"],
        "userAgent": "test/1",
        "objectRef": {
            "resource": "things", "namespace": "a", "name": "x", "apiGroup": "example.com",
            "apiVersion": "v1",
        },
        "responseStatus": {"metadata": {}, "code": 201},
        "annotations": {
            "authorization.k8s.io/decision": "allow",
            "authorization.k8s.io/reason": "",
        },
    });
    assert_eq!(last, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_have_the_status_that_was_sent() {
    let server = Audited::new(EVERYTHING, LOG).await;
    let (_, sent) = server.request("GET things/none", "").await;
    let anonymous = request("GET /apis/example.com/v1/things", "");
    assert_eq!(server.admin.send_anonymously(anonymous).await.status(), 401);
    let events = server.stop().await;
    let last = event(&events, "GET things/none", "ResponseComplete");
    let sent: Value = serde_json::from_slice(&sent).unwrap();
    assert_eq!(last["responseObject"], sent);
    let status = &last["responseStatus"];
    for key in ["status", "reason", "message", "details", "code"] {
        assert_eq!(status[key], sent[key], "{key}");
    }
    assert!(status.get("kind").is_none());
    let line = "GET /apis/example.com/v1/things";
    let only = event(&events, line, "ResponseStarted");
    assert_eq!(only["responseStatus"]["reason"], "Unauthorized");
    assert_eq!(only["user"], json!({}));
    let of_line = events.iter().filter(|event| event["auditID"] == line);
    assert_eq!(of_line.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn level_decides_about_bodies() {
    let rules = "- {level: Metadata, verbs: [create]}\n- {level: Request, verbs: [patch]}\n\
        - {level: None}";
    let server = Audited::new(rules, LOG).await;
    server.request("POST things", thing("x", 1)).await;
    let patch = "{\n  \"spec\": {\"size\": 2}}";
    assert_eq!(server.request("MERGE things/x", patch).await.0, 200);
    server.request("GET things/x", "").await;
    let events = server.stop().await;
    let create = event(&events, "POST things", "ResponseComplete");
    assert_eq!(create["objectRef"]["name"], "x");
    let patched = event(&events, "MERGE things/x", "ResponseComplete");
    assert_eq!(patched["requestObject"], json!({"spec": {"size": 2}}));
    for event in [create, patched] {
        assert!(event.get("responseObject").is_none(), "{event}");
    }
    assert!(create.get("requestObject").is_none(), "{create}");
    assert_eq!(events.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_every_format_are_recorded_as_json() {
    let rules =
        "- {level: RequestResponse, omitManagedFields: true, omitStages: [RequestReceived]}";
    let server = Audited::new(rules, LOG).await;
    for name in ["t1", "t2"] {
        let line = format!("APPLY things/{name}?fieldManager=m");
        let body = format!(
            "apiVersion: example.com/v1\nkind: Thing\nmetadata: {{name: {name}}}\nspec: {{size: 2}}"
        );
        let (code, text) = server.request(&line, body).await;
        let text = String::from_utf8_lossy(&text).into_owned();
        assert_eq!(code, 201, "{text}");
    }
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    for (id, accept, encoding) in [
        ("json", "application/json", "identity"),
        ("yaml", "application/yaml", "identity"),
        ("table", table, "identity"),
    ] {
        let mut list = request("GET things", "");
        let headers = list.headers_mut();
        headers.insert("Accept", accept.parse().unwrap());
        headers.insert("Accept-Encoding", encoding.parse().unwrap());
        headers.insert("Audit-ID", id.parse().unwrap());
        let response = server.admin.send(list).await;
        assert_eq!(response.status(), 200);
        response.into_body().collect().await.unwrap();
    }
    let events = server.stop().await;
    let names = |id: &str, items: &str, object: &str| -> Vec<Value> {
        let list = &event(&events, id, "ResponseComplete")["responseObject"];
        let items = list[items].as_array().expect("items");
        let name = |item: &Value| {
            let metadata = item
                .pointer(&format!("{object}/metadata"))
                .expect("metadata");
            assert!(metadata.get("managedFields").is_none(), "{metadata}");
            metadata["name"].clone()
        };
        items.iter().map(name).collect()
    };
    for id in ["json", "yaml"] {
        assert_eq!(names(id, "items", ""), ["t1", "t2"], "{id}");
    }
    assert_eq!(names("table", "rows", "/object"), ["t1", "t2"]);
    let apply = event(
        &events,
        "APPLY things/t1?fieldManager=m",
        "ResponseComplete",
    );
    assert_eq!(apply["requestObject"]["spec"]["size"], 2);
    assert!(
        apply["responseObject"]["metadata"]
            .get("managedFields")
            .is_none()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_has_events_at_its_start_and_end() {
    let server = Audited::new(EVERYTHING, LOG).await;
    let line = "GET things?watch=1";
    let mut watch = server.send(line, "").await;
    assert_eq!(watch.status(), 200);
    assert_eq!(server.request("POST things", thing("x", 1)).await.0, 201);
    watch
        .body_mut()
        .frame()
        .await
        .expect("an event")
        .expect("sent");
    let log = server.log();
    let events = || super::server::events_of(&log);
    until("the start", async || {
        let started =
            |event: &Value| event["auditID"] == line && event["stage"] == "ResponseStarted";
        events().iter().any(started)
    })
    .await;
    let open = events()
        .iter()
        .any(|event| event["auditID"] == line && event["stage"] == "ResponseComplete");
    assert!(!open, "the watch is open");
    drop(watch);
    let events = server.stop().await;
    let last = event(&events, line, "ResponseComplete");
    assert_eq!(last["verb"], "watch");
    assert_eq!(last["responseStatus"], json!({"metadata": {}, "code": 200}));
    assert!(last.get("responseObject").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn client_that_leaves_has_a_last_event() {
    let server = Audited::new(EVERYTHING, LOG).await;
    let line = "POST things";
    let mut body_never_ends = request(line, "");
    *body_never_ends.body_mut() =
        axum::body::Body::from_stream(futures_util::stream::pending::<Result<&str, axum::Error>>());
    let sent = server.admin.send(body_never_ends);
    let left = tokio::time::timeout(std::time::Duration::from_millis(200), sent).await;
    assert!(left.is_err());
    let events = server.stop().await;
    let status = &event(&events, line, "ResponseComplete")["responseStatus"];
    assert_eq!(status["message"], "Connection closed early");
}
