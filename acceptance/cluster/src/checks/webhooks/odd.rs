//! Webhooks whose responses are odd in one field each.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{Hook, hook};

/// Known differences, which ADR 27 lists. The list only gets shorter.
pub(super) const DIFFERENT: &[&str] = &[
    // The texts of errors differ.
    "a-causes-odd",
    "a-long-message",
    "h-308-elsewhere",
    "h-status",
    "h-status-200",
    "mutate-patch-array",
    "mutate-short-base64",
    "p-large-number",
    "p-metadata-text",
    "p-api-version",
    "p-no-version",
    "r-core",
    "r-slashes",
    "r-version-number",
    "tls-name",
    // kube-apiserver quotes the invalid metadata in a 422.
    "p-annotations",
    "p-managers-text",
    "p-metadata-gone",
    // Parts of a denial's Status that have no effect on clients.
    "a-metadata",
    "a-retry-negative",
    // Metadata that the server owns.
    "p-deleted",
    "p-grace",
    "p-self-link",
    // A null from a webhook counts as missing, as it does from a client.
    "p-no-value",
    "p-spec-null",
    // Responses that kube-apiserver fails to decode.
    "h-gzip",
    "h-type-bad",
    "r-request-text",
];

/// One webhook per odd response.
pub(super) fn hooks() -> Vec<Hook> {
    let mut hooks = Vec::new();
    for (name, patch) in PATCHES {
        hooks.push(hook(name, true, &scripted("patch", patch), json!({})));
    }
    for (name, fields) in denials().into_iter().chain(answers()) {
        let path = scripted("answer", &fields.to_string());
        hooks.push(hook(name, name.starts_with("mutate-"), &path, json!({})));
    }
    for (name, fields) in reviews() {
        let path = scripted("review", &fields.to_string());
        hooks.push(hook(name, false, &path, json!({})));
    }
    for (name, body) in bodies() {
        hooks.push(hook(name, false, &scripted("body", body), json!({})));
    }
    for (name, head) in heads() {
        let path = scripted("head", &head.to_string());
        hooks.push(hook(name, false, &path, json!({})));
    }
    hooks.extend(connections());
    hooks.extend(chains());
    hooks
}

/// Certificates that do not fit.
fn connections() -> Vec<Hook> {
    let at = |client: Value| json!({"clientConfig": client});
    let other_name = at(json!({"url": "https://localhost:PORT/allow"}));
    let no_bundle = at(json!({"url": "https://127.0.0.1:PORT/allow", "caBundle": null}));
    vec![
        hook("tls-name", false, "", other_name),
        hook("tls-no-bundle", false, "", no_bundle),
    ]
}

/// A webhook that selects what another one has patched.
fn chains() -> Vec<Hook> {
    let label = r#"[{"op":"add","path":"/metadata/labels/chained","value":"yes"}]"#;
    let selected = json!({"objectSelector": {"matchLabels": {"chained": "yes"}}});
    vec![
        hook("chain", true, &scripted("patch", label), json!({})),
        hook("chained", true, "/deny", selected),
    ]
}

fn scripted(what: &str, script: &str) -> String {
    format!("/{what}/{}", URL_SAFE_NO_PAD.encode(script))
}

