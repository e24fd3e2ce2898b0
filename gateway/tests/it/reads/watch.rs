//! Watches: start, events, end.

use std::io::Read as _;
use std::time::Duration;

use gateway::store::{Limits, StoreConfig};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use super::server::{TestServer, revision};

const STREAMED: &str =
    "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";

#[tokio::test(flavor = "multi_thread")]
async fn event_is_one_line_of_compact_json() {
    let server = TestServer::of_things(1).await;
    let object = server.response("GET things/t0", "").await.body;
    let mut watch = server.watch("things?watch=1", "").await;
    let added = format!(r#"{{"type":"ADDED","object":{}}}"#, object.trim_end());
    assert_eq!(watch.line().await.as_deref(), Some(&*added));
    server.delete("a/t0").await;
    let deleted = added.replace("ADDED", "DELETED").replace("r1", "r2");
    assert_eq!(watch.line().await.as_deref(), Some(&*deleted));
}

#[tokio::test(flavor = "multi_thread")]
async fn query_selects_watch_start() {
    let server = TestServer::of_things(3).await;
    let (one, now) = (revision(1), revision(3));
    let all = ["ADDED t0 0", "ADDED t1 1", "ADDED t2 2"];
    let end =
        r#"BOOKMARK {"annotations":{"k8s.io/initial-events-end":"true"},"resourceVersion":"r3"}"#;
    let with_end = [all[0], all[1], all[2], end];
    let match_ = "resourceVersionMatch=NotOlderThan";
    let cases: Vec<(String, &[&str])> = vec![
        ("watch=1".to_owned(), &all),
        ("watch=true&resourceVersion=0".to_owned(), &all),
        // An unset version starts with a list; clients that allow bookmarks get one at its end.
        ("watch=1&allowWatchBookmarks=1".to_owned(), &with_end),
        (format!("watch=1&resourceVersion={one}"), &all[1..]),
        (format!("watch=1&resourceVersion={now}"), &[]),
        (format!("{STREAMED}&resourceVersion={one}"), &with_end),
        (STREAMED.to_owned(), &with_end),
        (format!("{STREAMED}&resourceVersion=0"), &with_end),
        (format!("watch=1&sendInitialEvents=true&{match_}"), &all),
        (format!("watch=1&sendInitialEvents=false&{match_}"), &[]),
        (
            format!("watch=1&sendInitialEvents=false&{match_}&resourceVersion={one}"),
            &all[1..],
        ),
        (
            "watch=1&fieldSelector=metadata.name=t1".to_owned(),
            &all[1..2],
        ),
        ("watch=1&fieldSelector=spec.size=2".to_owned(), &all[2..]),
    ];
    let mut watches = Vec::new();
    for (query, want) in &cases {
        let mut watch = server.watch(&format!("things?{query}"), "").await;
        assert_eq!(watch.events(want.len()).await, *want, "{query}");
        watches.push(watch);
    }
    // Then the changes follow, without gaps or repetitions.
    server.put("a/t1", &json!({}), &json!({"size": 2})).await;
    for ((query, _), watch) in cases.iter().zip(&mut watches) {
        let want = if query.contains("spec.size") {
            "ADDED t1 2"
        } else {
            "MODIFIED t1 2"
        };
        assert_eq!(watch.events(1).await, [want], "{query}");
    }
    for path in ["", "/t1"] {
        let url = format!("/apis/example.com/v1/watch/namespaces/a/things{path}?timeoutSeconds=9");
        let mut watch = server.watch(&url, "").await;
        let first = if path.is_empty() {
            "ADDED t0 0"
        } else {
            "ADDED t1 2"
        };
        assert_eq!(watch.events(1).await, [first], "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn selector_transitions_are_added_and_deleted_events() {
    let server = TestServer::new().await;
    let mut watch = server
        .watch("things?watch=1&labelSelector=in=yes", "")
        .await;
    let (inside, outside) = (json!({"in": "yes"}), json!({"in": "no"}));
    for (size, labels) in [
        (0, &outside),
        (1, &inside),
        (2, &inside),
        (3, &outside),
        (4, &inside),
    ] {
        server.put("a/x", labels, &json!({ "size": size })).await;
    }
    server.delete("a/x").await;
    server.put("b/x", &inside, &json!({"size": 5})).await;
    let events = watch.events(5).await;
    let want = [
        "ADDED x 1",
        "MODIFIED x 2",
        "DELETED x 2",
        "ADDED x 4",
        "DELETED x 4",
    ];
    assert_eq!(events, want);
}

#[tokio::test(flavor = "multi_thread")]
async fn watched_tables_send_columns_once() {
    let server = TestServer::of_things(2).await;
    for (query, carried) in [
        ("", "PartialObjectMetadata"),
        ("&includeObject=Object", "Thing"),
        ("&includeObject=None", ""),
    ] {
        let mut watch = server
            .watch(&format!("things?{STREAMED}{query}"), "table")
            .await;
        for (at, columns) in [(0, false), (1, true)] {
            let event: Value = serde_json::from_str(&watch.line().await.unwrap()).unwrap();
            let table = &event["object"];
            assert_eq!(
                (&event["type"], &table["kind"]),
                (&json!("ADDED"), &json!("Table"))
            );
            assert_eq!(
                table["metadata"],
                json!({"resourceVersion": format!("r{}", at + 1)})
            );
            assert_eq!(table["columnDefinitions"].is_null(), columns);
            let row = &table["rows"][0];
            assert_eq!(row["cells"][0], format!("t{at}"));
            assert_eq!(row["object"]["kind"].as_str().unwrap_or_default(), carried);
        }
        // The end bookmark is sent for every `includeObject`: in one row without cells.
        let want = match carried {
            "Thing" => {
                r#"{"apiVersion":"example.com/v1","kind":"Thing","metadata":{"annotations":{"k8s.io/initial-events-end":"true"},"resourceVersion":"r2"}}"#
            }
            _ => {
                r#"{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"resourceVersion":"r2","annotations":{"k8s.io/initial-events-end":"true"}}}"#
            }
        };
        let want = format!(
            r#"{{"type":"BOOKMARK","object":{{"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":{{"resourceVersion":"r2"}},"columnDefinitions":null,"rows":[{{"cells":["",null,null],"object":{want}}}]}}}}"#
        );
        assert_eq!(watch.line().await.unwrap(), want);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn partial_metadata_watch_works_in_any_version() {
    let server = TestServer::of_things(1).await;
    let accept = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
    let object = server.response("GET things/t0", accept).await.body;
    let mut watch = server.watch(&format!("things?{STREAMED}"), accept).await;
    let added = format!(r#"{{"type":"ADDED","object":{}}}"#, object.trim_end());
    assert_eq!(watch.line().await.unwrap(), added);
    let end = r#"{"type":"BOOKMARK","object":{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"resourceVersion":"r1","annotations":{"k8s.io/initial-events-end":"true"}}}}"#;
    assert_eq!(watch.line().await.unwrap(), end);
    server.delete("a/t0").await;
    let deleted = added.replace("ADDED", "DELETED").replace("r1", "r2");
    assert_eq!(watch.line().await.unwrap(), deleted);

    let old = "/apis/example.com/v1beta1/things?watch=1";
    server
        .put("a/t1", &json!({}), &json!({"size": 1, "color": "red"}))
        .await;
    let mut watch = server.watch(old, "").await;
    let line = watch.line().await.unwrap();
    assert!(
        line.contains(r#""apiVersion":"example.com/v1beta1","kind":"Thing""#),
        "{line}"
    );
    assert!(line.contains(r#""spec":{"size":1}}"#), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_watch_is_status_or_single_error_event() {
    let server = TestServer::of_things(1).await;
    for (query, code, message) in [
        (
            "resourceVersion=abc",
            500,
            "resourceVersion: Invalid value: \"abc\": strconv.ParseUint: parsing \"abc\": invalid syntax",
        ),
        (
            "sendInitialEvents=true",
            422,
            "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        ),
        (
            "timeoutSeconds=abc",
            400,
            "strconv.ParseInt: parsing \"abc\": invalid syntax",
        ),
        (
            "fieldSelector=spec.owner=x",
            400,
            "field label not supported: spec.owner",
        ),
    ] {
        let response = server
            .response(&format!("GET things?watch=1&{query}"), "")
            .await;
        let status: Value = serde_json::from_str(&response.body).expect("JSON");
        assert_eq!(
            (response.code, &status["message"]),
            (code, &json!(message)),
            "{query}"
        );
    }
    let yaml = server
        .response("GET things?watch=1", "application/yaml")
        .await;
    assert_eq!(yaml.code, 406);
    let types =
        "application/json;stream=watch,\n  application/vnd.kubernetes.protobuf;stream=watch";
    assert!(yaml.body.contains(types), "{}", yaml.body);

    let mut old = server
        .watch("things?watch=1&resourceVersion=1", "table")
        .await;
    let error = r#"{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"too old resource version: 1 (r0)","reason":"Expired","code":410}}"#;
    assert_eq!(old.line().await.as_deref(), Some(error));
    assert_eq!(old.line().await, None);
    let after = format!("things?watch=1&resourceVersion={}", revision(1_000));
    let mut unissued = server.watch(&after, "").await;
    let line = unissued.line().await.expect("an event");
    let words = "The resourceVersion for the provided watch is too large: 1099511628776, this store is at r1";
    assert!(
        line.contains(words) && line.contains(r#""reason":"Expired","code":410"#),
        "{line}"
    );
    assert_eq!(unissued.line().await, None);
    let future = format!("things?{STREAMED}&resourceVersion=9000000000000000000");
    let mut future = server.watch(&future, "").await;
    let line = future.line().await.expect("an event");
    assert!(
        line.contains(r#""type":"ERROR""#) && line.contains("ResourceVersionTooLarge"),
        "{line}"
    );
    assert_eq!(future.line().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_ends_at_timeout_with_bookmark() {
    let server = TestServer::of_things(1).await;
    let query = "watch=1&allowWatchBookmarks=true&timeoutSeconds=5";
    let (url, now) = (format!("things?{query}"), revision(1));
    let mut watch_with_end = server
        .watch(&format!("{url}&resourceVersion={now}"), "")
        .await;
    let mut quiet = server
        .watch(
            &format!("things?watch=1&timeoutSeconds=1&resourceVersion={now}"),
            "",
        )
        .await;
    // In another namespace: no event, but the bookmark includes the revision.
    server.put("b/x", &json!({}), &json!({})).await;
    let bookmark = r#"{"type":"BOOKMARK","object":{"apiVersion":"example.com/v1","kind":"Thing","metadata":{"resourceVersion":"r2"}}}"#;
    assert_eq!(watch_with_end.line().await.as_deref(), Some(bookmark));
    assert_eq!(watch_with_end.line().await, None);
    assert_eq!(quiet.line().await, None);
    let future = "things?watch=1&allowWatchBookmarks=true&timeoutSeconds=5&resourceVersion=9000000000000000000";
    assert_eq!(server.watch(future, "").await.line().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_watcher_ends_with_410() {
    let limits = Limits {
        history: 20_000,
        total: usize::MAX,
    };
    let config = StoreConfig {
        limits,
        ..StoreConfig::default()
    };
    let server = TestServer::with(config).await;
    server.put("a/x", &json!({}), &json!({"size": 0})).await;
    let mut slow = server.watch("things?watch=1", "").await;
    assert_eq!(slow.events(1).await, ["ADDED x 0"]);
    for size in 1..60 {
        server
            .put("a/x", &json!({}), &json!({ "size": size }))
            .await;
    }
    assert_eq!(server.names("things").await, ["x"]);
    // History beyond the limit is dropped after the newest change was delivered.
    let first = revision(1);
    let past = format!("GET things?resourceVersion={first}&resourceVersionMatch=Exact");
    let gone = async {
        while server.response(&past, "").await.code != 410 {
            tokio::task::yield_now().await;
        }
    };
    let gone = tokio::time::timeout(Duration::from_secs(10), gone);
    gone.await.expect("history is short");
    let line = slow.line().await.expect("an event");
    assert!(
        line.contains(r#""type":"ERROR""#) && line.contains(r#""code":410"#),
        "{line}"
    );
    assert_eq!(slow.line().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn streamed_lists_are_compressed_on_request() {
    let server = TestServer::of_things(3).await;
    let take = "*/*|Accept-Encoding: gzip";
    let plain = server
        .request("GET things?watch=1&timeoutSeconds=1", take)
        .await;
    assert!(!plain.headers().contains_key("content-encoding"));
    let request = format!("GET things?{STREAMED}");
    let response = server.request(&request, take).await;
    assert_eq!(response.headers()["content-encoding"], "gzip");
    assert_eq!(response.headers()["vary"], "Accept-Encoding");
    let (mut body, mut packed, mut text) = (response.into_body(), Vec::new(), String::new());
    server.put("a/t9", &json!({}), &json!({"size": 9})).await;
    while !text.contains("t9") {
        let frame = tokio::time::timeout(Duration::from_secs(10), body.frame());
        let data = frame
            .await
            .expect("in time")
            .expect("not ended")
            .expect("no error");
        packed.extend_from_slice(&data.into_data().expect("no trailers"));
        // Every piece can be decompressed when it arrives, though the stream has not ended.
        let (mut reader, mut plain) = (flate2::read::GzDecoder::new(&*packed), Vec::new());
        let more = reader.read_to_end(&mut plain).expect_err("not ended");
        assert_eq!(more.kind(), std::io::ErrorKind::UnexpectedEof);
        text = String::from_utf8(plain).expect("whole events");
    }
    let kinds: Vec<_> = text
        .lines()
        .map(|line| line.split('"').nth(3).unwrap())
        .collect();
    assert_eq!(kinds, ["ADDED", "ADDED", "ADDED", "BOOKMARK", "ADDED"]);
}
