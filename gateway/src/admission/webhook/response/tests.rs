//! Responses of webhooks that are wrong in one way each.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::*;

const UID: &str = "705ab4f5-6393-11e8-b7cc-42010a800002";

fn review(response: &Value) -> Value {
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})
}

fn response(more: &Value) -> Value {
    let mut response = json!({"uid": UID, "allowed": true});
    let more = more.as_object().expect("an object").clone();
    response.as_object_mut().expect("an object").extend(more);
    review(&response)
}

fn mutating(body: &Value) -> Result<Decision, Unusable> {
    let body = body.to_string();
    read(
        body.as_bytes(),
        UID,
        ReviewVersion::V1,
        WebhookKind::Mutating,
    )
}

fn validating(body: &Value) -> Result<Decision, Unusable> {
    let body = body.to_string();
    read(
        body.as_bytes(),
        UID,
        ReviewVersion::V1,
        WebhookKind::Validating,
    )
}

fn invalid(text: &str) -> Result<Decision, Unusable> {
    Err(Unusable::Invalid(text.to_owned()))
}

fn undecodable(text: &str) -> Result<Decision, Unusable> {
    Err(Unusable::Undecodable(text.to_owned()))
}

#[test]
fn status_of_a_denial_with_fields_of_other_types_is_undecodable() {
    let check = |status: Value, expected: &str| {
        let denied = response(&json!({"allowed": false, "status": status}));
        let text = format!("json: cannot unmarshal {expected}");
        assert_eq!(validating(&denied), undecodable(&text));
    };
    check(
        json!({"code": "403"}),
        "string into Go struct field Status.response.status.code of type int32",
    );
    check(
        json!({"code": 403.5}),
        "number 403.5 into Go struct field Status.response.status.code of type int32",
    );
    check(
        json!({"details": {"causes": [7]}}),
        "number 7 into Go struct field StatusDetails.response.status.details.causes of type \
         v1.StatusCause",
    );
    let sound = response(&json!({"status": {"code": 403, "details": {"causes": [{}]}}}));
    assert!(validating(&sound).is_ok());
}

#[test]
fn responses_that_answer_another_review_are_invalid() {
    assert_eq!(
        validating(&review(&Value::Null)),
        invalid("webhook response was absent")
    );
    let expected = format!("expected response.uid=\"{UID}\", got \"x\"");
    let other = review(&json!({"uid": "x", "allowed": true}));
    assert_eq!(validating(&other), invalid(&expected));
    let expected = "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got \
                    /, Kind=";
    let untyped = json!({"response": {"uid": UID, "allowed": true}});
    assert_eq!(validating(&untyped), invalid(expected));
}

#[test]
fn patch_and_type_come_together_and_from_mutating_webhooks_only() {
    let patch = STANDARD.encode("[]");
    let both = response(&json!({"patch": patch, "patchType": "JSONPatch"}));
    let decision = mutating(&both).expect("valid");
    assert_eq!(
        (&*decision.patch, &*decision.patch_type),
        (&b"[]"[..], "JSONPatch")
    );
    assert_eq!(
        mutating(&response(&json!({"patch": patch}))),
        invalid("webhook returned response.patch but not response.patchType")
    );
    assert_eq!(
        mutating(&response(&json!({"patchType": "JSONPatch"}))),
        invalid("webhook returned response.patchType but not response.patch")
    );
    assert_eq!(
        mutating(&response(&json!({"patch": patch, "patchType": ""}))),
        invalid("webhook returned invalid response.patchType of \"\"")
    );
    assert_eq!(
        validating(&both),
        invalid("validating webhook may not return response.patch")
    );
    assert_eq!(
        validating(&response(&json!({"patchType": "JSONPatch"}))),
        invalid("validating webhook may not return response.patchType")
    );
}

#[test]
fn values_of_wrong_types_are_named() {
    let field = "json: cannot unmarshal string into Go struct field AdmissionResponse.response";
    assert_eq!(
        validating(&response(&json!({"allowed": "yes"}))),
        undecodable(&format!("{field}.allowed of type bool"))
    );
    assert_eq!(
        validating(&response(&json!({"warnings": "w"}))),
        undecodable(&format!("{field}.warnings of type []string"))
    );
    assert_eq!(
        mutating(&response(&json!({"patch": "!", "patchType": "JSONPatch"}))),
        undecodable("illegal base64 data at input byte 0")
    );
}

#[test]
fn bodies_are_json_or_yaml() {
    let read = |body: &str| {
        read(
            body.as_bytes(),
            UID,
            ReviewVersion::V1,
            WebhookKind::Validating,
        )
    };
    assert_eq!(
        read("garbage"),
        undecodable(
            "couldn't get version/kind; json parse error: json: cannot unmarshal string into Go \
             value of type struct { APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind \
             string \"json:\\\"kind,omitempty\\\"\" }"
        )
    );
    assert_eq!(
        read(" {\"kind\": }"),
        undecodable(
            "couldn't get version/kind; json parse error: invalid character '}' looking for \
             beginning of value"
        )
    );
    let yaml = format!(
        "apiVersion: admission.k8s.io/v1\nkind: AdmissionReview\nresponse:\n  uid: {UID}\n  \
         allowed: true\n"
    );
    assert!(read(&yaml).expect("a decision").allowed);
}

#[test]
fn version_of_the_request_decides_the_checks() {
    let mut beta = response(&json!({"uid": "any"}));
    beta["apiVersion"] = json!("admission.k8s.io/v1beta1");
    assert_eq!(
        validating(&beta),
        undecodable(
            "converting (v1beta1.AdmissionReview) to (v1.AdmissionReview): unknown conversion"
        )
    );
    beta["response"]["patch"] = json!(STANDARD.encode("[]"));
    let text = beta.to_string();
    let read = |kind| read(text.as_bytes(), UID, ReviewVersion::V1Beta1, kind);
    let decision = read(WebhookKind::Mutating).expect("valid");
    assert_eq!(decision.patch_type, "JSONPatch");
    assert!(
        read(WebhookKind::Validating)
            .expect("valid")
            .patch
            .is_empty()
    );
}
