//! Which requests are recorded, and how much of each.
//!
//! Source of schema and rules: `k8s.io/apiserver/pkg/{apis/audit/v1,apis/audit/validation,
//! audit/policy}`. Unlike there, unknown fields are errors: a misspelt field would silently record
//! less than intended.

mod read;

use api_types::request_info::RequestInfo;
use serde::Deserialize;

pub use self::read::Error;
use crate::request::User;

/// How much of a request is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
pub enum Level {
    /// Nothing.
    None,
    /// User, verb, object and result.
    Metadata,
    /// As `Metadata`, with the body of the request.
    Request,
    /// As `Request`, with the body of the response.
    RequestResponse,
}

/// A point in the processing of a request at which an event is submitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
pub enum Stage {
    /// Before the request is processed.
    RequestReceived,
    /// When the head of a long-running response is sent.
    ResponseStarted,
    /// When the response is complete.
    ResponseComplete,
    /// When the processing panicked.
    Panic,
}

/// What is recorded of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// How much.
    pub level: Level,
    /// Stages without an event.
    pub omit_stages: Vec<Stage>,
    /// Whether objects are recorded without `metadata.managedFields`.
    pub omit_managed_fields: bool,
}

/// A policy: the first rule that matches a request decides. Without one nothing is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    rules: Vec<Rule>,
}

/// A rule. Empty lists match everything.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    decision: Decision,
    users: Vec<String>,
    user_groups: Vec<String>,
    verbs: Vec<String>,
    resources: Vec<GroupResources>,
    namespaces: Vec<String>,
    non_resource_urls: Vec<String>,
}

/// Resources of a group. An empty group is the core group, an empty list all resources.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct GroupResources {
    group: String,
    #[serde(deserialize_with = "read::list")]
    resources: Vec<String>,
    #[serde(deserialize_with = "read::list")]
    resource_names: Vec<String>,
}

impl Level {
    /// All levels.
    pub const ALL: [Self; 4] = [
        Self::None,
        Self::Metadata,
        Self::Request,
        Self::RequestResponse,
    ];

    /// The name in policies and events.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Metadata => "Metadata",
            Self::Request => "Request",
            Self::RequestResponse => "RequestResponse",
        }
    }
}

impl Stage {
    /// The name in policies and events.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RequestReceived => "RequestReceived",
            Self::ResponseStarted => "ResponseStarted",
            Self::ResponseComplete => "ResponseComplete",
            Self::Panic => "Panic",
        }
    }
}

impl Policy {
    /// What is recorded of a request; `None` if nothing is. `user` is `None` if the authentication
    /// failed.
    #[must_use]
    pub fn decide(&self, info: &RequestInfo, user: Option<&User>) -> Option<&Decision> {
        let rule = self.rules.iter().find(|rule| rule.matches(info, user))?;
        (rule.decision.level != Level::None).then_some(&rule.decision)
    }
}

impl Rule {
    fn matches(&self, info: &RequestInfo, user: Option<&User>) -> bool {
        let named = user.is_some_and(|user| contains(&self.users, &user.name));
        if !self.users.is_empty() && !named {
            return false;
        }
        let grouped = || {
            let mut groups = user.into_iter().flat_map(|user| &user.groups);
            groups.any(|group| contains(&self.user_groups, group))
        };
        if !self.user_groups.is_empty() && !grouped() {
            return false;
        }
        if !self.verbs.is_empty() && !contains(&self.verbs, info.verb.as_str()) {
            return false;
        }
        if !self.namespaces.is_empty() || !self.resources.is_empty() {
            return info.is_resource_request && self.matches_resource(info);
        }
        self.non_resource_urls.is_empty()
            || (!info.is_resource_request && self.matches_path(&info.path))
    }

    fn matches_path(&self, path: &str) -> bool {
        self.non_resource_urls.iter().any(|url| {
            url == "*"
                || url == path
                || (url.ends_with('*') && path.starts_with(url.trim_end_matches('*')))
        })
    }

    fn matches_resource(&self, info: &RequestInfo) -> bool {
        // The namespace of cluster-scoped resources is empty.
        if !self.namespaces.is_empty() && !contains(&self.namespaces, &info.namespace) {
            return false;
        }
        self.resources.is_empty() || self.resources.iter().any(|group| group.matches(info))
    }
}

impl GroupResources {
    fn matches(&self, info: &RequestInfo) -> bool {
        if self.group != "*" && self.group != info.group {
            return false;
        }
        if self.resources.is_empty() {
            return true;
        }
        let named = self.resource_names.is_empty() || contains(&self.resource_names, &info.name);
        named
            && self
                .resources
                .iter()
                .any(|pattern| addresses(pattern, info))
    }
}

/// Whether `resource`, `resource/subresource`, `*`, `*/subresource` or `resource/*` is the resource
/// of a request.
fn addresses(pattern: &str, info: &RequestInfo) -> bool {
    if pattern == "*" {
        return true;
    }
    match pattern.split_once('/') {
        None => info.subresource.is_empty() && pattern == info.resource,
        Some((resource, "*")) => resource == info.resource,
        Some(("*", subresource)) => !info.subresource.is_empty() && subresource == info.subresource,
        Some((resource, subresource)) => {
            resource == info.resource && subresource == info.subresource
        }
    }
}

fn contains(list: &[String], value: &str) -> bool {
    list.iter().any(|one| one == value)
}

#[cfg(test)]
mod tests;
