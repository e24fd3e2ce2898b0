//! Queries that are accepted, and responses to those that are rejected.

use serde_json::json;

use super::{
    CreateOptions, DeleteOptions, FieldValidation, GetOptions, ListOptions, PatchOptions,
    PropagationPolicy, UpdateOptions, VersionMatch, default_field_manager,
};
use crate::status::ApiError;

fn check<T: std::fmt::Debug>(outcome: Result<T, ApiError>, code: u16, message: &str) {
    let error = outcome.expect_err("rejected options");
    assert_eq!((error.code(), error.to_string().as_str()), (code, message));
}

#[test]
fn list_options_are_parsed() {
    let options = ListOptions::parse(
        "labelSelector=a%3Db&fieldSelector=metadata.name%3Dx&limit=5&continue=abc&resourceVersion=7\
         &timeoutSeconds=9&allowWatchBookmarks=1&unknown=1",
    )
    .expect("options");
    assert_eq!(options.label_selector().requirements().len(), 1);
    assert_eq!(
        options.field_selector().required("metadata.name"),
        Some("x")
    );
    assert_eq!(
        (options.limit(), options.continue_token()),
        (Some(5), "abc")
    );
    assert_eq!(
        (options.resource_version(), options.timeout_seconds()),
        ("7", Some(9))
    );
    assert!(options.allow_watch_bookmarks() && !options.watch());
    let options = ListOptions::parse("resourceVersion=7&resourceVersionMatch=Exact&limit=-1");
    let options = options.expect("options");
    assert_eq!(options.version_match(), Some(VersionMatch::Exact));
    assert_eq!(options.limit(), None);
}

#[test]
fn booleans_are_true_unless_zero_or_false() {
    for (query, want) in [
        ("watch", true),
        ("watch=", true),
        ("watch=no", true),
        ("watch=0", false),
        ("watch=FALSE", false),
        ("", false),
    ] {
        assert_eq!(
            ListOptions::parse(query).expect("options").watch(),
            want,
            "{query:?}"
        );
    }
}

#[test]
fn watch_without_revision_starts_with_current_objects() {
    for (query, want) in [
        ("watch=1", true),
        ("watch=1&resourceVersion=0", true),
        ("watch=1&resourceVersion=5", false),
        ("", false),
    ] {
        let options = ListOptions::parse(query).expect("options");
        assert_eq!(options.legacy_initial_events(), want, "{query:?}");
        assert_eq!(options.send_initial_events(), None);
    }
    let query =
        "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let options = ListOptions::parse(query).expect("options");
    assert_eq!(options.send_initial_events(), Some(true));
}

#[test]
fn invalid_list_options_are_rejected() {
    let check = |query: &str, message: &str| {
        let head = "ListOptions.meta.k8s.io \"\" is invalid: ";
        check(ListOptions::parse(query), 422, &format!("{head}{message}"));
    };
    check(
        "resourceVersionMatch=Exact",
        "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided",
    );
    check(
        "resourceVersion=1&resourceVersionMatch=Exact&continue=x",
        "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden when continue is provided",
    );
    check(
        "resourceVersion=1&resourceVersionMatch=foo",
        "resourceVersionMatch: Unsupported value: \"foo\": supported values: \"Exact\", \"NotOlderThan\", \"\"",
    );
    check(
        "resourceVersion=0&resourceVersionMatch=Exact",
        "resourceVersionMatch: Forbidden: resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
    );
    check(
        "sendInitialEvents=true",
        "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list",
    );
    check(
        "watch=1&resourceVersionMatch=NotOlderThan",
        "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
    );
    check(
        "watch=1&sendInitialEvents=true",
        "resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
    );
    check(
        "watch=1&sendInitialEvents=true&resourceVersionMatch=Exact",
        "[resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan, resourceVersionMatch: Unsupported value: \"Exact\": supported values: \"NotOlderThan\"]",
    );
}

#[test]
fn malformed_value_is_a_bad_request() {
    check(
        ListOptions::parse("limit=abc"),
        400,
        "strconv.ParseInt: parsing \"abc\": invalid syntax",
    );
    check(
        ListOptions::parse("timeoutSeconds=99999999999999999999"),
        400,
        "strconv.ParseInt: parsing \"99999999999999999999\": value out of range",
    );
    check(
        ListOptions::parse("fieldSelector=foo"),
        400,
        "invalid selector: 'foo'; can't understand 'foo'",
    );
    check(
        DeleteOptions::parse("gracePeriodSeconds="),
        400,
        "strconv.ParseInt: parsing \"\": invalid syntax",
    );
    check(
        GetOptions::parse("resourceVersion=abc"),
        500,
        "resourceVersion: Invalid value: \"abc\": strconv.ParseUint: parsing \"abc\": invalid syntax",
    );
    let options = ListOptions::parse("fieldSelector=metadata.name%3Da").expect("options");
    check(
        options.for_name("b"),
        400,
        "fieldSelector metadata.name doesn't match requested name",
    );
}

