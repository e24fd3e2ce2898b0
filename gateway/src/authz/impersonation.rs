//! Impersonation headers. Every request with `Impersonate-User` is rejected, because impersonation
//! is not implemented.
//!
//! Ignoring the headers would be unsafe: the request would run with the rights of its sender
//! instead of those of the named user. The texts are kube-apiserver's for a user without the right
//! to impersonate: `processImpersonationHeaders` and `impersonationMode` in
//! `k8s.io/apiserver/pkg/endpoints/filters/impersonation`.

use std::collections::BTreeMap;

use api_types::go_text::quote;
use api_types::names;
use api_types::request_info::RequestInfo;
use http::HeaderMap;
use percent_encoding::percent_decode_str;

use super::{Denied, sanitized, sentence};
use crate::request::User;

const USER: &str = "impersonate-user";
const UID: &str = "impersonate-uid";
const GROUP: &str = "impersonate-group";
const EXTRA: &str = "impersonate-extra-";

/// Why an impersonating request is rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejected {
    /// 400: the headers name no user.
    NoUser(String),
    /// 403: impersonation is denied.
    Denied(Denied),
}

/// The identity that a request asks for.
#[derive(Debug, Default)]
struct Wanted {
    name: String,
    uid: String,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
}

/// Rejects a request of `user` with impersonation headers.
///
/// # Errors
/// If the headers name an identity.
pub fn reject(headers: &HeaderMap, user: &User, info: &RequestInfo) -> Result<(), Rejected> {
    // Fast path: most requests have no such header.
    let is_asked = |name: &http::HeaderName| name.as_str().starts_with("impersonate-");
    if !headers.keys().any(is_asked) {
        return Ok(());
    }
    let wanted = Wanted::of(headers);
    match (wanted.name.is_empty(), wanted.only_name()) {
        (true, true) => Ok(()),
        (true, false) => Err(Rejected::NoUser(format!(
            "requested {} without impersonating a user name",
            wanted.in_go()
        ))),
        (false, _) => Err(Rejected::Denied(wanted.denied(user, info))),
    }
}

impl Wanted {
    fn of(headers: &HeaderMap) -> Self {
        let values = |name: &str| -> Vec<String> {
            let values = headers.get_all(name).into_iter();
            values
                .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
                .collect()
        };
        let first = |name| values(name).into_iter().next().unwrap_or_default();
        let mut extra = BTreeMap::<String, Vec<String>>::new();
        for name in headers.keys() {
            if let Some(key) = name.as_str().strip_prefix(EXTRA) {
                let key = unescaped(key);
                extra.entry(key).or_default().extend(values(name.as_str()));
            }
        }
        Self {
            name: first(USER),
            uid: first(UID),
            groups: values(GROUP),
            extra,
        }
    }

    fn only_name(&self) -> bool {
        self.uid.is_empty() && self.groups.is_empty() && self.extra.is_empty()
    }

    /// kube-apiserver's message about the first missing right.
    fn denied(&self, user: &User, info: &RequestInfo) -> Denied {
        let account = service_account(&self.name);
        let mode = match (&account, is_node(&self.name), self.only_name()) {
            (Some(_), _, true) => "serviceaccount",
            (None, true, true) => "arbitrary-node",
            (None, false, _) => "user-info",
            (Some(_), _, false) | (None, true, false) => {
                return self.denied_by_legacy_mode(user, account);
            }
        };
        let verb = format!("impersonate-on:{mode}:{}", info.verb);
        Denied {
            group: info.group.clone(),
            resource: info.resource.clone(),
            name: info.name.clone(),
            sentence: sentence(user, &verb, info),
            reason: String::new(),
        }
    }

    /// kube-apiserver's message for combinations that only the verb `impersonate` covers.
    fn denied_by_legacy_mode(&self, user: &User, account: Option<(&str, &str)>) -> Denied {
        let (resource, name, scope) = match account {
            Some((namespace, name)) => (
                "serviceaccounts",
                name,
                format!("in the namespace {namespace:?}"),
            ),
            None => ("users", &*self.name, "at the cluster scope".to_owned()),
        };
        let who = quote(&user.name);
        Denied {
            group: String::new(),
            resource: resource.to_owned(),
            name: name.to_owned(),
            sentence: sanitized(format!(
                "User {who} cannot impersonate resource {resource:?} in API group \"\" {scope}"
            )),
            reason: String::new(),
        }
    }

    /// The identity in the format of Go's `%#v`.
    fn in_go(&self) -> String {
        let extra = if self.extra.is_empty() {
            "map[string][]string(nil)".to_owned()
        } else {
            let pairs = self.extra.iter();
            let pairs = pairs.map(|(key, values)| format!("{}:{}", quote(key), strings(values)));
            format!("map[string][]string{{{}}}", joined(pairs))
        };
        format!(
            "&user.DefaultInfo{{Name:{}, UID:{}, Groups:{}, Extra:{extra}}}",
            quote(&self.name),
            quote(&self.uid),
            strings(&self.groups)
        )
    }
}

