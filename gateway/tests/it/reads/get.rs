//! Routing, and reads of one object.

use serde_json::json;

use super::server::{TestServer, revision};

const T0: &str = r#"{"apiVersion":"example.com/v1","kind":"Thing","metadata":{"creationTimestamp":"2020-01-01T00:00:00Z","generation":1,"labels":{"team":"red"},"name":"t0","namespace":"a","resourceVersion":"r1","uid":"u-t0"},"spec":{"color":"red","size":0},"status":{"replicas":2,"selector":"app=x"}}"#;

async fn check(server: &TestServer, request: &str, code: u16, text: &str) {
    let response = server.response(request, "").await;
    assert_eq!(response.code, code, "{request}: {}", response.body);
    assert!(response.body.contains(text), "{request}: {}", response.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_paths_are_plain_404() {
    let server = TestServer::of_things(1).await;
    let plain = [
        "GET /apis/example.com/v1/namespaces/a/nothings",
        "GET /apis/none.io/v1/namespaces/a/things",
        "GET /apis/example.com/v9/namespaces/a/things",
        "GET /apis/example.com/v1/things/t0",
        "PUT /apis/example.com/v1/things/t0",
        "DELETE /apis/example.com/v1/things",
        "GET /apis/example.com/v1/namespaces/a/realms",
        "GET /nope",
    ];
    for request in plain {
        let response = server.response(request, "").await;
        assert_eq!(response.code, 404, "{request}");
        assert_eq!(response.body, "404 page not found\n", "{request}");
    }
    for name in ["t9", "t9/status", "t9/scale"] {
        let request = format!("GET things/{name}");
        check(
            &server,
            &request,
            404,
            r#""message":"things.example.com \"t9\" not found","reason":"NotFound","details":{"name":"t9","group":"example.com","kind":"things"},"code":404}"#,
        )
        .await;
    }
    let unknown = [
        "GET things/t0/nope",
        "DELETE things/t0/nope",
        "GET /apis/example.com/v1beta1/namespaces/a/things/t0/status",
    ];
    for request in unknown {
        check(
            &server,
            request,
            404,
            r#"things.example.com \"t0\" not found"#,
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unsupported_methods_are_405() {
    let server = TestServer::of_things(1).await;
    for (request, verb) in [
        ("OPTIONS things", ""),
        ("OPTIONS things/t0", ""),
        ("DELETE things/t0/status", "delete"),
        ("POST things/t0/scale", "create"),
        (
            "GET /apis/example.com/v1/watch/namespaces/a/things/t0/status",
            "watch",
        ),
    ] {
        let message = format!(
            r#""message":"{verb} is not supported on resources of kind \"things.example.com\"","reason":"MethodNotAllowed","details":{{"group":"example.com","kind":"things"}},"code":405}}"#
        );
        check(&server, request, 405, &message).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn get_returns_stored_object() {
    let server = TestServer::of_things(1).await;
    for request in [
        "GET things/t0",
        "GET things/t0/status",
        "GET things/%740",
        "GET things/t0?watch=1",
        "GET things/t0?export=false",
    ] {
        let response = server.response(request, "").await;
        assert_eq!(response.body, format!("{T0}\n"), "{request}");
    }
    let get = server.response("GET things/t0", "").await;
    let head = server.response("HEAD things/t0", "").await;
    assert_eq!((head.code, &*head.body), (200, ""));
    assert_eq!(head.headers["content-length"], get.raw.len().to_string());
    assert_eq!(head.headers["content-type"], get.headers["content-type"]);
    let response = server
        .response("GET /apis/example.com/v1beta1/namespaces/a/things/t0", "")
        .await;
    let old = T0.replace("example.com/v1", "example.com/v1beta1");
    let old = old.replace(r#""color":"red","#, "");
    let old = old.replace(r#","status":{"replicas":2,"selector":"app=x"}"#, "");
    assert_eq!(response.body, format!("{old}\n"));
    assert_eq!(
        response.headers["warning"],
        r#"299 - "example.com/v1beta1 Thing is deprecated; use example.com/v1 Thing""#
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn get_honors_resource_version() {
    let server = TestServer::of_things(1).await;
    for version in ["", "0", &revision(1), &format!("0{}", revision(1))] {
        let request = format!("GET things/t0?resourceVersion={version}");
        check(&server, &request, 200, T0).await;
    }
    check(
        &server,
        "GET things/t0?resourceVersion=abc",
        500,
        r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"resourceVersion: Invalid value: \"abc\": strconv.ParseUint: parsing \"abc\": invalid syntax","code":500}"#,
    )
    .await;
    let response = server
        .response("GET things/t0?resourceVersion=9000000000000000000", "")
        .await;
    assert_eq!(
        (
            response.code,
            response.headers["retry-after"].to_str().unwrap()
        ),
        (504, "1")
    );
    assert!(
        response.body.contains(
            r#""message":"Timeout: Too large resource version: 9000000000000000000, current: r1","reason":"Timeout","details":{"causes":[{"reason":"ResourceVersionTooLarge","message":"Too large resource version"}],"retryAfterSeconds":1},"code":504}"#
        ),
        "{}",
        response.body
    );
    for (request, message) in [
        (
            "GET things/a%25b",
            r#"Name parameter invalid: \"a%b\": may not contain '%'"#,
        ),
        (
            "GET things/t0?export=true",
            "the export parameter, deprecated since v1.14, is no longer supported",
        ),
    ] {
        check(&server, request, 400, message).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scale_is_read_by_definition_paths() {
    let server = TestServer::of_things(0).await;
    for (name, replicas) in [("some", json!(3)), ("zero", json!(0)), ("odd", json!("x"))] {
        let spec = json!({ "replicas": replicas });
        server.put(&format!("a/{name}"), &json!({}), &spec).await;
    }
    server.put("a/none", &json!({}), &json!({})).await;
    let scale = |name: &str, version: u8, spec: &str| {
        format!(
            r#"{{"kind":"Scale","apiVersion":"autoscaling/v1","metadata":{{"name":"{name}","namespace":"a","uid":"u-{name}","resourceVersion":"r{version}","creationTimestamp":"2020-01-01T00:00:00Z"}},"spec":{spec},"status":{{"replicas":2,"selector":"app=x"}}}}"#
        ) + "\n"
    };
    for (name, version, spec) in [("some", 1, r#"{"replicas":3}"#), ("zero", 2, "{}")] {
        let response = server
            .response(&format!("GET things/{name}/scale"), "")
            .await;
        assert_eq!(response.body, scale(name, version, spec));
    }
    check(
        &server,
        "GET things/none/scale",
        500,
        r#""message":"Internal error occurred: the spec replicas field \".spec.replicas\" does not exist","reason":"InternalError""#,
    )
    .await;
    check(
        &server,
        "GET things/odd/scale",
        500,
        r#""message":".spec.replicas accessor error: x is of the type string, expected int64","code":500}"#,
    )
    .await;
}