#[test]
fn write_options_are_parsed() {
    let options = CreateOptions::parse("fieldManager=me&dryRun=All&fieldValidation=Strict");
    let options = options.expect("options");
    assert_eq!((options.field_manager(), options.dry_run()), ("me", true));
    assert_eq!(options.field_validation(), FieldValidation::Strict);
    let options = UpdateOptions::parse("").expect("options");
    assert_eq!((options.field_manager(), options.dry_run()), ("", false));
    assert_eq!(options.field_validation(), FieldValidation::Warn);
    assert!(
        PatchOptions::parse("fieldManager=me&force=true", true)
            .expect("options")
            .force()
    );
}

#[test]
fn invalid_write_options_are_rejected() {
    let long = format!("fieldManager={}", "x".repeat(129));
    check(
        CreateOptions::parse(&long),
        422,
        "CreateOptions.meta.k8s.io \"\" is invalid: fieldManager: Too long: may not be more than 128 bytes",
    );
    check(
        UpdateOptions::parse("fieldManager=a%07"),
        422,
        "UpdateOptions.meta.k8s.io \"\" is invalid: fieldManager: Invalid value: \"a\\a\": invalid character U+0007 (at position 1)",
    );
    check(
        CreateOptions::parse("dryRun=x"),
        422,
        "CreateOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: [\"x\"]: supported values: \"All\"",
    );
    check(
        CreateOptions::parse("fieldValidation=Bogus"),
        422,
        "CreateOptions.meta.k8s.io \"\" is invalid: fieldValidation: Unsupported value: \"Bogus\": supported values: \"\", \"Ignore\", \"Strict\", \"Warn\"",
    );
    check(
        PatchOptions::parse("force=false", false),
        422,
        "PatchOptions.meta.k8s.io \"\" is invalid: force: Forbidden: may not be specified for non-apply patch",
    );
    check(
        PatchOptions::parse("", true),
        422,
        "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch",
    );
}

#[test]
fn delete_options_are_parsed_from_query_and_body() {
    let query = DeleteOptions::parse("propagationPolicy=Orphan&uid=u&resourceVersion=7&dryRun=All");
    let body = json!({"propagationPolicy": "Orphan", "preconditions": {"uid": "u", "resourceVersion": "7"}, "dryRun": ["All"]});
    let query = query.expect("options");
    assert_eq!(DeleteOptions::from_body(&body).expect("options"), query);
    assert_eq!(query.propagation_policy(), Some(PropagationPolicy::Orphan));
    assert_eq!(query.preconditions().uid.as_deref(), Some("u"));
    let older = DeleteOptions::parse("orphanDependents=false").expect("options");
    assert_eq!(
        older.propagation_policy(),
        Some(PropagationPolicy::Background)
    );
}

#[test]
fn invalid_delete_options_are_rejected() {
    let head = "DeleteOptions.meta.k8s.io \"\" is invalid: ";
    check(
        DeleteOptions::parse("propagationPolicy=Foo"),
        422,
        &format!(
            "{head}propagationPolicy: Unsupported value: \"Foo\": supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\""
        ),
    );
    check(
        DeleteOptions::parse("propagationPolicy=Orphan&orphanDependents=true"),
        422,
        &format!(
            "{head}propagationPolicy: Invalid value: \"Orphan\": orphanDependents and deletionPropagation cannot be both set"
        ),
    );
    check(
        DeleteOptions::from_body(&json!({"gracePeriodSeconds": "x"})),
        400,
        "json: cannot unmarshal string into Go struct field DeleteOptions.gracePeriodSeconds of type int64",
    );
}

#[test]
fn field_manager_defaults_to_the_user_agent() {
    for (agent, want) in [
        ("kubectl/v1.37 (linux)", "kubectl"),
        ("", "unknown"),
        ("/x", "unknown"),
        ("a\u{7}b", "ab"),
    ] {
        assert_eq!(default_field_manager(agent), want);
    }
    assert_eq!(default_field_manager(&"é".repeat(100)).len(), 128);
}
