//! Rejects creates in namespaces that do not exist or that are being deleted, so that the
//! namespace controller can finish.
//!
//! Source: `k8s.io/apiserver/pkg/admission/plugin/namespace/lifecycle`. Its protection of the
//! namespaces `default`, `kube-system` and `kube-public` concerns deletes of Namespace objects,
//! which are kube-apiserver's.

use std::time::Duration;

use api_types::gvk::GroupResource;
use api_types::meta::Meta;
use api_types::status::{ApiError, Cause};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::{Attributes, Gate, Operation};
use crate::kube::informer::{Namespaces, Phase};

/// Longest wait for the first list of namespaces: `timeToWaitForReady` of
/// `k8s.io/apiserver/pkg/admission/handler.go`.
const READY_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for the informer to see a namespace that was created just before: `missingNamespaceWait`.
const MISSING_NAMESPACE_WAIT: Duration = Duration::from_millis(50);

/// The step.
#[derive(Debug)]
pub struct NamespaceLifecycle {
    namespaces: Namespaces,
}

impl NamespaceLifecycle {
    /// Decides by these namespaces.
    pub fn new(namespaces: Namespaces) -> Self {
        Self { namespaces }
    }

    async fn check(
        &self,
        attributes: &Attributes<'_>,
        new: Option<&Value>,
    ) -> Result<(), ApiError> {
        let name = attributes.namespace;
        if name.is_empty() {
            return Ok(());
        }
        let synced = timeout(READY_TIMEOUT, self.namespaces.synced()).await;
        if synced.is_err() {
            return Err(forbidden(
                attributes,
                new,
                "not yet ready to handle request",
            ));
        }
        let mut phase = self.namespaces.get(name);
        if phase.is_none() {
            sleep(MISSING_NAMESPACE_WAIT).await;
            phase = self.namespaces.get(name);
        }
        let is_uncertain = match phase {
            None => true,
            Some(Phase::Active) => self.namespaces.was_deleted_recently(name),
            Some(Phase::Terminating) => false,
        };
        if is_uncertain {
            let found = self.namespaces.look_up(name).await;
            phase = found.map_err(ApiError::internal)?;
        }
        match phase {
            Some(Phase::Active) => Ok(()),
            None => {
                let namespaces = GroupResource::new("", "namespaces");
                Err(ApiError::not_found(&namespaces, name))
            }
            Some(Phase::Terminating) => {
                let text = format!(
                    "unable to create new content in namespace {name} because it is being terminated"
                );
                let cause = Cause {
                    reason: "NamespaceTerminating".to_owned(),
                    message: format!("namespace {name} is being terminated"),
                    field: "metadata.namespace".to_owned(),
                };
                Err(forbidden(attributes, new, &text).with_cause(cause))
            }
        }
    }
}

impl Gate for NamespaceLifecycle {
    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    fn admit<'a>(
        &'a self,
        attributes: &'a Attributes<'_>,
        new: Option<&'a Value>,
    ) -> BoxFuture<'a, Result<(), ApiError>> {
        self.check(attributes, new).boxed()
    }
}

/// `NewForbidden` of `k8s.io/apiserver/pkg/admission/errors.go`, which names an object without a
/// name by its `generateName`.
fn forbidden(attributes: &Attributes<'_>, new: Option<&Value>, text: &str) -> ApiError {
    let id = attributes.served.resource().id();
    let resource = GroupResource::new(id.group(), id.resource());
    let name = match (attributes.name, new) {
        ("", Some(new)) => match Meta::of(new).generate_name() {
            "" => "Unknown",
            prefix => prefix,
        },
        ("", None) => "Unknown",
        (name, _) => name,
    };
    ApiError::forbidden(&resource, name, text)
}
