//! Reads a policy file.

use std::path::Path;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::config_file::{self, ConfigFileError};

use super::{Decision, GroupResources, Level, Policy, Rule, Stage};

const VERSION: &str = "audit.k8s.io/v1";
const STAGES: &str = "RequestReceived, ResponseStarted, ResponseComplete or Panic";

/// Why a policy cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read, or is no valid policy.
    #[error("--audit-policy-file: {0}")]
    File(#[from] ConfigFileError),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Document {
    api_version: Option<String>,
    kind: Option<String>,
    #[serde(default, rename = "metadata")]
    _metadata: Value,
    #[serde(default, deserialize_with = "list")]
    rules: Vec<Value>,
    #[serde(default, deserialize_with = "list")]
    omit_stages: Vec<String>,
    #[serde(default)]
    omit_managed_fields: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct RuleDocument {
    level: String,
    #[serde(deserialize_with = "list")]
    users: Vec<String>,
    #[serde(deserialize_with = "list")]
    user_groups: Vec<String>,
    #[serde(deserialize_with = "list")]
    verbs: Vec<String>,
    #[serde(deserialize_with = "list")]
    resources: Vec<GroupResources>,
    #[serde(deserialize_with = "list")]
    namespaces: Vec<String>,
    #[serde(rename = "nonResourceURLs", deserialize_with = "list")]
    non_resource_urls: Vec<String>,
    #[serde(deserialize_with = "list")]
    omit_stages: Vec<String>,
    omit_managed_fields: Option<bool>,
}

/// A list; null is an empty one.
pub(super) fn list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::<Vec<T>>::deserialize(deserializer).map(Option::unwrap_or_default)
}

impl Policy {
    /// Reads a policy file.
    ///
    /// # Errors
    /// If the file cannot be read or is no valid policy.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let policy = Self::parse(&config_file::bytes(path)?);
        Ok(policy.map_err(|problem| ConfigFileError::invalid(path, problem))?)
    }

    /// Parses a policy in YAML or JSON.
    ///
    /// # Errors
    /// What is wrong, and how to fix it.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let document: Document = config_file::members(config_file::document(text)?)?;
        let version = document.api_version.as_deref().unwrap_or_default();
        let kind = document.kind.as_deref().unwrap_or_default();
        if (version, kind) != (VERSION, "Policy") {
            return Err(format!(
                "apiVersion {version:?} and kind {kind:?} are not those of an audit policy: set \
                 apiVersion: {VERSION} and kind: Policy"
            ));
        }
        let omitted = stages("omitStages", &document.omit_stages)?;
        let rules = document.rules.into_iter().enumerate().map(|(at, rule)| {
            let rule = config_file::members::<RuleDocument>(rule);
            let rule = rule.and_then(|rule| {
                let mut rule = rule.into_rule(document.omit_managed_fields)?;
                rule.decision.omit_stages.extend(&omitted);
                Ok(rule)
            });
            rule.map_err(|problem| format!("rules[{at}]: {problem}"))
        });
        let rules = rules.collect::<Result<Vec<_>, _>>()?;
        if rules.is_empty() {
            return Err("has no rules: add one, such as `- level: Metadata`".to_owned());
        }
        Ok(Self { rules })
    }
}

impl RuleDocument {
    fn into_rule(self, omit_managed_fields: bool) -> Result<Rule, String> {
        let level = Level::ALL.into_iter().find(|it| it.as_str() == self.level);
        let level = level.ok_or_else(|| {
            let level = &self.level;
            format!("level {level:?}: set None, Metadata, Request or RequestResponse")
        })?;
        self.non_resource_urls
            .iter()
            .try_for_each(|url| path(url))?;
        self.resources.iter().try_for_each(GroupResources::check)?;
        let of_resources = !self.resources.is_empty() || !self.namespaces.is_empty();
        if of_resources && !self.non_resource_urls.is_empty() {
            return Err(
                "nonResourceURLs cannot be combined with resources or namespaces: use two rules"
                    .to_owned(),
            );
        }
        Ok(Rule {
            decision: Decision {
                level,
                omit_stages: stages("omitStages", &self.omit_stages)?,
                omit_managed_fields: self.omit_managed_fields.unwrap_or(omit_managed_fields),
            },
            users: self.users,
            user_groups: self.user_groups,
            verbs: self.verbs,
            resources: self.resources,
            namespaces: self.namespaces,
            non_resource_urls: self.non_resource_urls,
        })
    }
}

impl GroupResources {
    fn check(&self) -> Result<(), String> {
        let group = self.group.as_str();
        let valid =
            matches!(group, "" | "*") || api_types::names::dns1123_subdomain(group).is_empty();
        if !valid {
            return Err(format!(
                "resources: group {group:?} is not the name of an API group: omit the version"
            ));
        }
        if !self.resource_names.is_empty() && self.resources.is_empty() {
            return Err("resourceNames needs resources: name at least one".to_owned());
        }
        Ok(())
    }
}

fn path(url: &str) -> Result<(), String> {
    if url == "*" {
        return Ok(());
    }
    if !url.starts_with('/') {
        return Err(format!("nonResourceURLs: {url:?} must begin with '/'"));
    }
    let inner = url.strip_suffix('*').unwrap_or(url);
    if inner.contains('*') {
        return Err(format!(
            "nonResourceURLs: {url:?}: '*' must be the last character"
        ));
    }
    Ok(())
}

fn stages(field: &str, names: &[String]) -> Result<Vec<Stage>, String> {
    let all = [
        Stage::RequestReceived,
        Stage::ResponseStarted,
        Stage::ResponseComplete,
        Stage::Panic,
    ];
    let named = names.iter().map(|name| {
        let stage = all.into_iter().find(|stage| stage.as_str() == name);
        stage.ok_or_else(|| format!("{field}: {name:?} is not a stage: use {STAGES}"))
    });
    named.collect()
}
