//! Which rule decides. The cases follow those of `pkg/audit/policy/checker_test.go` of
//! `k8s.io/apiserver`.

use super::*;

fn user(name: &str, groups: &[&str]) -> User {
    User::new(name, groups.iter().map(|group| (*group).to_owned()))
}

/// The level that a policy of these rules, in YAML's flow style, gives to a request.
fn level(rules: &[&str], method: &str, path: &str, user: Option<&User>) -> Level {
    let rules = rules.join("\n- ");
    let text = format!("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- {rules}\n");
    let policy = Policy::parse(text.as_bytes()).unwrap();
    let info = RequestInfo::parse(method, path, None).unwrap();
    let decision = policy.decide(&info, user);
    decision.map_or(Level::None, |decision| decision.level)
}

/// Whether a rule matches requests of a user of two groups.
fn check(rule: &str, requests: &[(&str, bool)]) {
    let tim = user("tim@k8s.io", &["humans", "developers"]);
    let rule = format!("{{level: Metadata, {rule}}}");
    for (request, matches) in requests {
        let (method, path) = request.split_once(' ').unwrap();
        let found = level(&[&rule], method, path, Some(&tim)) == Level::Metadata;
        assert_eq!(found, *matches, "{rule} {request}");
    }
}

const POD: &str = "GET /api/v1/namespaces/default/pods/busybox";
const LOG: &str = "GET /api/v1/namespaces/default/pods/busybox/log";
const ROLE: &str = "GET /apis/rbac.authorization.k8s.io/v1/clusterroles/edit";
const LOGS: &str = "GET /logs/app.log";

#[test]
fn rule_matches_users_groups_and_verbs() {
    check("", &[(POD, true), (LOGS, true)]);
    check("users: [tim@k8s.io]", &[(POD, true), (LOGS, true)]);
    check("users: [ann@k8s.io]", &[(POD, false), (LOGS, false)]);
    check("userGroups: [developers]", &[(POD, true)]);
    check("userGroups: [robots]", &[(POD, false)]);
    check("users: [tim@k8s.io], userGroups: [robots]", &[(POD, false)]);
    check("verbs: [get]", &[(POD, true), (LOGS, true)]);
    check("verbs: [create, delete]", &[(POD, false)]);
    check("verbs: [post]", &[("POST /logs", true)]);
}

#[test]
fn rule_of_a_user_does_not_match_failed_authentication() {
    for (rule, expected) in [
        ("{level: Metadata}", Level::Metadata),
        ("{level: Metadata, users: [tim@k8s.io]}", Level::None),
        ("{level: Metadata, userGroups: [humans]}", Level::None),
    ] {
        assert_eq!(level(&[rule], "GET", "/logs", None), expected, "{rule}");
    }
}

#[test]
fn rule_matches_resources_and_subresources() {
    let all = |matches: [bool; 4]| {
        [POD, LOG, ROLE, LOGS]
            .into_iter()
            .zip(matches)
            .collect::<Vec<_>>()
    };
    for (rule, matches) in [
        ("resources: [{}]", [true, true, false, false]),
        ("resources: [{group: '*'}]", [true, true, true, false]),
        (
            "resources: [{group: rbac.authorization.k8s.io}]",
            [false, false, true, false],
        ),
        (
            "resources: [{resources: [pods]}]",
            [true, false, false, false],
        ),
        (
            "resources: [{resources: [pods/log]}]",
            [false, true, false, false],
        ),
        (
            "resources: [{resources: [pods/*]}]",
            [true, true, false, false],
        ),
        (
            "resources: [{resources: ['*/log']}]",
            [false, true, false, false],
        ),
        (
            "resources: [{resources: ['*/status']}]",
            [false, false, false, false],
        ),
        (
            "resources: [{resources: ['*']}]",
            [true, true, false, false],
        ),
        (
            "resources: [{resources: ['*/*']}]",
            [false, false, false, false],
        ),
        (
            "resources: [{resources: [pods], resourceNames: [busybox]}]",
            [true, false, false, false],
        ),
        (
            "resources: [{resources: [pods], resourceNames: [other]}]",
            [false, false, false, false],
        ),
        ("namespaces: [default]", [true, true, false, false]),
        ("namespaces: ['']", [false, false, true, false]),
        ("namespaces: [kube-system]", [false, false, false, false]),
        (
            "namespaces: [default], resources: [{resources: [pods]}]",
            [true, false, false, false],
        ),
    ] {
        check(rule, &all(matches));
    }
}

