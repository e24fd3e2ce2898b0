//! Errors in their wire formats.

use super::{ApiError, Details, Status};
use crate::field;
use crate::gvk::{GroupKind, GroupResource};

fn check(error: &ApiError, code: u16, tail: &str) {
    let head = r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","#;
    let json = String::from_utf8(error.status().to_json()).expect("text");
    assert_eq!(json, format!("{head}{tail},\"code\":{code}}}"));
    assert_eq!(error.code(), code);
}

#[test]
fn errors_about_an_object() {
    let foos = GroupResource::new("x.io", "foos");
    let details = r#""details":{"name":"n","group":"x.io","kind":"foos"}"#;
    for (error, code, reason, message) in [
        (
            ApiError::not_found(&foos, "n"),
            404,
            "NotFound",
            r#"foos.x.io \"n\" not found"#,
        ),
        (
            ApiError::already_exists(&foos, "n"),
            409,
            "AlreadyExists",
            r#"foos.x.io \"n\" already exists"#,
        ),
        (
            ApiError::conflict(&foos, "n", "why"),
            409,
            "Conflict",
            r#"Operation cannot be fulfilled on foos.x.io \"n\": why"#,
        ),
        (
            ApiError::forbidden(&foos, "n", "why"),
            403,
            "Forbidden",
            r#"foos.x.io \"n\" is forbidden: why"#,
        ),
    ] {
        check(
            &error,
            code,
            &format!(r#""message":"{message}","reason":"{reason}",{details}"#),
        );
    }
}

#[test]
fn errors_about_a_resource() {
    let foos = GroupResource::new("x.io", "foos");
    let none = GroupResource::default();
    let details = r#""details":{"group":"x.io","kind":"foos"}"#;
    check(
        &ApiError::method_not_supported(&foos, "patch"),
        405,
        &format!(
            r#""message":"patch is not supported on resources of kind \"foos.x.io\"","reason":"MethodNotAllowed",{details}"#
        ),
    );
    check(
        &ApiError::forbidden(&foos, "", "why"),
        403,
        &format!(r#""message":"foos.x.io is forbidden: why","reason":"Forbidden",{details}"#),
    );
    check(
        &ApiError::forbidden(&none, "", "why"),
        403,
        r#""message":"forbidden: why","reason":"Forbidden","details":{}"#,
    );
}

#[test]
fn invalid_repeats_causes_but_not_message_texts() {
    let kind = GroupKind::new("x.io", "Foo");
    let required = field::Error::required("spec.a", "");
    check(
        &ApiError::invalid(&kind, "n", &[required.clone(), required]),
        422,
        concat!(
            r#""message":"Foo.x.io \"n\" is invalid: spec.a: Required value","reason":"Invalid","#,
            r#""details":{"name":"n","group":"x.io","kind":"Foo","causes":["#,
            r#"{"reason":"FieldValueRequired","message":"Required value","field":"spec.a"},"#,
            r#"{"reason":"FieldValueRequired","message":"Required value","field":"spec.a"}]}"#,
        ),
    );
    check(
        &ApiError::invalid(&kind, "", &[]),
        422,
        r#""message":"Foo.x.io \"\" is invalid","reason":"Invalid","details":{"group":"x.io","kind":"Foo"}"#,
    );
}

#[test]
fn responses_to_invalid_objects_are_bounded() {
    let kind = GroupKind::new("x.io", "Foo");
    let size = |errors: &[field::Error]| {
        let error = ApiError::invalid(&kind, "n", errors);
        error.status().to_json().len()
    };
    let many: Vec<field::Error> = (0..100_000)
        .map(|index| field::Error::invalid("spec.a", index, "must be <less>"))
        .collect();
    assert!(size(&many) <= super::MAX_ERROR_BYTES + 1024);
    let repeated = vec![field::Error::invalid("a", "<".repeat(1000), ""); 100_000];
    assert!(size(&repeated) <= super::MAX_ERROR_BYTES + 1024);
    let huge = field::Error::invalid(
        "a".repeat(3 << 20),
        "<".repeat(3 << 20),
        "<".repeat(3 << 20),
    );
    assert!(size(&[huge]) <= super::MAX_ERROR_BYTES * 5 / 4);
    let error = ApiError::invalid(&kind, "n", &many);
    let message = &error.status().message;
    assert!(message.ends_with("correct the errors shown to see the others]"));
    assert!(
        size(&many[..1000]) > 100_000,
        "a thousand errors are all shown"
    );
}

#[test]
fn long_messages_are_truncated() {
    let error = ApiError::bad_request("x".repeat(3 << 20));
    assert!(error.status().message.ends_with("... (2621440 bytes more)"));
    assert!(error.status().to_json().len() < 600 << 10);
}

#[test]
fn errors_of_the_server() {
    check(
        &ApiError::internal("x<y"),
        500,
        r#""message":"Internal error occurred: x\u003cy","reason":"InternalError","details":{"causes":[{"message":"x\u003cy"}]}"#,
    );
    check(&ApiError::internal_plain("odd"), 500, r#""message":"odd""#);
    let late = ApiError::too_large_resource_version(99, 7, 1);
    check(
        &late,
        504,
        concat!(
            r#""message":"Timeout: Too large resource version: 99, current: 7","reason":"Timeout","#,
            r#""details":{"causes":[{"reason":"ResourceVersionTooLarge","message":"Too large resource version"}],"retryAfterSeconds":1}"#,
        ),
    );
    assert_eq!(late.retry_after(), Some(1));
    assert_eq!(ApiError::timeout("slow", 0).retry_after(), None);
}

#[test]
fn success_and_continue() {
    let status = Status {
        success: true,
        details: Some(Details {
            name: String::from("n"),
            uid: String::from("u"),
            ..Details::default()
        }),
        ..Status::default()
    };
    assert_eq!(
        String::from_utf8_lossy(&status.to_json()),
        r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Success","details":{"name":"n","uid":"u"}}"#
    );
    let expired = ApiError::expired("old").with_continue("abc");
    assert_eq!(
        String::from_utf8_lossy(&expired.status().to_json()),
        r#"{"kind":"Status","apiVersion":"v1","metadata":{"continue":"abc"},"status":"Failure","message":"old","reason":"Expired","code":410}"#
    );
}

/// Compares an error's protobuf with bytes recorded from kube-apiserver.
fn check_protobuf(error: &ApiError, want: &[u8]) {
    let mut out = Vec::new();
    error.status().write_protobuf(&mut out);
    assert_eq!(
        out.escape_ascii().to_string(),
        want.escape_ascii().to_string()
    );
}

#[test]
fn protobuf_omits_only_details() {
    let widgets = GroupResource::new("judge.example.com", "widgets");
    check_protobuf(
        &ApiError::not_found(&widgets, "zzz"),
        b"k8s\0\n\x0c\n\x02v1\x12\x06Status\x12p\n\x06\n\0\x12\0\x1a\0\x12\x07Failure\x1a)\
          widgets.judge.example.com \"zzz\" not found\"\x08NotFound*%\n\x03zzz\x12\x11\
          judge.example.com\x1a\x07widgets(\x002\x000\x94\x03\x1a\0\"\0",
    );
    check_protobuf(
        &ApiError::expired("too old resource version: 1 (278)"),
        b"k8s\0\n\x0c\n\x02v1\x12\x06Status\x12@\n\x06\n\0\x12\0\x1a\0\x12\x07Failure\x1a!\
          too old resource version: 1 (278)\"\x07Expired0\x9a\x03\x1a\0\"\0",
    );
    check_protobuf(
        &ApiError::internal("x"),
        b"k8s\0\n\x0c\n\x02v1\x12\x06Status\x12T\n\x06\n\0\x12\0\x1a\0\x12\x07Failure\x1a\x1a\
          Internal error occurred: x\"\rInternalError*\x13\n\0\x12\0\x1a\0\"\x07\n\0\x12\x01x\x1a\0(\0\
          2\x000\xf4\x03\x1a\0\"\0",
    );
}
