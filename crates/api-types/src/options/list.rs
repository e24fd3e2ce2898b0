//! Options of list, watch and delete collection.

use super::check;
use super::query::Query;
use crate::field;
use crate::selector::{FieldSelector, LabelSelector, SelectorError};
use crate::status::ApiError;

/// Options of listing and watching.
///
/// `resourceVersion` remains text, because its errors differ between list and watch: see
/// [`crate::resource_version`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListOptions {
    label_selector: LabelSelector,
    field_selector: FieldSelector,
    watch: bool,
    allow_watch_bookmarks: bool,
    resource_version: String,
    version_match: Option<VersionMatch>,
    timeout_seconds: Option<i64>,
    limit: i64,
    continue_token: String,
    send_initial_events: Option<bool>,
    legacy_initial_events: bool,
}

/// Relation of a list's state to the requested revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionMatch {
    /// Exactly that revision.
    Exact,
    /// That revision or any later one.
    NotOlderThan,
}

impl ListOptions {
    /// Parses a query.
    ///
    /// # Errors
    ///
    /// 400 for a value that cannot be parsed, 422 for values that are not permitted together.
    pub fn parse(query: &str) -> Result<Self, ApiError> {
        let query = Query::new(query);
        let bad = |error: SelectorError| ApiError::bad_request(error.to_string());
        let mut options = Self {
            label_selector: LabelSelector::parse(query.text("labelSelector")).map_err(bad)?,
            field_selector: FieldSelector::parse(query.text("fieldSelector")).map_err(bad)?,
            watch: query.boolean("watch").unwrap_or(false),
            allow_watch_bookmarks: query.boolean("allowWatchBookmarks").unwrap_or(false),
            resource_version: query.text("resourceVersion").to_owned(),
            timeout_seconds: query.integer("timeoutSeconds")?,
            limit: query.integer("limit")?.unwrap_or(0),
            continue_token: query.text("continue").to_owned(),
            send_initial_events: query.boolean("sendInitialEvents"),
            ..Self::default()
        };
        let version_match = query.text("resourceVersionMatch");
        options.legacy_initial_events = options.watch
            && options.send_initial_events.is_none()
            && version_match.is_empty()
            && matches!(options.resource_version.as_str(), "" | "0");
        let errors = if options.watch {
            options.check_watch(version_match)
        } else {
            options.check_list(version_match)
        };
        check("ListOptions", &errors)?;
        options.version_match = match version_match {
            "Exact" => Some(VersionMatch::Exact),
            "NotOlderThan" => Some(VersionMatch::NotOlderThan),
            _ => None,
        };
        Ok(options)
    }

    /// Restricts the options to one object, for a request whose path names it.
    ///
    /// # Errors
    ///
    /// 400 if the field selector requires another name.
    pub fn for_name(mut self, name: &str) -> Result<Self, ApiError> {
        if self.field_selector.is_empty() {
            self.field_selector = FieldSelector::equal("metadata.name", name);
        } else if self.field_selector.required("metadata.name") != Some(name) {
            return Err(ApiError::bad_request(
                "fieldSelector metadata.name doesn't match requested name",
            ));
        }
        Ok(self)
    }

    /// The label selector.
    #[must_use]
    pub const fn label_selector(&self) -> &LabelSelector {
        &self.label_selector
    }

    /// The field selector.
    #[must_use]
    pub const fn field_selector(&self) -> &FieldSelector {
        &self.field_selector
    }

    /// Whether the query requests a watch.
    #[must_use]
    pub const fn watch(&self) -> bool {
        self.watch
    }

    /// Whether the client accepts bookmarks.
    #[must_use]
    pub const fn allow_watch_bookmarks(&self) -> bool {
        self.allow_watch_bookmarks
    }

    /// The requested revision, as text.
    #[must_use]
    pub fn resource_version(&self) -> &str {
        &self.resource_version
    }

    /// The relation to the requested revision.
    #[must_use]
    pub const fn version_match(&self) -> Option<VersionMatch> {
        self.version_match
    }

    /// Timeout in seconds; if unset or 0, the server chooses it.
    #[must_use]
    pub const fn timeout_seconds(&self) -> Option<i64> {
        self.timeout_seconds
    }

    /// Limit of returned objects; `None` if it was 0 or less.
    #[must_use]
    pub fn limit(&self) -> Option<usize> {
        usize::try_from(self.limit).ok().filter(|&limit| limit > 0)
    }

    /// The continue token; empty for a new list.
    #[must_use]
    pub fn continue_token(&self) -> &str {
        &self.continue_token
    }

    /// Whether the client requested the current objects as the first events of the watch, followed
    /// by a bookmark. A watch without a revision gets them in any case, but without that bookmark:
    /// see [`Self::legacy_initial_events`].
    #[must_use]
    pub fn send_initial_events(&self) -> Option<bool> {
        self.send_initial_events
    }

    /// Whether this is a watch without a revision or from `0`, which starts with the current
    /// objects.
    #[must_use]
    pub const fn legacy_initial_events(&self) -> bool {
        self.legacy_initial_events
    }

    fn check_list(&self, version_match: &str) -> Vec<field::Error> {
        let mut errors = Vec::new();
        if !version_match.is_empty() {
            let mut forbid = |why| errors.push(forbidden_match(why));
            if self.resource_version.is_empty() {
                forbid("resourceVersionMatch is forbidden unless resourceVersion is provided");
            }
            if !self.continue_token.is_empty() {
                forbid("resourceVersionMatch is forbidden when continue is provided");
            }
            if !matches!(version_match, "Exact" | "NotOlderThan") {
                let supported = ["Exact", "NotOlderThan", ""];
                errors.push(unsupported_match(version_match, &supported));
            }
            if version_match == "Exact" && self.resource_version == "0" {
                errors.push(forbidden_match(
                    "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
                ));
            }
        }
        if self.send_initial_events.is_some() {
            errors.push(field::Error::forbidden(
                "sendInitialEvents",
                "sendInitialEvents is forbidden for list",
            ));
        }
        errors
    }

    fn check_watch(&self, version_match: &str) -> Vec<field::Error> {
        let mut errors = Vec::new();
        let not_older = version_match == "NotOlderThan";
        if self.send_initial_events.is_some() && !not_older {
            errors.push(forbidden_match(
                "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            ));
        }
        if !version_match.is_empty() {
            if self.send_initial_events.is_none() {
                errors.push(forbidden_match(
                    "resourceVersionMatch is forbidden for watch unless sendInitialEvents is \
                     provided",
                ));
            }
            if !not_older {
                errors.push(unsupported_match(version_match, &["NotOlderThan"]));
            }
        }
        // As in kube-apiserver, a watch without a revision counts as one that requested initial
        // events, and so as one with a match.
        let matched = !version_match.is_empty() || self.legacy_initial_events;
        if matched && !self.continue_token.is_empty() {
            errors.push(forbidden_match(
                "resourceVersionMatch is forbidden when continue is provided",
            ));
        }
        errors
    }
}

fn forbidden_match(why: &str) -> field::Error {
    field::Error::forbidden("resourceVersionMatch", why)
}

fn unsupported_match(value: &str, supported: &[&str]) -> field::Error {
    field::Error::not_supported("resourceVersionMatch", value, supported)
}
