//! The attributes of a request, derived from its method, path and query alone.
//!
//! The rules are those of kube-apiserver's `RequestInfo`. Authorization, routing, limits and
//! metrics use this one result, so they cannot disagree.

use std::fmt;

use percent_encoding::percent_decode_str;

/// The action that a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verb {
    /// Read one object, or `GET` of a path that is not a resource.
    Get,
    /// Read a collection.
    List,
    /// Watch changes.
    Watch,
    /// Create an object.
    Create,
    /// Replace an object.
    Update,
    /// Change parts of an object.
    Patch,
    /// Delete one object, or `DELETE` of a path that is not a resource.
    Delete,
    /// Delete every object of a collection.
    DeleteCollection,
    /// Any other: empty for a resource with an unknown method, `proxy`, or the lower-case method of
    /// a path that is not a resource.
    Other(String),
}

impl Verb {
    /// The verb as in authorization and error messages.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
            Self::Other(verb) => verb,
        }
    }

    fn of_resource(method: &str) -> Self {
        match method {
            "POST" => Self::Create,
            "GET" | "HEAD" => Self::Get,
            "PUT" => Self::Update,
            "PATCH" => Self::Patch,
            "DELETE" => Self::Delete,
            _ => Self::Other(String::new()),
        }
    }

    fn of_path(method: &str) -> Self {
        match method {
            "GET" => Self::Get,
            "PATCH" => Self::Patch,
            "DELETE" => Self::Delete,
            other => Self::Other(other.to_ascii_lowercase()),
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The attributes of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestInfo {
    /// Whether the path names a resource; the fields from `group` on are empty otherwise.
    pub is_resource_request: bool,
    /// The path, percent-decoded.
    pub path: String,
    /// The action.
    pub verb: Verb,
    /// API group; empty for `/api`.
    pub group: String,
    /// API version.
    pub version: String,
    /// Namespace; empty if the path has none.
    pub namespace: String,
    /// Plural name of the resource.
    pub resource: String,
    /// Third segment after the resource; empty if absent.
    pub subresource: String,
    /// Object name; for list and watch the name that a field selector requires.
    pub name: String,
    /// Whether the verb came from a `/watch/` or `/proxy/` path prefix.
    pub verb_in_path: bool,
}

/// The path ends after a verb prefix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unable to determine kind and namespace from url, {0}")]
pub struct Incomplete(String);

impl RequestInfo {
    /// Parses a request.
    ///
    /// # Errors
    /// If the path ends after `/watch` or `/proxy`.
    pub fn parse(method: &str, path: &str, query: Option<&str>) -> Result<Self, Incomplete> {
        let decoded = percent_decode_str(path).decode_utf8_lossy().into_owned();
        let mut info = Self::of_path(method, decoded);
        let path = std::mem::take(&mut info.path);
        let read = info.read_resource(method, &path, query);
        info.path = path;
        read.map(|()| info)
    }

    /// Whether the request has no deadline.
    pub fn is_long_running(&self) -> bool {
        self.is_resource_request && self.verb == Verb::Watch
    }

    /// Whether the request changes nothing.
    pub fn is_read_only(&self) -> bool {
        matches!(self.verb, Verb::Get | Verb::List | Verb::Watch)
    }

    /// The unparsed field selector and label selector of a request for a collection, as
    /// authorization considers them; `None` if absent. Paths with a verb prefix support selectors
    /// inconsistently, so that theirs are ignored.
    pub fn selectors(&self, query: Option<&str>) -> (Option<String>, Option<String>) {
        let collection = matches!(self.verb, Verb::List | Verb::Watch | Verb::DeleteCollection);
        let Some(query) = query.filter(|_| collection && !self.verb_in_path) else {
            return (None, None);
        };
        let of = |key| first(query, key).filter(|selector| !selector.is_empty());
        (of("fieldSelector"), of("labelSelector"))
    }

    fn of_path(method: &str, path: String) -> Self {
        Self {
            is_resource_request: false,
            path,
            verb: Verb::of_path(method),
            group: String::new(),
            version: String::new(),
            namespace: String::new(),
            resource: String::new(),
            subresource: String::new(),
            name: String::new(),
            verb_in_path: false,
        }
    }

    fn read_resource(
        &mut self,
        method: &str,
        path: &str,
        query: Option<&str>,
    ) -> Result<(), Incomplete> {
        let mut parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        // `/api/V/…` has no group; `/apis/G/V/…` has one. Shorter paths are discovery.
        let (grouped, prefix_len) = match parts[0] {
            "apis" => (true, 3),
            "api" => (false, 2),
            _ => return Ok(()),
        };
        if parts.len() <= prefix_len {
            return Ok(());
        }
        self.is_resource_request = true;
        self.version = parts[prefix_len - 1].to_owned();
        if grouped {
            self.group = parts[1].to_owned();
        }
        parts.drain(..prefix_len);
        self.verb = match parts[0] {
            "watch" | "proxy" if parts.len() < 2 => {
                let query = query.map_or_else(String::new, |query| format!("?{query}"));
                return Err(Incomplete(format!("{path}{query}")));
            }
            prefix @ ("watch" | "proxy") => {
                self.verb_in_path = true;
                parts.remove(0);
                if prefix == "watch" {
                    Verb::Watch
                } else {
                    Verb::Other("proxy".to_owned())
                }
            }
            _ => Verb::of_resource(method),
        };
        if parts[0] == "namespaces" && parts.len() > 1 {
            self.namespace = parts[1].to_owned();
            if parts.len() > 2 && !matches!(parts[2], "status" | "finalize") {
                parts.drain(..2);
            }
        }
        let part = |n: usize| parts.get(n).copied().unwrap_or_default().to_owned();
        (self.resource, self.name) = (part(0), part(1));
        if self.verb.as_str() != "proxy" {
            self.subresource = part(2);
        }
        self.read_collection(query);
        Ok(())
    }

    /// A `GET` or `DELETE` without a name applies to a collection.
    fn read_collection(&mut self, query: Option<&str>) {
        if !self.name.is_empty() {
            return;
        }
        match self.verb {
            Verb::Delete => self.verb = Verb::DeleteCollection,
            Verb::Get => {
                let query = query.unwrap_or_default();
                let watch = first(query, "watch")
                    .is_some_and(|value| value != "0" && !value.eq_ignore_ascii_case("false"));
                self.verb = if watch { Verb::Watch } else { Verb::List };
                self.name = first(query, "fieldSelector")
                    .and_then(|selector| pinned_name(&selector))
                    .unwrap_or_default();
            }
            _ => {}
        }
    }
}

fn first(query: &str, key: &str) -> Option<String> {
    // Skips decoding for most requests, whose query does not have the parameter.
    if !query.contains(key) {
        return None;
    }
    // Decodes only pairs with this name, because a selector may have megabytes.
    let mut pairs = query
        .split('&')
        .filter(|pair| {
            let name = pair.split('=').next().unwrap_or_default();
            name == key || name.contains(['%', '+'])
        })
        .flat_map(|pair| form_urlencoded::parse(pair.as_bytes()));
    let (_, value) = pairs.find(|(name, _)| name == key)?;
    Some(value.into_owned())
}

/// The value that a field selector requires of `metadata.name`, if it is valid in a path.
fn pinned_name(selector: &str) -> Option<String> {
    let name = selector.split(',').find_map(|term| {
        let value = term.trim().strip_prefix("metadata.name")?;
        value.strip_prefix("==").or_else(|| value.strip_prefix('='))
    })?;
    let segment = !matches!(name, "" | "." | "..") && !name.contains(['/', '%', '\\']);
    segment.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `verb group/version namespace resource name subresource`, `-` for empty.
    fn check(request: &str, expected: &str) {
        let (method, url) = request.split_once(' ').unwrap();
        let (path, query) = match url.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (url, None),
        };
        let info = RequestInfo::parse(method, path, query).unwrap();
        let dash = |text: &str| {
            if text.is_empty() {
                "-".to_owned()
            } else {
                text.to_owned()
            }
        };
        let got = if info.is_resource_request {
            let fields = [
                &info.namespace,
                &info.resource,
                &info.name,
                &info.subresource,
            ];
            let fields = fields.map(|field| dash(field)).join(" ");
            let verb = dash(info.verb.as_str());
            format!("{verb} {}/{} {fields}", info.group, info.version)
        } else {
            format!("{} {}", info.verb, info.path)
        };
        assert_eq!(got, expected, "{request}");
    }

    #[test]
    fn requests_are_classified() {
        check("GET /", "get /");
        check("GET /healthz/ping", "get /healthz/ping");
        check("HEAD /version", "head /version");
        check("GET /apis/g/v1", "get /apis/g/v1");
        check("GET /api/v1", "get /api/v1");
        check("GET /api/v1/pods", "list /v1 - pods - -");
        check("GET /apis/g/v1/foos", "list g/v1 - foos - -");
        check("GET /apis/g/v1/foos?watch=1", "watch g/v1 - foos - -");
        check("GET /apis/g/v1/foos?watch=False", "list g/v1 - foos - -");
        check("GET /apis/g/v1/foos?watch", "watch g/v1 - foos - -");
        check(
            "GET /apis/g/v1/foos?watch=0&limit=5",
            "list g/v1 - foos - -",
        );
        check(
            "GET /apis/g/v1/namespaces/d/foos/n?watch=1",
            "get g/v1 d foos n -",
        );
        check(
            "PUT /apis/g/v1/namespaces/d/foos/n/status",
            "update g/v1 d foos n status",
        );
        check(
            "POST /apis/g/v1/namespaces/d/foos",
            "create g/v1 d foos - -",
        );
        check(
            "PATCH /apis/g/v1/namespaces/d/foos/n",
            "patch g/v1 d foos n -",
        );
        check(
            "DELETE /apis/g/v1/namespaces/d/foos/n",
            "delete g/v1 d foos n -",
        );
        check(
            "DELETE /apis/g/v1/namespaces/d/foos",
            "deletecollection g/v1 d foos - -",
        );
        check("OPTIONS /apis/g/v1/foos", "- g/v1 - foos - -");
        check(
            "GET /apis/g/v1/watch/namespaces/d/foos/n",
            "watch g/v1 d foos n -",
        );
        check("GET /api/v1/namespaces/d", "get /v1 d namespaces d -");
        check(
            "GET /api/v1/namespaces/d/status",
            "get /v1 d namespaces d status",
        );
        check(
            "GET /apis/g/v1/foos?fieldSelector=metadata.name%3Dn",
            "list g/v1 - foos n -",
        );
        check(
            "GET /apis/g/v1/foos?fieldSelector=metadata.name!%3Dn",
            "list g/v1 - foos - -",
        );
        check("GET /apis/g/v1/foos/a%20b", "get g/v1 - foos a b -");
    }

    #[test]
    fn selectors_belong_to_requests_for_collections() {
        let selectors = |method: &str, path: &str, query: &str| {
            let info = RequestInfo::parse(method, path, Some(query)).unwrap();
            info.selectors(Some(query))
        };
        let query = "labelSelector=a%3Db&fieldSelector=metadata.name%3Dn&labelSelector=c";
        let both = (Some("metadata.name=n".to_owned()), Some("a=b".to_owned()));
        for (method, path, expected) in [
            ("GET", "/apis/g/v1/foos", both.clone()),
            ("DELETE", "/apis/g/v1/namespaces/d/foos", both),
            ("GET", "/apis/g/v1/namespaces/d/foos/n", (None, None)),
            ("POST", "/apis/g/v1/namespaces/d/foos", (None, None)),
            ("GET", "/apis/g/v1/watch/foos", (None, None)),
            ("GET", "/version", (None, None)),
        ] {
            assert_eq!(selectors(method, path, query), expected, "{method} {path}");
        }
        let empty = selectors("GET", "/apis/g/v1/foos", "fieldSelector=&watch=1");
        assert_eq!(empty, (None, None));
    }

    #[test]
    fn path_that_ends_after_verb_prefix_is_rejected() {
        let err = RequestInfo::parse("GET", "/apis/g/v1/watch", None).unwrap_err();
        let text = "unable to determine kind and namespace from url, /apis/g/v1/watch";
        assert_eq!(err.to_string(), text);
    }
}
