//! Redirects of a webhook, within its host and port.
//!
//! Source: `redirectBehavior` and `defaultCheckRedirect` of Go's `net/http`. Go also follows redirects
//! to other hosts; a webhook could thereby make this server send requests into its network.

use super::location::Location;
use super::response::Read;

/// Requests of a call, the redirected ones included.
pub(super) const MAX_REQUESTS: usize = 10;
/// Bytes of a `Location` that is followed.
const MAX_LOCATION: usize = 8 << 10;

/// The request that follows a redirect.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Next {
    /// Path and query.
    pub(super) target: String,
    /// Whether the request is a POST of the review; else a GET.
    pub(super) keeps_body: bool,
}

/// The request that a response to `target` asks for; none if the response is final.
pub(super) fn next(webhook: &Location, target: &str, read: &Read) -> Option<Next> {
    let location = read.location.as_deref()?;
    of(webhook, target, read.code.as_u16(), location)
}

fn of(webhook: &Location, target: &str, code: u16, location: &str) -> Option<Next> {
    let keeps_body = match code {
        301..=303 => false,
        307 | 308 => true,
        _ => return None,
    };
    if location.is_empty() || location.len() > MAX_LOCATION {
        return None;
    }
    let target = resolve(webhook, target, location)?;
    Some(Next { target, keeps_body })
}

/// Path and query of a reference, if it names this host.
fn resolve(webhook: &Location, target: &str, location: &str) -> Option<String> {
    let (location, _) = location.split_once('#').unwrap_or((location, ""));
    let own = location
        .strip_prefix("https:")
        .unwrap_or(location)
        .strip_prefix("//");
    if let Some(rest) = own {
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        let authority: http::uri::Authority = authority.parse().ok()?;
        let port = authority.port_u16().unwrap_or(443);
        let host = authority.host().trim_matches(['[', ']']);
        let is_own = host.eq_ignore_ascii_case(&webhook.host) && port == webhook.port;
        // User information would become credentials.
        if !is_own || authority.as_str().contains('@') {
            return None;
        }
        let slash = if rest.starts_with('/') { "" } else { "/" };
        return valid(format!("{slash}{rest}"));
    }
    let first = location.split(['/', '?']).next().unwrap_or_default();
    if first.contains(':') {
        return None;
    }
    if location.starts_with('/') {
        return valid(location.to_owned());
    }
    let (path, _) = target.split_once('?').unwrap_or((target, ""));
    if location.starts_with('?') || location.is_empty() {
        return valid(format!("{path}{location}"));
    }
    let (folder, _) = path.rsplit_once('/').unwrap_or_default();
    valid(format!("{folder}/{location}"))
}

fn valid(target: String) -> Option<String> {
    target
        .parse::<http::uri::PathAndQuery>()
        .is_ok()
        .then_some(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(code: u16, location: &str, expected: Option<(&str, bool)>) {
        let webhook = Location {
            authority: "hooks.ns.svc:443".to_owned(),
            host: "hooks.ns.svc".to_owned(),
            port: 443,
            path: "/a/b".to_owned(),
            service: None,
        };
        let expected = expected.map(|(target, keeps_body)| Next {
            target: target.to_owned(),
            keeps_body,
        });
        let next = of(&webhook, "/a/b?timeout=1s", code, location);
        assert_eq!(next, expected, "{code} {location}");
    }

    #[test]
    fn redirects_are_followed_within_the_host() {
        check(307, "/x?y=1", Some(("/x?y=1", true)));
        check(308, "x#fragment", Some(("/a/x", true)));
        check(302, "/x", Some(("/x", false)));
        check(301, "?y", Some(("/a/b?y", false)));
        check(303, "https://hooks.ns.svc/x", Some(("/x", false)));
        check(307, "//HOOKS.ns.svc:443?y", Some(("/?y", true)));
        check(304, "/x", None);
        check(200, "/x", None);
        check(307, "", None);
    }

    #[test]
    fn redirects_to_other_hosts_are_final() {
        for location in [
            "https://hooks.ns.svc:8443/x",
            "https://169.254.169.254/x",
            "//other/x",
            "http://hooks.ns.svc/x",
            "http:/x",
            "https://u:p@hooks.ns.svc/x",
            "https://hooks.ns.svc@other/x",
            "ftp:x",
            "https:x",
            "/a b",
        ] {
            check(307, location, None);
        }
        check(307, &format!("/{}", "x".repeat(MAX_LOCATION)), None);
    }
}
