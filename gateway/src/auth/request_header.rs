//! Users that a front proxy (kube-aggregator) sends in request headers.

use http::{HeaderMap, HeaderName};
use percent_encoding::percent_decode_str;

use crate::request::User;

/// Names of the identity headers, and the proxies that may send them.
#[derive(Debug, Clone)]
pub struct RequestHeaders {
    /// Common names that a proxy's certificate may have; empty: any name that its CA signed.
    pub allowed_names: Vec<String>,
    /// Headers with the user name; the first that is set counts.
    pub username: Vec<HeaderName>,
    /// Headers with the UID; the first that is set counts.
    pub uid: Vec<HeaderName>,
    /// Headers with groups; all values count.
    pub group: Vec<HeaderName>,
    /// Lower-case prefixes of headers that carry extra attributes.
    pub extra_prefix: Vec<String>,
}

impl RequestHeaders {
    /// The user in `headers`; `None` if no name is set.
    pub(super) fn user(&self, headers: &HeaderMap) -> Option<User> {
        let name = first(headers, &self.username)?;
        let groups = self.group.iter().flat_map(|header| values(headers, header));
        let mut user = User::new(name, groups);
        user.uid = first(headers, &self.uid);
        for name in headers.keys() {
            for prefix in &self.extra_prefix {
                if let Some(key) = name.as_str().strip_prefix(prefix.as_str()) {
                    let key = percent_decode_str(key).decode_utf8_lossy().to_lowercase();
                    user.extra
                        .entry(key)
                        .or_default()
                        .extend(values(headers, name));
                }
            }
        }
        Some(user)
    }
}

fn values<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = String> + 'h {
    let values = headers.get_all(name).into_iter();
    values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

fn first(headers: &HeaderMap, names: &[HeaderName]) -> Option<String> {
    let mut all = names.iter().flat_map(|name| values(headers, name).next());
    all.find(|value| !value.is_empty())
}

impl Default for RequestHeaders {
    /// The header names that kube-apiserver is usually configured with; any name that the CA
    /// signed.
    fn default() -> Self {
        Self {
            allowed_names: Vec::new(),
            username: vec![HeaderName::from_static("x-remote-user")],
            uid: vec![HeaderName::from_static("x-remote-uid")],
            group: vec![HeaderName::from_static("x-remote-group")],
            extra_prefix: vec!["x-remote-extra-".to_owned()],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_headers_yield_user() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-remote-user", "bob"),
            ("x-remote-uid", "7"),
            ("x-remote-group", "b"),
            ("x-remote-group", "a"),
            ("x-remote-extra-acme.io%2fproject", "one"),
            ("x-remote-extra-acme.io%2fproject", "two"),
            ("x-other", "no"),
        ] {
            headers.append(name, value.parse().unwrap());
        }
        let user = RequestHeaders::default().user(&headers).unwrap();
        assert_eq!(user.name, "bob");
        assert_eq!(user.uid.as_deref(), Some("7"));
        assert_eq!(user.groups, ["b", "a"]);
        assert_eq!(user.extra["acme.io/project"], ["one", "two"]);
        assert_eq!(user.extra.len(), 1);
    }

    #[test]
    fn empty_username_header_yields_no_user() {
        let mut headers = HeaderMap::new();
        headers.insert("x-remote-user", "".parse().unwrap());
        headers.insert("x-remote-group", "system:masters".parse().unwrap());
        assert_eq!(RequestHeaders::default().user(&headers), None);
    }
}
