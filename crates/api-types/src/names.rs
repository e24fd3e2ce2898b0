//! Syntax of names, label keys and label values.
//!
//! Each function returns the violations with kube-apiserver's messages; the list is empty for a
//! valid text. Source: `k8s.io/apimachinery/pkg/api/validate/content` and `pkg/util/validation`.

/// Limit of characters of a DNS label, a label value and the name part of a qualified name.
pub const MAX_LABEL: usize = 63;

/// Limit of characters of a DNS subdomain, and so of the names of most objects.
pub const MAX_SUBDOMAIN: usize = 253;

const LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";

const SUBDOMAIN: &str = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";

/// A DNS label of RFC 1123: `my-name`.
#[must_use]
pub fn dns1123_label(name: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if name.len() > MAX_LABEL {
        errors.push(too_long(MAX_LABEL));
    }
    if !is_label(name) {
        errors.push(if is_subdomain(name) {
            String::from("must not contain dots")
        } else {
            format!(
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or \
                 '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or \
                 '123-abc', regex used for validation is '{LABEL}')"
            )
        });
    }
    errors
}

/// A DNS subdomain of RFC 1123: `example.com`.
#[must_use]
pub fn dns1123_subdomain(name: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if name.len() > MAX_SUBDOMAIN {
        errors.push(too_long(MAX_SUBDOMAIN));
    }
    if !is_subdomain(name) {
        errors.push(format!(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, \
             '-' or '.', and must start and end with an alphanumeric character (e.g. \
             'example.com', regex used for validation is '{SUBDOMAIN}')"
        ));
    }
    errors
}

/// A DNS label of RFC 1035, which must not start with a digit.
#[must_use]
pub fn dns1035_label(name: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if name.len() > MAX_LABEL {
        errors.push(too_long(MAX_LABEL));
    }
    if !is_label(name) || name.as_bytes()[0].is_ascii_digit() {
        errors.push(String::from(
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start \
             with an alphabetic character, and end with an alphanumeric character (e.g. \
             'my-name',  or 'abc-123', regex used for validation is \
             '[a-z]([-a-z0-9]*[a-z0-9])?')",
        ));
    }
    errors
}

/// A qualified name, the key of a label or an annotation: `example.com/MyName`.
#[must_use]
pub fn qualified_name(key: &str) -> Vec<String> {
    const WORDS: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start \
                         and end with an alphanumeric character";
    const FORMAT: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
    let mut errors = Vec::new();
    let name = match key.split_once('/') {
        None => key,
        Some((_, rest)) if rest.contains('/') => {
            return vec![format!(
                "a valid label key {WORDS} (e.g. 'MyName',  or 'my.name',  or '123-abc', regex \
                 used for validation is '{FORMAT}') with an optional DNS subdomain prefix and '/' \
                 (e.g. 'example.com/MyName')"
            )];
        }
        Some((prefix, name)) => {
            if prefix.is_empty() {
                errors.push(String::from("prefix part must be non-empty"));
            } else {
                let wrong = dns1123_subdomain(prefix).into_iter();
                errors.extend(wrong.map(|error| format!("prefix part {error}")));
            }
            name
        }
    };
    if name.is_empty() {
        errors.push(String::from("name part must be non-empty"));
    } else if name.len() > MAX_LABEL {
        errors.push(format!("name part must be no more than {MAX_LABEL} bytes"));
    }
    if name.is_empty() || !is_label_text(name) {
        errors.push(format!(
            "name part {WORDS} (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for \
             validation is '{FORMAT}')"
        ));
    }
    errors
}

/// A label's value: empty, or up to 63 characters that start and end alphanumerically.
#[must_use]
pub fn label_value(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if value.len() > MAX_LABEL {
        errors.push(format!("must be no more than {MAX_LABEL} bytes"));
    }
    if !is_label_text(value) {
        errors.push(String::from(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', \
             '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  \
             or 'my_value',  or '12345', regex used for validation is \
             '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
        ));
    }
    errors
}

/// A text that is valid as one segment of a URL path.
#[must_use]
pub fn path_segment(name: &str) -> Vec<String> {
    if name == "." || name == ".." {
        return vec![format!("may not be '{name}'")];
    }
    ["/", "%"]
        .into_iter()
        .filter(|banned| name.contains(banned))
        .map(|banned| format!("may not contain '{banned}'"))
        .collect()
}

/// Whether the text is a DNS label of any length.
fn is_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    bytes.first().is_some_and(alphanumeric)
        && bytes.last().is_some_and(alphanumeric)
        && bytes.iter().all(|byte| alphanumeric(byte) || *byte == b'-')
}

/// Whether the text is a DNS subdomain of any length.
fn is_subdomain(text: &str) -> bool {
    text.split('.').all(is_label)
}

/// Whether the text is empty, or consists of `[-A-Za-z0-9_.]` with alphanumeric ends.
fn is_label_text(text: &str) -> bool {
    let bytes = text.as_bytes();
    let ends = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_alphanumeric);
    ends(bytes.first())
        && ends(bytes.last())
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

fn too_long(max: usize) -> String {
    format!("must be no more than {max} characters")
}

#[cfg(test)]
mod tests;
