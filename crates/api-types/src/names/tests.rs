//! Valid and invalid names, and the messages about the latter.

use super::{
    dns1035_label, dns1123_label, dns1123_subdomain, label_value, path_segment, qualified_name,
};

fn check(test: fn(&str) -> Vec<String>, good: &[&str], bad: &[&str]) {
    for name in good {
        assert_eq!(test(name), Vec::<String>::new(), "{name:?} is good");
    }
    for name in bad {
        assert_ne!(test(name), Vec::<String>::new(), "{name:?} is bad");
    }
}

#[test]
fn labels() {
    let (fits, too_long) = ("a".repeat(63), "a".repeat(64));
    check(
        dns1123_label,
        &["a", "0", "a-1", "1--a--b--2", &fits],
        &[
            "", "A", "a-", "-a", "a_b", "a.b", "a.", " a", "a b", "é", &too_long,
        ],
    );
    check(dns1035_label, &["a", "a-1"], &["", "1a", "-a", "a-", "A"]);
    assert_eq!(dns1123_label("a.b"), ["must not contain dots"]);
    assert_eq!(
        dns1123_label("-"),
        [
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
        ]
    );
}

#[test]
fn subdomains() {
    let (fits, too_long) = ("a".repeat(253), "a".repeat(254));
    check(
        dns1123_subdomain,
        &["a", "a.b.c", "1.2", "a-1.b", &fits],
        &["", "A", "a..b", ".a", "a.", "a.-b", "a_b", &too_long],
    );
    assert_eq!(
        dns1123_subdomain("-"),
        [
            r"a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
        ]
    );
    assert_eq!(
        dns1123_subdomain(&too_long),
        ["must be no more than 253 characters"]
    );
}

#[test]
fn qualified_names_and_label_values() {
    let (fits, too_long) = ("a".repeat(63), "a".repeat(64));
    check(
        qualified_name,
        &["simple", "1-num.2-num/3-num", "UpperCase_1", "a.b/C", &fits],
        &[
            "", "/a", "a/", "a/b/c", "-a", "a-", "A.b/c", "no space", &too_long,
        ],
    );
    check(
        label_value,
        &["", "a", "A-_.z", "1", &fits],
        &["-a", "a-", "a/b", "a b", &too_long],
    );
    assert_eq!(qualified_name("/a"), ["prefix part must be non-empty"]);
    assert_eq!(
        qualified_name(""),
        [
            "name part must be non-empty",
            "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
        ]
    );
    assert_eq!(
        label_value("-"),
        [
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
        ]
    );
}

#[test]
fn path_segments() {
    check(
        path_segment,
        &["", "a", "a:b", "..."],
        &[".", "..", "a/b", "a%b"],
    );
    assert_eq!(
        path_segment("/%"),
        ["may not contain '/'", "may not contain '%'"]
    );
}