fn strings(texts: &[String]) -> String {
    if texts.is_empty() {
        return "[]string(nil)".to_owned();
    }
    format!("[]string{{{}}}", joined(texts.iter().map(|it| quote(it))))
}

fn joined(texts: impl Iterator<Item = String>) -> String {
    texts.collect::<Vec<_>>().join(", ")
}

/// Go's `url.PathUnescape`; the unchanged text if it fails.
fn unescaped(key: &str) -> String {
    let escapes = key.split('%').skip(1);
    let valid = |escape: &str| {
        let digits = escape.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    if escapes.into_iter().all(valid) {
        percent_decode_str(key).decode_utf8_lossy().into_owned()
    } else {
        key.to_owned()
    }
}

/// Namespace and name of the service account that a user name denotes.
fn service_account(user: &str) -> Option<(&str, &str)> {
    let (namespace, name) = user
        .strip_prefix("system:serviceaccount:")?
        .split_once(':')?;
    let valid =
        names::dns1123_label(namespace).is_empty() && names::dns1123_subdomain(name).is_empty();
    valid.then_some((namespace, name))
}

fn is_node(user: &str) -> bool {
    let name = user.strip_prefix("system:node:");
    name.is_some_and(|name| names::dns1123_subdomain(name).is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(headers: &[(&str, &str)], request: &str, expected: Result<(), &str>) {
        let (method, path) = request.split_once(' ').unwrap();
        let info = RequestInfo::parse(method, path, None).unwrap();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
            map.append(name, value.parse().unwrap());
        }
        let rejected = reject(&map, &User::new("eve", []), &info);
        let shown = rejected.map_err(|rejected| match rejected {
            Rejected::NoUser(text) => text,
            Rejected::Denied(denied) => {
                format!("{} {:?}: {}", denied.resource, denied.name, denied.sentence)
            }
        });
        assert_eq!(
            shown,
            expected.map_err(str::to_owned),
            "{headers:?} {request}"
        );
    }

    #[test]
    fn impersonation_is_rejected_with_kube_apiserver_text() {
        let delete = "DELETE /apis/x.io/v1/namespaces/d/foos/n";
        check(&[], delete, Ok(()));
        check(&[("Impersonate-User", "")], delete, Ok(()));
        check(&[("Impersonate-Uid", "")], delete, Ok(()));
        check(&[("Impersonate-Else", "x")], delete, Ok(()));
        for more in [&[][..], &[("impersonate-GROUP", "system:masters")]] {
            let mut headers = vec![("IMPERSONATE-USER", "nobody")];
            headers.extend_from_slice(more);
            check(
                &headers,
                delete,
                Err(
                    "foos \"n\": User \"eve\" cannot impersonate-on:user-info:delete resource \"foos\" in API \
                     group \"x.io\" in the namespace \"d\"",
                ),
            );
        }
        check(
            &[("Impersonate-User", "system:serviceaccount:a:b")],
            "GET /version",
            Err(" \"\": User \"eve\" cannot impersonate-on:serviceaccount:get path \"/version\""),
        );
        check(
            &[("Impersonate-User", "system:node:a")],
            "GET /apis/x.io/v1/foos",
            Err(
                "foos \"\": User \"eve\" cannot impersonate-on:arbitrary-node:list resource \"foos\" in API group \
                 \"x.io\" at the cluster scope",
            ),
        );
        check(
            &[
                ("Impersonate-User", "system:serviceaccount:a:b"),
                ("Impersonate-Uid", "1"),
            ],
            "GET /nope",
            Err(
                "serviceaccounts \"b\": User \"eve\" cannot impersonate resource \"serviceaccounts\" in API group \
                 \"\" in the namespace \"a\"",
            ),
        );
        check(
            &[
                ("Impersonate-User", "system:node:a"),
                ("Impersonate-Extra-x", "1"),
            ],
            "GET /livez",
            Err(
                "users \"system:node:a\": User \"eve\" cannot impersonate resource \"users\" in API group \"\" at \
                 the cluster scope",
            ),
        );
    }

    #[test]
    fn impersonation_without_user_name_is_bad_request() {
        check(
            &[("Impersonate-Group", "a"), ("Impersonate-Group", "")],
            "GET /apis",
            Err(
                "requested &user.DefaultInfo{Name:\"\", UID:\"\", Groups:[]string{\"a\", \"\"}, \
                 Extra:map[string][]string(nil)} without impersonating a user name",
            ),
        );
        check(
            &[
                ("Impersonate-Uid", "7"),
                ("Impersonate-Extra-Scopes", "a"),
                ("Impersonate-Extra-Acme.com%2fproject", "b"),
                ("Impersonate-Extra-100%", ""),
            ],
            "GET /apis",
            Err(
                "requested &user.DefaultInfo{Name:\"\", UID:\"7\", Groups:[]string(nil), \
                 Extra:map[string][]string{\"100%\":[]string{\"\"}, \"acme.com/project\":[]string{\"b\"}, \
                 \"scopes\":[]string{\"a\"}}} without impersonating a user name",
            ),
        );
    }
}
