//! Validating webhooks: all at once. All are awaited, and the first rejection counts.
//!
//! Source: `k8s.io/apiserver/pkg/admission/plugin/webhook/validating/dispatcher.go`.

use std::sync::Arc;

use api_types::meta::Meta;
use api_types::status::ApiError;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use super::call::{self, Verdict};
use super::hook::Hook;
use super::matching;
use super::metrics::WebhookMetrics;
use super::objects::ReviewObjects;
use crate::admission::Attributes;
use crate::kube::informer::{Namespaces, WebhookKind};

/// The dispatch of a write to validating webhooks.
pub(super) struct Dispatch<'a> {
    pub(super) hooks: &'a [Arc<Hook>],
    pub(super) attributes: &'a Attributes<'a>,
    pub(super) namespaces: &'a Namespaces,
    pub(super) metrics: &'a WebhookMetrics,
}

impl Dispatch<'_> {
    /// Calls the webhooks that match.
    pub(super) async fn run(&self, objects: &mut ReviewObjects) -> Result<(), ApiError> {
        let attributes = self.attributes;
        let mut invocations = Vec::new();
        for hook in self.hooks {
            let both = objects.both();
            let found = matching::invocation(hook, attributes, self.namespaces, both).await?;
            if let Some(invocation) = found {
                let encoded = objects.encoded(&invocation.served).await;
                invocations.push((invocation, encoded));
            }
        }
        // A name that was generated after mutating admission.
        let generated = objects.new_object().map(|new| Meta::of(new).name());
        let name = match attributes.name {
            "" => generated.unwrap_or_default(),
            name => name,
        };
        let compute = objects.compute();
        let calls = invocations.iter().enumerate().map(|(index, invocation)| {
            let (invocation, encoded) = invocation;
            async move {
                let began = Instant::now();
                let outcome = call::call(invocation, attributes, name, encoded, compute).await;
                let hook = &invocation.hook;
                let operation = attributes.operation;
                match call::judge(hook, operation, self.metrics, began, outcome) {
                    Ok(_) => None,
                    Err(Verdict::Rejected(error)) => Some(error),
                    Err(Verdict::Open) => {
                        let prefix = call::failed_open_prefix(WebhookKind::Validating);
                        let key = format!("{prefix}round_0_index_{index}");
                        attributes.annotations.add(key, hook.name.clone());
                        None
                    }
                }
            }
        });
        // bounded: by the webhooks that match, and by the calls in flight.
        let mut calls: FuturesUnordered<_> = calls.collect();
        let mut first = None;
        while let Some(rejection) = calls.next().await {
            first = first.or(rejection);
        }
        first.map_or(Ok(()), Err)
    }
}
