//! A configured webhook, prepared for matching and calling.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use api_types::selector::LabelSelector;

use super::client::{Clients, WebhookClient};
use super::rules::Rule;
use crate::kube::informer::WebhookKind;
use crate::kube::informer::webhooks::{Configuration, Selector, Webhook};

/// Timeout of a webhook that sets none: kube-apiserver's default.
const DEFAULT_TIMEOUT: u32 = 10;

/// A webhook.
#[derive(Debug)]
pub(super) struct Hook {
    pub(super) kind: WebhookKind,
    pub(super) name: String,
    pub(super) configuration: Arc<str>,
    /// Distinguishes it from all other webhooks of its kind.
    pub(super) uid: String,
    pub(super) rules: Vec<Rule>,
    /// Whether rules for another version of the resource match: `matchPolicy: Equivalent`.
    pub(super) equivalent: bool,
    pub(super) namespaces: Result<LabelSelector, String>,
    pub(super) objects: Result<LabelSelector, String>,
    /// Whether the write goes on if the webhook cannot be called: `failurePolicy: Ignore`.
    pub(super) ignore_failures: bool,
    pub(super) side_effects: SideEffects,
    pub(super) timeout: Duration,
    /// None if it accepts no known version.
    pub(super) version: Option<ReviewVersion>,
    /// `reinvocationPolicy: IfNeeded`.
    pub(super) reinvoked: bool,
    /// Whether it has conditions in CEL, which are not evaluated.
    pub(super) conditional: bool,
    pub(super) client: Result<Arc<WebhookClient>, String>,
}

/// Whether a webhook may be called for a dry run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SideEffects {
    /// It may.
    None,
    /// It may not.
    Some,
    /// The webhook does not state it.
    Unknown,
}

/// A version of AdmissionReview.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReviewVersion {
    V1,
    V1Beta1,
}

impl ReviewVersion {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V1Beta1 => "v1beta1",
        }
    }

    pub(super) const fn api_version(self) -> &'static str {
        match self {
            Self::V1 => "admission.k8s.io/v1",
            Self::V1Beta1 => "admission.k8s.io/v1beta1",
        }
    }
}

/// The webhooks of configurations, in the order in which they are called.
pub(super) fn hooks(
    kind: WebhookKind,
    configurations: &[Configuration],
    clients: &Clients,
) -> Vec<Arc<Hook>> {
    let mut hooks = Vec::new();
    for configuration in configurations {
        let name: Arc<str> = configuration.name.as_str().into();
        // Two webhooks of a configuration may have the same name.
        let mut seen = HashMap::<&str, usize>::new();
        for webhook in &configuration.webhooks {
            let count = seen.entry(&webhook.name).or_default();
            let uid = format!("{name}/{}/{count}", webhook.name);
            *count += 1;
            hooks.push(Arc::new(Hook::of(kind, webhook, &name, uid, clients)));
        }
    }
    hooks
}

impl Hook {
    fn of(
        kind: WebhookKind,
        webhook: &Webhook,
        configuration: &Arc<str>,
        uid: String,
        clients: &Clients,
    ) -> Self {
        let mut versions = webhook.admission_review_versions.iter();
        let is = |field: &Option<String>, value: &str| field.as_deref() == Some(value);
        Self {
            kind,
            name: webhook.name.clone(),
            configuration: Arc::clone(configuration),
            uid,
            rules: webhook.rules.iter().map(Rule::of).collect(),
            equivalent: is(&webhook.match_policy, "Equivalent"),
            namespaces: selector(&webhook.namespace_selector),
            objects: selector(&webhook.object_selector),
            ignore_failures: is(&webhook.failure_policy, "Ignore"),
            side_effects: match webhook.side_effects.as_deref() {
                Some("None" | "NoneOnDryRun") => SideEffects::None,
                Some(_) => SideEffects::Some,
                None => SideEffects::Unknown,
            },
            timeout: Duration::from_secs(webhook.timeout_seconds.unwrap_or(DEFAULT_TIMEOUT).into()),
            version: versions.find_map(|version| match version.as_str() {
                "v1" => Some(ReviewVersion::V1),
                "v1beta1" => Some(ReviewVersion::V1Beta1),
                _ => None,
            }),
            reinvoked: is(&webhook.reinvocation_policy, "IfNeeded"),
            conditional: !webhook.match_conditions.is_empty(),
            client: clients.client(&webhook.client_config),
        }
    }
}

/// The selector as `LabelSelectorAsSelector` of `k8s.io/apimachinery` makes it.
fn selector(selector: &Selector) -> Result<LabelSelector, String> {
    let mut text = String::new();
    let mut add = |requirement: std::fmt::Arguments<'_>| {
        if !text.is_empty() {
            text.push(',');
        }
        // Writing to a String cannot fail.
        let _ = text.write_fmt(requirement);
    };
    for (key, value) in &selector.match_labels {
        add(format_args!("{key}={value}"));
    }
    for one in &selector.match_expressions {
        let (key, values) = (&one.key, one.values.join(","));
        match &*one.operator {
            "In" => add(format_args!("{key} in ({values})")),
            "NotIn" => add(format_args!("{key} notin ({values})")),
            "Exists" => add(format_args!("{key}")),
            "DoesNotExist" => add(format_args!("!{key}")),
            other => return Err(format!("{other:?} is not a valid label selector operator")),
        }
    }
    LabelSelector::parse(&text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    fn check(selector_json: serde_json::Value, labels: &[(&str, &str)], expected: bool) {
        let parsed: Selector = serde_json::from_value(selector_json).unwrap();
        let labels = labels
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let labels: BTreeMap<String, String> = labels.collect();
        assert_eq!(selector(&parsed).unwrap().matches(&labels), expected);
    }

    #[test]
    fn selectors_match_as_in_kube_apiserver() {
        check(json!({}), &[], true);
        check(json!({"matchLabels": {"a": "1"}}), &[("a", "1")], true);
        check(json!({"matchLabels": {"a": ""}}), &[("a", "1")], false);
        let key = "example.com/a";
        let not_in = json!({"matchExpressions": [
            {"key": key, "operator": "NotIn", "values": ["x", "y"]},
        ]});
        check(not_in.clone(), &[(key, "x")], false);
        check(not_in, &[], true);
        let both = json!({
            "matchLabels": {"a": "1"},
            "matchExpressions": [
                {"key": "b", "operator": "Exists"},
                {"key": "c", "operator": "DoesNotExist"},
                {"key": "a", "operator": "In", "values": ["1", "2"]},
            ],
        });
        check(both.clone(), &[("a", "1"), ("b", "")], true);
        check(both.clone(), &[("a", "1"), ("b", ""), ("c", "")], false);
        check(both, &[("a", "2"), ("b", "")], false);
        let wrong = json!({"matchExpressions": [{"key": "a", "operator": "Near"}]});
        let wrong: Selector = serde_json::from_value(wrong).unwrap();
        assert!(selector(&wrong).is_err());
    }
}
