//! Lists: state, selection and pages.

use std::time::Duration;

use serde_json::{Value, json};

use super::server::{TestServer, revision};

async fn rejected(server: &TestServer, url: &str, code: u16, message: &str) {
    let response = server.response(&format!("GET {url}"), "").await;
    assert_eq!(response.code, code, "{url}: {}", response.body);
    let status: Value = serde_json::from_str(&response.body).expect("JSON");
    assert_eq!(status["message"], message, "{url}");
}

/// The names of a list's pages, and the remaining count of each page.
async fn pages(server: &TestServer, url: &str) -> Vec<(String, Option<i64>)> {
    let (mut pages, mut token, mut version) = (Vec::new(), String::new(), Value::Null);
    loop {
        let response = server
            .response(&format!("GET {url}&continue={token}"), "")
            .await;
        let list: Value = serde_json::from_str(&response.body).expect("JSON");
        if version.is_null() {
            version = list["metadata"]["resourceVersion"].clone();
        }
        assert_eq!(list["metadata"]["resourceVersion"], version);
        let items = list["items"].as_array().expect("items").iter();
        let names = items.map(|it| it["metadata"]["name"].as_str().expect("a name"));
        let names = names.collect::<Vec<_>>().join(" ");
        pages.push((names, list["metadata"]["remainingItemCount"].as_i64()));
        token = list["metadata"]["continue"]
            .as_str()
            .expect("a token")
            .to_owned();
        if token.is_empty() {
            return pages;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn list_document_has_items_before_kind() {
    let server = TestServer::new().await;
    let empty = r#"{"apiVersion":"example.com/v1","items":[],"kind":"ThingList","metadata":{"continue":"","resourceVersion":"r0"}}"#;
    let response = server.response("GET things", "").await;
    assert_eq!(response.body, format!("{empty}\n"));
    server.put("a/x", &json!({}), &json!({})).await;
    let item = server.response("GET things/x", "").await.body;
    let response = server.response("GET things", "").await;
    let want = empty.replace("[]", &format!("[{}]", item.trim_end()));
    assert_eq!(response.body, format!("{}\n", want.replace("r0", "r1")));
    let old = server
        .response("GET /apis/example.com/v1beta1/things", "")
        .await
        .body;
    assert!(old.contains(r#""items":[{"apiVersion":"example.com/v1beta1","kind":"Thing""#));
}

#[tokio::test(flavor = "multi_thread")]
async fn list_items_are_sorted_by_key() {
    let server = TestServer::new().await;
    for key in ["a/x", "a-b/x", "a/b", "b/a", "a.b/c"] {
        server
            .put(key, &json!({"k": key.replace('/', "_")}), &json!({}))
            .await;
    }
    let response = server.response("GET /apis/example.com/v1/things", "").await;
    let list: Value = serde_json::from_str(&response.body).expect("JSON");
    let items = list["items"].as_array().expect("items").iter();
    let keys: Vec<_> = items
        .map(|it| it["metadata"]["labels"]["k"].as_str().unwrap())
        .collect();
    assert_eq!(keys, ["a-b_x", "a.b_c", "a_b", "a_x", "b_a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn resource_version_match_selects_listed_state() {
    // Each thing is a revision: t0 is r1, t1 is r2, t2 is r3.
    let server = TestServer::of_things(3).await;
    let (one, two) = (revision(1), revision(2));
    for (query, want) in [
        (String::new(), "t0 t1 t2"),
        ("limit=2".to_owned(), "t0 t1"),
        ("limit=-1".to_owned(), "t0 t1 t2"),
        ("resourceVersion=0".to_owned(), "t0 t1 t2"),
        ("resourceVersion=0&limit=1".to_owned(), "t0 t1 t2"),
        (format!("resourceVersion={one}"), "t0 t1 t2"),
        (format!("resourceVersion={two}&limit=5"), "t0 t1"),
        (format!("resourceVersion={two}&limit=1"), "t0"),
        (
            format!("resourceVersion={one}&resourceVersionMatch=NotOlderThan"),
            "t0 t1 t2",
        ),
        (
            format!("resourceVersion={one}&resourceVersionMatch=NotOlderThan&limit=2"),
            "t0 t1",
        ),
        (
            format!("resourceVersion={two}&resourceVersionMatch=Exact"),
            "t0 t1",
        ),
        (
            format!("resourceVersion={one}&resourceVersionMatch=Exact&limit=5"),
            "t0",
        ),
    ] {
        let names = server.names(&format!("things?{query}")).await;
        assert_eq!(names.join(" "), want, "{query}");
    }
    let invalid = "invalid resource version: resourceVersion: Invalid value: \"abc\": strconv.ParseUint: parsing \"abc\": invalid syntax";
    rejected(&server, "things?resourceVersion=abc", 400, invalid).await;
    let future = "Timeout: Too large resource version: 9000000000000000000, current: r3";
    for matching in ["", "&resourceVersionMatch=Exact", "&limit=1"] {
        let url = format!("things?resourceVersion=9000000000000000000{matching}");
        rejected(&server, &url, 504, future).await;
    }
    let old = "The resourceVersion for the provided list is too old.";
    let url = "things?resourceVersion=5&resourceVersionMatch=Exact";
    rejected(&server, url, 410, old).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_show_one_state_and_remaining_count() {
    let server = TestServer::of_things(5).await;
    let some = |text: &str, rest| (text.to_owned(), Some(rest));
    let last = |text: &str| (text.to_owned(), None);
    for base in ["things", "/apis/example.com/v1/things"] {
        let paged = pages(&server, &format!("{base}?limit=2")).await;
        assert_eq!(
            paged,
            [some("t0 t1", 3), some("t2 t3", 1), last("t4")],
            "{base}"
        );
    }
    for (query, want) in [
        ("limit=5", vec![last("t0 t1 t2 t3 t4")]),
        ("limit=4", vec![some("t0 t1 t2 t3", 1), last("t4")]),
        // Full pages of matches; only the keys after them are known.
        (
            "limit=1&labelSelector=team=blue",
            vec![last("t1"), last("t3")],
        ),
        (
            "limit=2&labelSelector=team=red",
            vec![last("t0 t2"), last("t4")],
        ),
        ("limit=3&labelSelector=team=red", vec![last("t0 t2 t4")]),
        ("limit=1&fieldSelector=metadata.name=t1", vec![last("t1")]),
        (
            "limit=1&fieldSelector=metadata.namespace=a",
            vec![last("t0"), last("t1"), last("t2"), last("t3"), last("t4")],
        ),
    ] {
        let mut got = pages(&server, &format!("things?{query}")).await;
        // Keys after the last match cause one more, empty page.
        got.retain(|(names, _)| !names.is_empty());
        assert_eq!(got, want, "{query}");
    }
    let page = server.response("GET things?limit=1", "table").await.body;
    let table: Value = serde_json::from_str(&page).expect("JSON");
    assert_eq!(table["metadata"]["remainingItemCount"], 4);
    let token = table["metadata"]["continue"]
        .as_str()
        .expect("a token")
        .to_owned();
    // Changes between pages are not visible.
    server.put("a/t0a", &json!({}), &json!({})).await;
    server.delete("a/t3").await;
    let rest = server.names(&format!("things?continue={token}")).await;
    assert_eq!(rest, ["t1", "t2", "t3", "t4"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_continue_tokens_are_rejected() {
    let server = TestServer::of_things(4).await;
    let token = |json: &str| {
        let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
        base64::Engine::encode(&engine, json)
    };
    let at = |revision: i64, start: &str| {
        token(&format!(
            r#"{{"v":"meta.k8s.io/v1","rv":{revision},"start":"{start}"}}"#
        ))
    };
    let exact = 1 << 40 | 4;
    // With and without a leading slash.
    for start in ["t1\\u0000", "/t1\\u0000"] {
        for revision in [-1, exact] {
            let url = format!("things?continue={}", at(revision, start));
            assert_eq!(server.names(&url).await, ["t2", "t3"], "{start} {revision}");
        }
    }
    let url = format!(
        "/apis/example.com/v1/things?continue={}",
        at(exact, "a/t1\\u0000")
    );
    assert_eq!(server.names(&url).await, ["t2", "t3"]);
    let head = "invalid continue token: continue key is not valid: ";
    for (bad, why) in [
        (
            at(0, "a"),
            "incorrect encoded start resourceVersion (version meta.k8s.io/v1)",
        ),
        (
            at(5, ""),
            "encoded start key empty (version meta.k8s.io/v1)",
        ),
        (at(5, "../a"), "../a"),
        (
            token("i"),
            "invalid character 'i' looking for beginning of value",
        ),
    ] {
        let url = format!("things?limit=1&continue={bad}");
        rejected(&server, &url, 400, &format!("{head}{why}")).await;
    }
    let url = format!("things?resourceVersion=5&continue={}", at(exact, "t1"));
    let why = "specifying resource version is not allowed when using continue";
    rejected(&server, &url, 400, why).await;
    // A compacted state: the error contains a token that continues without it.
    let response = server
        .response(&format!("GET things?continue={}", at(1, "t1\\u0000")), "")
        .await;
    assert_eq!(response.code, 410);
    let status: Value = serde_json::from_str(&response.body).expect("JSON");
    assert_eq!(status["reason"], "Expired");
    let token = status["metadata"]["continue"].as_str().expect("a token");
    assert_eq!(token, at(-1, "/t1\\u0000"));
    assert_eq!(
        server.names(&format!("things?continue={token}")).await,
        ["t2", "t3"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn selectors_match_labels_and_declared_fields() {
    let server = TestServer::of_things(4).await;
    for (query, want) in [
        ("labelSelector=team=blue", "t1 t3"),
        ("labelSelector=team!=blue", "t0 t2"),
        ("labelSelector=team%20in%20(red,blue),!other", "t0 t1 t2 t3"),
        ("labelSelector=other", ""),
        ("fieldSelector=metadata.name=t2", "t2"),
        ("fieldSelector=metadata.name!=t2", "t0 t1 t3"),
        ("fieldSelector=metadata.name=t9", ""),
        ("fieldSelector=metadata.name=t2,spec.color=blue", ""),
        ("fieldSelector=metadata.namespace=a", "t0 t1 t2 t3"),
        ("fieldSelector=metadata.namespace=b", ""),
        ("fieldSelector=spec.size=2", "t2"),
        ("fieldSelector=spec.size!=2,spec.color=red", "t0"),
        ("fieldSelector=spec.color=red&labelSelector=team=blue", ""),
        ("fieldSelector=", "t0 t1 t2 t3"),
    ] {
        assert_eq!(
            server.names(&format!("things?{query}")).await.join(" "),
            want,
            "{query}"
        );
    }
    for (query, want) in [
        ("fieldSelector=metadata.namespace=a,metadata.name=t2", "t2"),
        ("fieldSelector=metadata.name=t2", "t2"),
        ("fieldSelector=metadata.namespace=b,metadata.name=t2", ""),
        ("fieldSelector=metadata.namespace=a&limit=9", "t0 t1 t2 t3"),
    ] {
        let url = format!("/apis/example.com/v1/things?{query}");
        assert_eq!(server.names(&url).await.join(" "), want, "{query}");
    }
    for (url, message) in [
        (
            "things?fieldSelector=spec.owner=x",
            "field label not supported: spec.owner",
        ),
        (
            "things?fieldSelector=foo",
            "invalid selector: 'foo'; can't understand 'foo'",
        ),
        (
            "things?labelSelector=a=b=c",
            "found '=', expected: ',' or 'end of string'",
        ),
        (
            "things?limit=x",
            "strconv.ParseInt: parsing \"x\": invalid syntax",
        ),
        (
            "/apis/example.com/v1/realms?fieldSelector=metadata.namespace=x",
            "field label not supported: metadata.namespace",
        ),
        (
            "/apis/example.com/v1beta1/things?fieldSelector=spec.size=1",
            "field label not supported: spec.size",
        ),
    ] {
        rejected(&server, url, 400, message).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn long_lists_are_streamed_completely() {
    let server = TestServer::new().await;
    let text = "x".repeat(1000);
    server.fake.put((0..2000).map(|at| {
        let key = format!("a/t{at:04}");
        let thing = json!({
            "apiVersion": "example.com/v1", "kind": "Thing",
            "metadata": {"name": format!("t{at:04}"), "namespace": "a", "generation": 1},
            "spec": {"size": at, "text": text},
        });
        (key, kube_json::to_vec(&thing))
    }));
    // A busy machine may take longer to load these than a request waits.
    let loaded = async { while server.response("GET things?limit=1", "").await.code != 200 {} };
    let loaded = tokio::time::timeout(Duration::from_secs(60), loaded);
    loaded.await.expect("loaded in time");
    for (accept, key) in [("", "items"), ("table", "rows")] {
        let response = server.request("GET things", accept).await;
        // Long enough for several chunks, which are not held.
        let size = http_body::Body::size_hint(response.body());
        assert_eq!(size.exact(), None);
        let response = server.response("GET things", accept).await;
        let list: Value = serde_json::from_str(&response.body).expect("whole JSON");
        assert_eq!(list[key].as_array().map(Vec::len), Some(2000), "{accept}");
    }
    let response = server.request("GET things?limit=50", "").await;
    assert!(
        http_body::Body::size_hint(response.body())
            .exact()
            .is_some()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn unreachable_backend_is_not_an_empty_list() {
    let mut server = TestServer::of_things(2).await;
    // Before the kill, which also loses sent data that the gateway has not read.
    assert_eq!(server.names("things").await, ["t0", "t1"]);
    server.fake.kill();
    for url in ["GET things", "GET things/t0", "GET things?watch=1"] {
        let response = server.response(url, "").await;
        assert!(
            matches!(response.code, 503 | 504),
            "{url}: {}",
            response.body
        );
        assert!(response.headers.contains_key("retry-after"), "{url}");
    }
    // Reads that accept stale data are served from memory.
    assert_eq!(server.names("things?resourceVersion=0").await, ["t0", "t1"]);
    let response = server.response("GET things/t0?resourceVersion=0", "").await;
    assert_eq!(response.code, 200);
}
