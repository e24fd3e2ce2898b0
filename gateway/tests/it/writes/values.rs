//! Values are returned as by kube-apiserver, in every response.

use super::server::TestServer;

/// A value as a client writes it, and as it is returned.
const VALUES: [(&str, &str); 19] = [
    ("9007199254740993", "9007199254740993"),
    ("9223372036854775807", "9223372036854775807"),
    ("-9223372036854775808", "-9223372036854775808"),
    // Above int64: Go reads a float64 and writes its shortest representation.
    ("9223372036854775808", "9223372036854776000"),
    ("12345678901234567890", "12345678901234567000"),
    ("1e3", "1000"),
    ("1.0", "1"),
    ("-0", "0"),
    ("1.5e21", "1.5e+21"),
    ("1e20", "100000000000000000000"),
    ("0.0000001", "1e-7"),
    ("1e-6", "0.000001"),
    ("123456789.5", "123456789.5"),
    (r#""\u0000""#, r#""\u0000""#),
    (
        r#""<b> & </b>""#,
        r#""\u003cb\u003e \u0026 \u003c/b\u003e""#,
    ),
    (r#""\u2028\u2029""#, r#""\u2028\u2029""#),
    (r#""é 😀 \ud83d\ude00 \/""#, r#""é 😀 😀 /""#),
    (
        r#"{"b":{"z":[1,{"y":null}],"":{}},"a":[]}"#,
        r#"{"a":[],"b":{"":{},"z":[1,{"y":null}]}}"#,
    ),
    (
        r#"[true,false,null,1.25,"x"]"#,
        r#"[true,false,null,1.25,"x"]"#,
    ),
];

/// `"v00":value,"v01":value,…`
fn members(pick: impl Fn(&(&'static str, &'static str)) -> &'static str) -> String {
    let values = VALUES.iter().enumerate();
    let members: Vec<_> = values
        .map(|(at, value)| format!(r#""v{at:02}":{}"#, pick(value)))
        .collect();
    members.join(",")
}

fn check(at: &str, text: &[u8]) {
    let text = std::str::from_utf8(text).expect("text");
    let shown = members(|value| value.1);
    // Reports the first difference, which is shorter than the whole.
    for (at_value, (_, value)) in VALUES.iter().enumerate() {
        let member = format!(r#""v{at_value:02}":{value}"#);
        assert!(text.contains(&member), "{at}: {member} in {text}");
    }
    assert!(text.contains(&shown), "{at}: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn values_are_identical_in_every_response() {
    let test_server = TestServer::new().await;
    let mut watch = test_server.server.watch("things?watch=1").await;
    let given = members(|value| value.0);
    let body = format!(
        r#"{{"apiVersion":"example.com/v1","kind":"Thing","metadata":{{"name":"x"}},"spec":{{"any":{{{given}}}}},{given}}}"#
    );
    let created = test_server.request("POST things", body).await;
    created.expect(201);
    check("create", &created.body);
    check("watch", &watch.line().await);
    for line in [
        "GET things/x",
        "GET things",
        "GET things?watch=1&timeoutSeconds=1",
    ] {
        check(line, &test_server.request(line, "").await.body);
    }
    let patched = test_server
        .request("MERGE things/x", r#"{"metadata":{"labels":{"a":"b"}}}"#)
        .await;
    check("patch", &patched.body);
    let event = watch.line().await;
    check("watch of the patch", &event);
    let put = test_server
        .request("PUT things/x", patched.body.clone())
        .await;
    assert_eq!(put.body, patched.body, "what was read can be written");
    let test_server = test_server.restart().await;
    for line in [
        "GET things/x",
        "GET things",
        "GET things?watch=1&timeoutSeconds=1",
    ] {
        check(
            &format!("{line} after a restart"),
            &test_server.request(line, "").await.body,
        );
    }
    assert_eq!(
        test_server.request("GET things/x", "").await.body,
        patched.body
    );
}
