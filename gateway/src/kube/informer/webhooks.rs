//! Configurations of admission webhooks, `admissionregistration.k8s.io/v1`.
//!
//! kube-apiserver has applied the defaults, so absent fields have no meaning of their own here.

use std::collections::BTreeMap;
use std::fmt::Debug;

use ::kube::runtime::watcher::{self, Event};
use ::kube::{Api, Resource, ResourceExt as _};
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::follow::follow;
use crate::kube::client::Client;

/// The kind of a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookKind {
    /// `MutatingWebhookConfiguration`.
    Mutating,
    /// `ValidatingWebhookConfiguration`.
    Validating,
}

/// A configuration of either kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration {
    /// Its name, which is its place in the order of configurations.
    pub name: String,
    /// Its webhooks, in order.
    pub webhooks: Vec<Webhook>,
}

/// A webhook of either kind. Fields as in `admissionregistration.k8s.io/v1`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "the names are Kubernetes' own and say it all")]
pub struct Webhook {
    pub name: String,
    pub client_config: ClientConfig,
    pub rules: Vec<Rule>,
    pub failure_policy: Option<String>,
    pub match_policy: Option<String>,
    pub namespace_selector: Selector,
    pub object_selector: Selector,
    pub side_effects: Option<String>,
    pub timeout_seconds: Option<u32>,
    pub admission_review_versions: Vec<String>,
    pub reinvocation_policy: Option<String>,
    pub match_conditions: Vec<MatchCondition>,
}

/// Where a webhook is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "the names are Kubernetes' own and say it all")]
pub struct ClientConfig {
    pub url: Option<String>,
    pub service: Option<ServiceReference>,
    /// PEM in base64.
    pub ca_bundle: Option<String>,
}

/// The Service of a webhook.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "the names are Kubernetes' own and say it all")]
pub struct ServiceReference {
    pub namespace: String,
    pub name: String,
    pub path: Option<String>,
    pub port: Option<u16>,
}

/// Requests that a webhook concerns.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "the names are Kubernetes' own and say it all")]
pub struct Rule {
    pub operations: Vec<String>,
    pub api_groups: Vec<String>,
    pub api_versions: Vec<String>,
    pub resources: Vec<String>,
    pub scope: Option<String>,
}

/// A label selector as an object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "the names are Kubernetes' own and say it all")]
pub struct Selector {
    pub match_labels: BTreeMap<String, String>,
    pub match_expressions: Vec<SelectorRequirement>,
}

/// A requirement of a label.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "the names are Kubernetes' own and say it all")]
pub struct SelectorRequirement {
    pub key: String,
    pub operator: String,
    pub values: Vec<String>,
}

/// A condition in CEL; its expression is not read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the names are Kubernetes' own and say it all")]
pub struct MatchCondition {
    pub name: String,
}

/// The informer of one kind of configurations.
#[derive(Debug, Clone)]
pub struct WebhookConfigurations {
    client: Client,
    kind: WebhookKind,
}

/// Configurations by name.
#[derive(Debug, Default)]
struct Known {
    found: BTreeMap<String, Configuration>,
    /// The configurations of a list that is not complete yet.
    listed: BTreeMap<String, Configuration>,
}

// === impl WebhookKind ===

impl WebhookKind {
    /// Plural name of the resource.
    #[must_use]
    pub const fn resource(self) -> &'static str {
        match self {
            Self::Mutating => "mutatingwebhookconfigurations",
            Self::Validating => "validatingwebhookconfigurations",
        }
    }
}

// === impl WebhookConfigurations ===

impl WebhookConfigurations {
    /// An informer of the configurations of a cluster.
    #[must_use]
    pub const fn new(client: Client, kind: WebhookKind) -> Self {
        Self { client, kind }
    }

    /// Passes all configurations, sorted by name, to `seen` after each change, until `stop` is
    /// cancelled.
    pub async fn run(self, stop: CancellationToken, seen: impl FnMut(Vec<Configuration>)) {
        let client = self.client.inner.clone();
        match self.kind {
            WebhookKind::Mutating => {
                let api = Api::<MutatingWebhookConfiguration>::all(client);
                self.follow(api, stop, seen, |it| it.webhooks).await;
            }
            WebhookKind::Validating => {
                let api = Api::<ValidatingWebhookConfiguration>::all(client);
                self.follow(api, stop, seen, |it| it.webhooks).await;
            }
        }
    }

    async fn follow<K, W>(
        &self,
        api: Api<K>,
        stop: CancellationToken,
        mut seen: impl FnMut(Vec<Configuration>),
        webhooks: fn(K) -> Option<Vec<W>>,
    ) where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
        W: Serialize,
    {
        let mut known = Known::default();
        let apply = |event: Event<K>| {
            let read = |object: K| Configuration {
                name: object.name_any(),
                webhooks: read_all(webhooks(object).unwrap_or_default()),
            };
            if known.apply(event, read) {
                seen(known.found.values().cloned().collect());
            }
        };
        let what = self.kind.resource();
        follow(what, api, watcher::Config::default(), stop, apply).await;
    }
}

fn read_all(webhooks: Vec<impl Serialize>) -> Vec<Webhook> {
    let read = webhooks.into_iter().map(|webhook| {
        let value = serde_json::to_value(webhook).unwrap_or_default();
        serde_json::from_value(value)
    });
    let read: Result<Vec<Webhook>, _> = read.collect();
    // Not reached: kube-apiserver has validated the types.
    read.unwrap_or_else(|error| {
        tracing::error!(%error, "cannot read a webhook, ignoring its configuration");
        Vec::new()
    })
}

// === impl Known ===

impl Known {
    /// Applies an event; returns whether the configurations may have changed.
    fn apply<K: Resource>(&mut self, event: Event<K>, read: impl Fn(K) -> Configuration) -> bool {
        match event {
            Event::Init => {
                self.listed.clear();
                false
            }
            Event::InitApply(object) => {
                let configuration = read(object);
                self.listed
                    .insert(configuration.name.clone(), configuration);
                false
            }
            Event::InitDone => {
                self.found = std::mem::take(&mut self.listed);
                true
            }
            Event::Apply(object) => {
                let configuration = read(object);
                self.found.insert(configuration.name.clone(), configuration);
                true
            }
            Event::Delete(object) => self.found.remove(&object.name_any()).is_some(),
        }
    }
}
