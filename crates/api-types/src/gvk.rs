//! Names of API groups, versions, kinds and resources.

use std::fmt;

/// An API group and version, `apps/v1` or `v1` for the core group.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupVersion {
    /// The group; empty for the core group.
    pub group: String,
    /// The version.
    pub version: String,
}

/// A kind in one version of its group.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupVersionKind {
    /// The group; empty for the core group.
    pub group: String,
    /// The version.
    pub version: String,
    /// The kind, such as `Query`.
    pub kind: String,
}

/// A kind without a version.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupKind {
    /// The group; empty for the core group.
    pub group: String,
    /// The kind, such as `Query`.
    pub kind: String,
}

/// A resource without a version.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupResource {
    /// The group; empty for the core group.
    pub group: String,
    /// The plural name in paths, such as `queries`.
    pub resource: String,
}

/// Why a text is not an `apiVersion`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unexpected GroupVersion string: {0}")]
pub struct BadGroupVersion(String);

// === impl GroupVersion ===

impl GroupVersion {
    /// A group and version.
    #[must_use]
    pub fn new(group: impl Into<String>, version: impl Into<String>) -> Self {
        Self {
            group: group.into(),
            version: version.into(),
        }
    }

    /// Parses an `apiVersion`. The empty text and `/` have neither group nor version.
    ///
    /// # Errors
    ///
    /// If there is more than one slash.
    pub fn parse(text: &str) -> Result<Self, BadGroupVersion> {
        if text == "/" {
            return Ok(Self::default());
        }
        match text.split_once('/') {
            None => Ok(Self::new("", text)),
            Some((group, version)) if !version.contains('/') => Ok(Self::new(group, version)),
            Some(_) => Err(BadGroupVersion(text.to_owned())),
        }
    }

    /// A kind of this group and version.
    #[must_use]
    pub fn kind(&self, kind: impl Into<String>) -> GroupVersionKind {
        GroupVersionKind {
            group: self.group.clone(),
            version: self.version.clone(),
            kind: kind.into(),
        }
    }
}

impl fmt::Display for GroupVersion {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.group.is_empty() {
            out.write_str(&self.version)
        } else {
            write!(out, "{}/{}", self.group, self.version)
        }
    }
}

// === impl GroupVersionKind ===

impl GroupVersionKind {
    /// The `apiVersion` of the kind.
    #[must_use]
    pub fn group_version(&self) -> GroupVersion {
        GroupVersion::new(&self.group, &self.version)
    }

    /// The kind without its version.
    #[must_use]
    pub fn group_kind(&self) -> GroupKind {
        GroupKind::new(&self.group, &self.kind)
    }
}

impl fmt::Display for GroupVersionKind {
    /// Go's format, `apps/v1, Kind=Deployment`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}, Kind={}", self.group, self.version, self.kind)
    }
}

// === impl GroupKind ===

impl GroupKind {
    /// A kind of a group.
    #[must_use]
    pub fn new(group: impl Into<String>, kind: impl Into<String>) -> Self {
        Self {
            group: group.into(),
            kind: kind.into(),
        }
    }
}

impl fmt::Display for GroupKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        qualified(&self.kind, &self.group, out)
    }
}

// === impl GroupResource ===

impl GroupResource {
    /// A resource of a group.
    #[must_use]
    pub fn new(group: impl Into<String>, resource: impl Into<String>) -> Self {
        Self {
            group: group.into(),
            resource: resource.into(),
        }
    }

    /// Whether group and resource are both empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.group.is_empty() && self.resource.is_empty()
    }
}

impl fmt::Display for GroupResource {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        qualified(&self.resource, &self.group, out)
    }
}

/// `name.group`, or the name alone in the core group.
fn qualified(name: &str, group: &str, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    if group.is_empty() {
        out.write_str(name)
    } else {
        write!(out, "{name}.{group}")
    }
}

#[cfg(test)]
mod tests {
    use super::{GroupKind, GroupResource, GroupVersion};

    #[test]
    fn api_version_splits_at_the_slash() {
        let check = |text: &str, group: &str, version: &str| {
            let parsed = GroupVersion::parse(text).expect("an apiVersion");
            assert_eq!(parsed, GroupVersion::new(group, version), "{text}");
        };
        check("", "", "");
        check("/", "", "");
        check("v1", "", "v1");
        check("apps/v1", "apps", "v1");
        check("apps/", "apps", "");
        check("/v1", "", "v1");
        let error = GroupVersion::parse("a/b/c").expect_err("two slashes");
        assert_eq!(error.to_string(), "unexpected GroupVersion string: a/b/c");
    }

    #[test]
    fn names_print_as_go_prints_them() {
        assert_eq!(GroupVersion::new("", "v1").to_string(), "v1");
        let foos = GroupResource::new("x.example.com", "foos");
        assert_eq!(foos.to_string(), "foos.x.example.com");
        assert_eq!(GroupKind::new("", "Pod").to_string(), "Pod");
        let kind = GroupVersion::new("x.example.com", "v1").kind("Foo");
        assert_eq!(kind.to_string(), "x.example.com/v1, Kind=Foo");
    }
}