#[test]
fn rule_matches_paths() {
    for (rule, logs) in [
        ("nonResourceURLs: ['*']", true),
        ("nonResourceURLs: [/logs*]", true),
        ("nonResourceURLs: [/logs/*]", true),
        ("nonResourceURLs: [/logs/app.log]", true),
        ("nonResourceURLs: [/logs]", false),
        ("nonResourceURLs: [/healthz*]", false),
    ] {
        check(rule, &[(POD, false), (LOGS, logs)]);
    }
}

#[test]
fn first_matching_rule_decides() {
    let rules = [
        "{level: None, nonResourceURLs: ['/healthz*']}",
        "{level: Request, verbs: [get]}",
        "{level: RequestResponse}",
    ];
    let tim = user("tim", &[]);
    let level = |method, path| level(&rules, method, path, Some(&tim));
    assert_eq!(level("GET", "/healthz"), Level::None);
    assert_eq!(level("GET", "/version"), Level::Request);
    assert_eq!(level("POST", "/api/v1/pods"), Level::RequestResponse);
}

#[test]
fn omissions_of_policy_and_rule_are_combined() {
    let text = "{apiVersion: audit.k8s.io/v1, kind: Policy, omitStages: [RequestReceived], \
        omitManagedFields: true, metadata: {name: x}, rules: [\
        {level: Metadata, users: [a], omitStages: [Panic], omitManagedFields: false}, \
        {level: Metadata}]}";
    let policy = Policy::parse(text.as_bytes()).unwrap();
    let info = RequestInfo::parse("GET", "/version", None).unwrap();
    let of = |name| {
        policy
            .decide(&info, Some(&user(name, &[])))
            .unwrap()
            .clone()
    };
    let (first, second) = (of("a"), of("b"));
    assert_eq!(first.omit_stages, [Stage::Panic, Stage::RequestReceived]);
    assert!(!first.omit_managed_fields);
    assert_eq!(second.omit_stages, [Stage::RequestReceived]);
    assert!(second.omit_managed_fields);
}

#[test]
fn invalid_policies_are_rejected_with_the_fix() {
    let rule =
        |text: &str| format!("{{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{text}]}}");
    for (text, expected) in [
        (
            "{rules: [{level: None}]}".to_owned(),
            "set apiVersion: audit.k8s.io/v1 and kind: Policy",
        ),
        (rule(""), "has no rules: add one"),
        (
            rule("{}"),
            "rules[0]: level \"\": set None, Metadata, Request or RequestResponse",
        ),
        (
            rule("{level: None}, {level: metadata}"),
            "rules[1]: level \"metadata\": set",
        ),
        (
            rule("{level: None, user: [a]}"),
            "rules[0]: unknown field `user`, expected one of",
        ),
        (
            rule("{level: None, nonResourceURLs: [x]}"),
            "\"x\" must begin with '/'",
        ),
        (
            rule("{level: None, nonResourceURLs: ['/a*b']}"),
            "'*' must be the last character",
        ),
        (
            rule("{level: None, nonResourceURLs: [/a], namespaces: [b]}"),
            "use two rules",
        ),
        (
            rule("{level: None, resources: [{group: a/v1}]}"),
            "omit the version",
        ),
        (
            rule("{level: None, resources: [{resourceNames: [a]}]}"),
            "resourceNames needs resources",
        ),
        (
            rule("{level: None, omitStages: [Later]}"),
            "\"Later\" is not a stage: use RequestReceived",
        ),
    ] {
        let error = Policy::parse(text.as_bytes()).unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn policy_of_the_guide_is_valid() {
    let guide = include_str!("../../../../docs/operating.md");
    let mut samples = guide
        .split("```yaml\n")
        .filter(|text| text.starts_with("apiVersion: audit"));
    let (sample, _) = samples.next().unwrap().split_once("```").unwrap();
    Policy::parse(sample.as_bytes()).unwrap();
}
