//! The same object and list in every representation.

use std::io::Read as _;

use serde_json::{Value, json};

use super::server::TestServer;

const PARTIAL: &str = r#"{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"name":"t0","namespace":"a","uid":"u-t0","resourceVersion":"r1","generation":1,"creationTimestamp":"2020-01-01T00:00:00Z","labels":{"team":"red"}}}"#;

fn meta(kind: &str) -> String {
    format!("application/json;as={kind};v=v1;g=meta.k8s.io")
}

/// Replaces the age, which depends on the clock.
fn aged(text: &str) -> String {
    let Some((before, after)) = text.split_once("[\"t0\",0,\"") else {
        return text.to_owned();
    };
    let (age, after) = after.split_once('"').expect("the end of an age");
    assert!(age.contains('y'), "{age}");
    format!("{before}[\"t0\",0,\"AGE\"{after}")
}

async fn check(server: &TestServer, request: &str, accept: &str, want: &str) {
    let response = server.response(request, accept).await;
    assert_eq!(aged(&response.body), want, "{request} {accept}");
}

#[tokio::test(flavor = "multi_thread")]
async fn partial_metadata_follows_struct_order() {
    let server = TestServer::of_things(1).await;
    let partial = meta("PartialObjectMetadata");
    check(&server, "GET things/t0", &partial, &format!("{PARTIAL}\n")).await;
    let list = format!(
        r#"{{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1","metadata":{{"resourceVersion":"r1"}},"items":[{PARTIAL}]}}"#
    ) + "\n";
    let partials = meta("PartialObjectMetadataList");
    check(&server, "GET things", &partials, &list).await;
    let beta = partials.replace("v=v1", "v=v1beta1");
    let list = list.replace("meta.k8s.io/v1", "meta.k8s.io/v1beta1");
    check(&server, "GET things", &beta, &list).await;
    let none = "GET things?labelSelector=no";
    let empty = r#"{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1","metadata":{"resourceVersion":"r1"},"items":null}"#;
    check(&server, none, &partials, &format!("{empty}\n")).await;
    for (request, accept, code, message) in [
        (
            "GET things",
            &partial,
            406,
            "you requested PartialObjectMetadata, but the requested object is a list (*unstructured.UnstructuredList)",
        ),
        ("GET things/t0", &partials, 500, "content is not a list"),
    ] {
        let response = server.response(request, accept).await;
        assert_eq!(response.code, code);
        assert!(response.body.contains(message), "{}", response.body);
        // Errors cannot be negotiated to this type either, so they are indented and lack the
        // newline.
        assert!(response.body.starts_with("{\n  \"kind\": \"Status\""));
        assert!(response.body.ends_with('}'));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_contain_cells_and_requested_objects() {
    let server = TestServer::of_things(1).await;
    let object = server.response("GET things/t0", "").await.body;
    let columns = r#"[{"name":"Name","type":"string","format":"name","description":"Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to request the generation of an appropriate name automatically. Name is primarily intended for creation idempotence and configuration definition. Cannot be updated. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names","priority":0},{"name":"Size","type":"integer","format":"","description":"How big it is","priority":0},{"name":"Age","type":"date","format":"","description":"D","priority":0}]"#;
    let table = |rows: &str| {
        format!(
            r#"{{"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":{{"resourceVersion":"r1"}},"columnDefinitions":{columns},"rows":[{rows}]}}"#
        ) + "\n"
    };
    let row = |object: &str| table(&format!(r#"{{"cells":["t0",0,"AGE"],"object":{object}}}"#));
    for _ in 0..2 {
        for place in ["things", "things/t0"] {
            for (query, carried) in [
                ("", PARTIAL),
                ("?includeObject=Metadata", PARTIAL),
                ("?includeObject=Object", object.trim_end()),
                ("?includeObject=None", "null"),
            ] {
                let request = format!("GET {place}{query}");
                check(&server, &request, "table", &row(carried)).await;
            }
        }
    }
    check(&server, "GET things?labelSelector=no", "table", &table("")).await;
    // A missing object takes precedence; an invalid `includeObject` is checked only when a table is
    // written.
    let bad = server
        .response("GET things/t0?includeObject=x", "table")
        .await;
    assert_eq!(bad.code, 400);
    let message = "Unable to convert to Table as requested: includeObject: Invalid value: \\\"x\\\": must be 'Metadata', 'Object', 'None', or empty";
    assert!(bad.body.contains(message), "{}", bad.body);
    let missing = server
        .response("GET things/no?includeObject=x", "table")
        .await;
    assert_eq!(missing.code, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn scale_table_has_own_columns() {
    let server = TestServer::new().await;
    server.put("a/s", &json!({}), &json!({"replicas": 3})).await;
    let table = server.response("GET things/s/scale", "table").await;
    let table: Value = serde_json::from_str(&table.body).expect("JSON");
    let columns = table["columnDefinitions"].as_array().expect("columns");
    let names: Vec<_> = columns.iter().map(|it| it["name"].as_str()).collect();
    let want = ["Name", "Desired", "Available", "Age"].map(Some);
    assert_eq!(names, want);
    let cells = &table["rows"][0]["cells"];
    assert_eq!(
        (&cells[0], &cells[1], &cells[2]),
        (&json!("s"), &json!(3), &json!(2))
    );
    assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
}

#[tokio::test(flavor = "multi_thread")]
async fn people_get_indentation_and_yaml() {
    let server = TestServer::of_things(3).await;
    for accept in [
        String::new(),
        meta("Table"),
        meta("PartialObjectMetadataList"),
    ] {
        for url in ["GET things?limit=2", "GET things?labelSelector=no"] {
            let compact = server.response(url, &accept).await.raw;
            let separator = if accept.is_empty() { "*/*" } else { &accept };
            for request in [
                format!("{url}&pretty=true"),
                format!("{url}&pretty=1"),
                url.to_owned(),
            ] {
                let agent = if request == url {
                    "|User-Agent: curl/8"
                } else {
                    ""
                };
                let pretty = server
                    .response(&request, &format!("{separator}{agent}"))
                    .await;
                let want = kube_json::indent(compact.trim_ascii_end());
                assert_eq!(*pretty.raw, want, "{request}");
            }
            let yaml = accept.replace("/json", "/yaml");
            let yaml = if yaml.is_empty() {
                "application/yaml"
            } else {
                &yaml
            };
            let response = server.response(url, yaml).await;
            assert_eq!(response.headers["content-type"], "application/yaml");
            let value = kube_json::parse(&compact).expect("JSON").value;
            let want = kube_json::yaml::to_string(&value);
            assert_eq!(*response.raw, *want.as_bytes(), "{yaml}");
        }
    }
    let error = server.response("GET things/no", "application/yaml").await;
    assert!(
        error.body.starts_with("apiVersion: v1\ncode: 404\n"),
        "{}",
        error.body
    );
    for accept in ["text/html", "application/vnd.kubernetes.protobuf"] {
        let rejected = server.response("GET things/t0", accept).await;
        assert_eq!(rejected.code, 406);
        let message = "only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf";
        assert!(rejected.body.contains(message), "{}", rejected.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_responses_are_compressed_on_request() {
    let server = TestServer::new().await;
    for at in 0..9 {
        let text: String = (0..6000).map(|n| format!("{at}{n} ")).collect();
        let spec = json!({"color": text});
        server.put(&format!("a/t{at}"), &json!({}), &spec).await;
    }
    let huge = "x".repeat(300_000);
    server.put("b/t", &json!({}), &json!({"color": huge})).await;
    let one = "/apis/example.com/v1/namespaces/b/things/t";
    for (url, accept, large) in [
        ("things", "", true),
        ("things?pretty=1", "", true),
        ("things", "application/yaml", true),
        ("things?labelSelector=no", "", false),
        ("things/t0", "", false),
        ("things?limit=2", "", false),
        (one, "", true),
    ] {
        let request = format!("GET {url}");
        let plain = server.response(&request, accept).await;
        assert!(!plain.headers.contains_key("content-encoding"));
        let accept = if accept.is_empty() { "*/*" } else { accept };
        let response = server
            .request(&request, &format!("{accept}|Accept-Encoding: br, gzip"))
            .await;
        let (head, body) = response.into_parts();
        let body = http_body_util::BodyExt::collect(body)
            .await
            .expect("a body");
        let body = body.to_bytes();
        assert_eq!(
            head.headers.contains_key("content-encoding"),
            large,
            "{url}"
        );
        if large {
            assert_eq!(head.headers["content-encoding"], "gzip");
            assert_eq!(head.headers["vary"], "Accept-Encoding");
            let mut text = String::new();
            let mut reader = flate2::read::GzDecoder::new(&*body);
            reader.read_to_string(&mut text).expect("gzip");
            assert_eq!(*text.as_bytes(), *plain.raw, "{url}");
        }
    }
}