/// Patches, most of which kube-apiserver rejects or undoes.
const PATCHES: &[(&str, &str)] = &[
    (
        "p-test-fails",
        r#"[{"op":"test","path":"/spec/size","value":99}]"#,
    ),
    (
        "p-test-absent",
        r#"[{"op":"test","path":"/spec/none","value":1}]"#,
    ),
    (
        "p-name",
        r#"[{"op":"replace","path":"/metadata/name","value":"other"}]"#,
    ),
    ("p-no-name", r#"[{"op":"remove","path":"/metadata/name"}]"#),
    (
        "p-uid",
        r#"[{"op":"add","path":"/metadata/uid","value":"11111111-1111-1111-1111-111111111111"}]"#,
    ),
    (
        "p-version",
        r#"[{"op":"add","path":"/metadata/resourceVersion","value":"7"}]"#,
    ),
    (
        "p-generation",
        r#"[{"op":"add","path":"/metadata/generation","value":7}]"#,
    ),
    (
        "p-created",
        r#"[{"op":"add","path":"/metadata/creationTimestamp","value":null}]"#,
    ),
    (
        "p-created-early",
        r#"[{"op":"add","path":"/metadata/creationTimestamp","value":"2020-01-01T00:00:00Z"}]"#,
    ),
    (
        "p-deleted",
        r#"[{"op":"add","path":"/metadata/deletionTimestamp","value":"2020-01-01T00:00:00Z"}]"#,
    ),
    (
        "p-grace",
        r#"[{"op":"add","path":"/metadata/deletionGracePeriodSeconds","value":5}]"#,
    ),
    (
        "p-managers",
        r#"[{"op":"add","path":"/metadata/managedFields","value":[]}]"#,
    ),
    (
        "p-managers-odd",
        r#"[{"op":"add","path":"/metadata/managedFields","value":[{"manager":"m","operation":"Odd"}]}]"#,
    ),
    (
        "p-managers-text",
        r#"[{"op":"add","path":"/metadata/managedFields","value":"x"}]"#,
    ),
    (
        "p-self-link",
        r#"[{"op":"add","path":"/metadata/selfLink","value":"/x"}]"#,
    ),
    (
        "p-generate-name",
        r#"[{"op":"add","path":"/metadata/generateName","value":"g-"}]"#,
    ),
    (
        "p-finalizer",
        r#"[{"op":"add","path":"/metadata/finalizers","value":["bad finalizer"]}]"#,
    ),
    (
        "p-owner",
        r#"[{"op":"add","path":"/metadata/ownerReferences","value":[{"apiVersion":"v1","kind":"","name":"x","uid":"1"}]}]"#,
    ),
    (
        "p-annotations",
        r#"[{"op":"add","path":"/metadata/annotations","value":{"a":1}}]"#,
    ),
    (
        "p-labels",
        r#"[{"op":"replace","path":"/metadata/labels","value":{"not a key!":"x"}}]"#,
    ),
    (
        "p-metadata-text",
        r#"[{"op":"replace","path":"/metadata","value":"x"}]"#,
    ),
    ("p-metadata-gone", r#"[{"op":"remove","path":"/metadata"}]"#),
    (
        "p-metadata-unknown",
        r#"[{"op":"add","path":"/metadata/odd","value":"x"}]"#,
    ),
    (
        "p-kind",
        r#"[{"op":"replace","path":"/kind","value":"Gadget"}]"#,
    ),
    ("p-no-kind", r#"[{"op":"remove","path":"/kind"}]"#),
    (
        "p-api-version",
        r#"[{"op":"replace","path":"/apiVersion","value":"v1"}]"#,
    ),
    ("p-no-version", r#"[{"op":"remove","path":"/apiVersion"}]"#),
    (
        "p-status",
        r#"[{"op":"add","path":"/status","value":{"phase":"Ready"}}]"#,
    ),
    (
        "p-unknown",
        r#"[{"op":"add","path":"/spec/odd","value":{"a":1}}]"#,
    ),
    ("p-root", r#"[{"op":"replace","path":"","value":{}}]"#),
    ("p-root-text", r#"[{"op":"replace","path":"","value":"x"}]"#),
    (
        "p-spec-null",
        r#"[{"op":"replace","path":"/spec","value":null}]"#,
    ),
    ("p-no-spec", r#"[{"op":"remove","path":"/spec"}]"#),
    (
        "p-absent-parent",
        r#"[{"op":"add","path":"/spec/a/b/c","value":1}]"#,
    ),
    (
        "p-replace-absent",
        r#"[{"op":"replace","path":"/spec/none","value":1}]"#,
    ),
    (
        "p-move-absent",
        r#"[{"op":"move","from":"/spec/none","path":"/spec/size"}]"#,
    ),
    (
        "p-copy",
        r#"[{"op":"copy","from":"/metadata/labels","path":"/metadata/annotations"}]"#,
    ),
    ("p-op", r#"[{"op":"odd","path":"/spec/size","value":1}]"#),
    ("p-no-op", r#"[{"path":"/spec/size","value":1}]"#),
    ("p-no-path", r#"[{"op":"add","value":1}]"#),
    ("p-no-value", r#"[{"op":"add","path":"/spec/size"}]"#),
    (
        "p-relative",
        r#"[{"op":"add","path":"spec/size","value":1}]"#,
    ),
    ("p-object", r#"{"op":"add","path":"/spec/size","value":1}"#),
    ("p-merge", r#"{"spec":{"size":1}}"#),
    ("p-null", "null"),
    ("p-empty", "[]"),
    ("p-garbage", "garbage"),
    (
        "p-large-number",
        r#"[{"op":"replace","path":"/spec/size","value":1e400}]"#,
    ),
    (
        "p-float",
        r#"[{"op":"replace","path":"/spec/size","value":1.5}]"#,
    ),
];

/// Denials with an odd Status.
fn denials() -> Vec<(&'static str, Value)> {
    let denied = |status: Value| json!({"allowed": false, "status": status});
    vec![
        ("a-code-200", denied(json!({"code": 200, "message": "no"}))),
        ("a-code-0", denied(json!({"code": 0, "message": "no"}))),
        ("a-code-302", denied(json!({"code": 302, "message": "no"}))),
        ("a-code-500", denied(json!({"code": 500, "message": "no"}))),
        (
            "a-code-negative",
            denied(json!({"code": -1, "message": "no"})),
        ),
        ("a-code-text", denied(json!({"code": "403"}))),
        ("a-code-float", denied(json!({"code": 403.5}))),
        ("a-code-huge", denied(json!({"code": 99_999_999_999_i64}))),
        ("a-message-number", denied(json!({"message": 7}))),
        ("a-details-text", denied(json!({"details": "x"}))),
        ("a-causes-odd", denied(json!({"details": {"causes": [7]}}))),
        (
            "a-retry",
            denied(json!({"code": 429, "details": {"retryAfterSeconds": 1}})),
        ),
        (
            "a-retry-negative",
            denied(json!({"code": 429, "details": {"retryAfterSeconds": -1}})),
        ),
        (
            "a-reason-odd",
            denied(json!({"reason": "Odd Reason", "code": 409})),
        ),
        (
            "a-status-success",
            denied(json!({"status": "Success", "message": "fine"})),
        ),
        (
            "a-metadata",
            denied(json!({"metadata": {"resourceVersion": "5", "continue": "c"}, "message": "m"})),
        ),
        (
            "a-long-message",
            denied(json!({"message": "x".repeat(100_000)})),
        ),
        ("a-lines", denied(json!({"message": "one\ntwo\u{0}\u{7f}"}))),
    ]
}

/// Answers with odd fields.
fn answers() -> Vec<(&'static str, Value)> {
    vec![
        (
            "a-allowed-status",
            json!({"status": {"code": 500, "message": "ignored"}}),
        ),
        ("a-allowed-text", json!({"allowed": "true"})),
        ("a-allowed-null", json!({"allowed": null})),
        ("a-uid-number", json!({"uid": 7})),
        ("a-unknown", json!({"odd": {"a": [1]}})),
        ("a-status-text", json!({"allowed": false, "status": "no"})),
        ("a-warnings-text", json!({"warnings": "x"})),
        ("a-warnings-numbers", json!({"warnings": [1]})),
        ("a-warnings-empty", json!({"warnings": ["", "x", ""]})),
        (
            "a-warnings-lines",
            json!({"warnings": ["one\ntwo", "tab\there", "nul\u{0}", "ümlaut", "back\\slash"]}),
        ),
        (
            "a-warnings-long",
            json!({"warnings": ["y".repeat(3000), "z".repeat(3000), "after"]}),
        ),
        (
            "a-warnings-many",
            json!({"warnings": (0..100).map(|at| format!("{at}{}", "w".repeat(300))).collect::<Vec<_>>()}),
        ),
        (
            "a-warnings-denied",
            json!({"allowed": false, "warnings": ["careful"]}),
        ),
        (
            "a-audit-odd",
            json!({"auditAnnotations": {"": "x", "a/b": "y", "not ok": "z", "ok": "v"}}),
        ),
        ("a-audit-numbers", json!({"auditAnnotations": {"ok": 7}})),
        ("a-audit-text", json!({"auditAnnotations": "x"})),
        (
            "mutate-no-base64",
            json!({"patch": "%%%", "patchType": "JSONPatch"}),
        ),
        (
            "mutate-short-base64",
            json!({"patch": "W10", "patchType": "JSONPatch"}),
        ),
        ("mutate-type-only", json!({"patchType": "JSONPatch"})),
        (
            "mutate-type-odd",
            json!({"patch": "W3sib3AiOiJyZW1vdmUiLCJwYXRoIjoiL3NwZWMifV0=", "patchType": "Merge"}),
        ),
        (
            "mutate-type-empty",
            json!({"patch": "W10=", "patchType": ""}),
        ),
        (
            "mutate-patch-array",
            json!({"patch": [91, 93], "patchType": "JSONPatch"}),
        ),
        (
            "mutate-patch-null",
            json!({"patch": null, "patchType": null}),
        ),
        (
            "mutate-denied-patch",
            json!({"allowed": false, "patch": "W10=", "patchType": "JSONPatch"}),
        ),
        ("a-patch-type-only", json!({"patchType": "JSONPatch"})),
    ]
}

fn reviews() -> Vec<(&'static str, Value)> {
    vec![
        ("r-version", json!({"apiVersion": "admission.k8s.io/v2"})),
        ("r-beta", json!({"apiVersion": "admission.k8s.io/v1beta1"})),
        ("r-group", json!({"apiVersion": "odd.example.com/v1"})),
        ("r-version-empty", json!({"apiVersion": ""})),
        ("r-version-number", json!({"apiVersion": 1})),
        ("r-kind", json!({"kind": "Review"})),
        ("r-kind-empty", json!({"kind": ""})),
        ("r-core", json!({"apiVersion": "v1", "kind": "Status"})),
        ("r-slashes", json!({"apiVersion": "a/b/c"})),
        ("r-response-null", json!({"response": null})),
        ("r-response-text", json!({"response": "x"})),
        ("r-response-list", json!({"response": []})),
        ("r-response-empty", json!({"response": {}})),
        ("r-unknown", json!({"odd": 1})),
        ("r-request-text", json!({"request": "x"})),
        ("r-request-empty", json!({"request": {}})),
    ]
}

fn bodies() -> Vec<(&'static str, &'static str)> {
    vec![
        ("b-two", "REVIEW REVIEW"),
        ("b-two-lines", "REVIEW\n{}"),
        ("b-trailing", "REVIEW garbage"),
        ("b-padded", " \n REVIEW \n"),
        ("b-mark", "\u{feff}REVIEW"),
        (
            "b-yaml",
            "apiVersion: admission.k8s.io/v1\nkind: AdmissionReview\n",
        ),
        ("b-yaml-two", "---\nREVIEW\n---\nREVIEW\n"),
        ("b-list", "[REVIEW]"),
        ("b-null", "null"),
        ("b-object", "{}"),
        ("b-cut", "{\"apiVersion\": \"admission.k8s.io/v1\", "),
        (
            "b-twice",
            "{\"kind\": \"x\", \"kind\": \"AdmissionReview\", \"apiVersion\": \"admission.k8s.io/v1\"}",
        ),
        (
            "b-case",
            "{\"KIND\": \"AdmissionReview\", \"APIVERSION\": \"admission.k8s.io/v1\"}",
        ),
        ("b-html", "<html>no</html>"),
    ]
}

fn heads() -> Vec<(&'static str, Value)> {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "from a status",
        "reason": "Conflict", "code": 409,
    })
    .to_string();
    vec![
        ("h-201", json!({"code": 201})),
        ("h-204", json!({"code": 204, "body": ""})),
        ("h-205", json!({"code": 205, "body": ""})),
        ("h-207", json!({"code": 207})),
        ("h-empty", json!({"body": ""})),
        ("h-301", json!({"code": 301, "location": "/allow"})),
        ("h-302-absent", json!({"code": 302})),
        ("h-307", json!({"code": 307, "location": "/deny"})),
        ("h-307-loop", json!({"code": 307, "location": ""})),
        (
            "h-308-elsewhere",
            json!({"code": 308, "location": "https://127.0.0.1:1/x"}),
        ),
        ("h-304", json!({"code": 304, "body": ""})),
        ("h-400", json!({"code": 400})),
        ("h-401", json!({"code": 401})),
        ("h-403", json!({"code": 403})),
        (
            "h-403-text",
            json!({"code": 403, "content-type": "text/plain", "body": "keep out"}),
        ),
        ("h-405", json!({"code": 405})),
        ("h-406", json!({"code": 406})),
        ("h-409", json!({"code": 409})),
        (
            "h-413",
            json!({"code": 413, "content-type": "text/plain", "body": "too much"}),
        ),
        ("h-415", json!({"code": 415})),
        ("h-422", json!({"code": 422})),
        ("h-429", json!({"code": 429, "body": "slow down"})),
        (
            "h-500",
            json!({"code": 500, "content-type": "application/json"}),
        ),
        ("h-501", json!({"code": 501})),
        (
            "h-502",
            json!({"code": 502, "content-type": "text/html", "body": "<html>bad gateway</html>"}),
        ),
        ("h-503", json!({"code": 503})),
        ("h-504", json!({"code": 504})),
        ("h-599", json!({"code": 599})),
        (
            "h-status",
            json!({"code": 409, "content-type": "application/json", "body": status}),
        ),
        (
            "h-status-200",
            json!({"content-type": "application/json", "body": status}),
        ),
        (
            "h-type-odd",
            json!({"content-type": "application/protobuf"}),
        ),
        ("h-type-bad", json!({"content-type": "not a type;;"})),
        ("h-type-empty", json!({"content-type": ""})),
        ("h-gzip", json!({"content-encoding": "gzip"})),
        (
            "h-long-text",
            json!({"code": 500, "content-type": "text/plain", "body": "x".repeat(5000)}),
        ),
    ]
}
