//! Which webhooks are called for a write.
//!
//! Source: `ShouldCallHook` in `k8s.io/apiserver/pkg/admission/plugin/webhook/generic/webhook.go`.

use std::sync::Arc;

use api_types::gvk::GroupResource;
use api_types::selector::LabelSelector;
use api_types::status::ApiError;
use serde_json::{Map, Value};

use super::hook::Hook;
use crate::admission::Attributes;
use crate::kube::informer::Namespaces;
use crate::resources::Served;

/// A webhook to call, and the version that it gets.
#[derive(Debug, Clone)]
pub(super) struct Invocation {
    pub(super) hook: Arc<Hook>,
    pub(super) served: Served,
}

/// Whether a rule of the webhook concerns the write, whatever its selectors.
pub(super) fn concerns(hook: &Hook, attributes: &Attributes<'_>) -> bool {
    version(hook, attributes).is_some()
}

/// The invocation of a webhook for a write; none if it does not match. Either object may have the
/// labels that the webhook selects.
///
/// # Errors
/// If the labels of the namespace are unknown.
pub(super) async fn invocation(
    hook: &Arc<Hook>,
    attributes: &Attributes<'_>,
    namespaces: &Namespaces,
    objects: [Option<&Value>; 2],
) -> Result<Option<Invocation>, ApiError> {
    let Some(served) = version(hook, attributes) else {
        return Ok(None);
    };
    let objects_match = match &hook.objects {
        Ok(selector) => selector.is_empty() || objects.iter().any(|it| has_labels(*it, selector)),
        Err(error) => return Err(ApiError::internal(error)),
    };
    if !objects_match || !in_namespace(hook, attributes.namespace, namespaces).await? {
        return Ok(None);
    }
    Ok(Some(Invocation {
        hook: Arc::clone(hook),
        served,
    }))
}

/// The version of the resource for which a rule of the webhook concerns the write: that of the
/// request, or an equivalent one in the order of the rules.
fn version(hook: &Hook, attributes: &Attributes<'_>) -> Option<Served> {
    let served = attributes.served;
    let own = &served.version().name;
    if hook.rules.iter().any(|rule| rule.matches(attributes, own)) {
        return Some(served.clone());
    }
    if !hook.equivalent {
        return None;
    }
    let others = || {
        let versions = served.resource().definition().versions.iter();
        versions.filter(|version| {
            version.served
                && version.name != *own
                && match attributes.subresource {
                    "status" => version.status,
                    "scale" => version.scale.is_some(),
                    _ => true,
                }
        })
    };
    hook.rules.iter().find_map(|rule| {
        let other = others().find(|version| rule.matches(attributes, &version.name))?;
        served.in_version(&other.name)
    })
}

fn has_labels(object: Option<&Value>, selector: &LabelSelector) -> bool {
    let none = Map::new();
    object.is_some_and(|object| {
        let labels = object.get("metadata").and_then(|it| it.get("labels"));
        selector.matches(labels.and_then(Value::as_object).unwrap_or(&none))
    })
}

async fn in_namespace(
    hook: &Hook,
    namespace: &str,
    namespaces: &Namespaces,
) -> Result<bool, ApiError> {
    if namespace.is_empty() {
        return Ok(true);
    }
    let selector = match &hook.namespaces {
        Ok(selector) if selector.is_empty() => return Ok(true),
        Ok(selector) => selector,
        Err(error) => return Err(ApiError::internal(error)),
    };
    let known = match namespaces.labels(namespace) {
        Some(labels) => Some(labels),
        None => {
            let found = namespaces.look_up_labels(namespace).await;
            found.map_err(ApiError::internal)?
        }
    };
    let labels = known
        .ok_or_else(|| ApiError::not_found(&GroupResource::new("", "namespaces"), namespace))?;
    Ok(selector.matches(&*labels))
}
