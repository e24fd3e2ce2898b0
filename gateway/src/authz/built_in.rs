//! Authorizers that need only the request.

use std::collections::HashSet;

use async_trait::async_trait;

use super::authorizer::{Attributes, Authorizer, Verdict};
use crate::request::probe;
use crate::request::user::{MASTERS_GROUP, Method};

/// Allows paths that are not resources to everybody; the default is the probes. Source:
/// `k8s.io/apiserver/pkg/authorization/path`.
#[derive(Debug, Clone)]
pub struct AlwaysAllowPaths {
    /// Without the leading slash.
    paths: HashSet<String>,
    /// Of the paths that end with `*`.
    prefixes: Vec<String>,
}

/// A path with a wildcard that is not its last character.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("only trailing * allowed in {0:?}")]
pub struct InvalidPath(String);

/// Allows requests whose user was sent by a front proxy. The front proxy has authorized them, so
/// that this is sound only if every holder of its certificate does (`kube-apiserver` does).
#[derive(Debug, Clone, Copy)]
pub struct TrustFrontProxy;

/// Allows everything to members of these groups.
#[derive(Debug, Clone)]
pub struct PrivilegedGroups(pub Vec<String>);

impl Default for PrivilegedGroups {
    fn default() -> Self {
        Self(vec![MASTERS_GROUP.to_owned()])
    }
}

impl AlwaysAllowPaths {
    /// Allows these paths. A trailing `*` stands for any rest.
    ///
    /// # Errors
    /// If a `*` is not the last character of a path.
    pub fn new<'p>(allowed: impl IntoIterator<Item = &'p str>) -> Result<Self, InvalidPath> {
        let (mut paths, mut prefixes) = (HashSet::new(), Vec::new());
        for path in allowed {
            let path = path.strip_prefix('/').unwrap_or(path);
            let (start, wildcard) = match path.strip_suffix('*') {
                Some(start) => (start, true),
                None => (path, false),
            };
            if start.contains('*') {
                return Err(InvalidPath(path.to_owned()));
            }
            if wildcard {
                prefixes.push(start.to_owned());
            } else {
                paths.insert(start.to_owned());
            }
        }
        Ok(Self { paths, prefixes })
    }

    fn allows(&self, path: &str) -> bool {
        let path = path.strip_prefix('/').unwrap_or(path);
        let mut prefixes = self.prefixes.iter();
        self.paths.contains(path) || prefixes.any(|prefix| path.starts_with(&**prefix))
    }
}

impl Default for AlwaysAllowPaths {
    fn default() -> Self {
        let paths = probe::PATHS.map(|path| path.trim_start_matches('/').to_owned());
        Self {
            paths: paths.into(),
            prefixes: Vec::new(),
        }
    }
}

#[async_trait]
impl Authorizer for AlwaysAllowPaths {
    async fn authorize(&self, attributes: &Attributes<'_>) -> Verdict {
        let info = attributes.info;
        Verdict::allow_if(!info.is_resource_request && self.allows(&info.path))
    }
}

#[async_trait]
impl Authorizer for TrustFrontProxy {
    async fn authorize(&self, attributes: &Attributes<'_>) -> Verdict {
        Verdict::allow_if(attributes.user.method == Method::FrontProxy)
    }
}

#[async_trait]
impl Authorizer for PrivilegedGroups {
    async fn authorize(&self, attributes: &Attributes<'_>) -> Verdict {
        let mut groups = self.0.iter();
        Verdict::allow_if(groups.any(|group| attributes.user.in_group(group)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allowed_paths_match_exactly_or_by_trailing_wildcard() {
        let allowed = AlwaysAllowPaths::new(["/healthz", "version", "/open*", "/"]).unwrap();
        for (path, expected) in [
            ("/healthz", true),
            ("/healthz/", false),
            ("/healthz/ping", false),
            ("/version", true),
            ("/openapi/v2", true),
            ("/ope", false),
            ("/", true),
            ("/x", false),
        ] {
            assert_eq!(allowed.allows(path), expected, "{path}");
        }
        let error = AlwaysAllowPaths::new(["/a/*/b"]).unwrap_err();
        assert_eq!(error.to_string(), "only trailing * allowed in \"a/*/b\"");
        assert!(AlwaysAllowPaths::default().allows("/readyz"));
    }
}
