//! Admission of a server without a cluster: a namespace is created with its first object, as by
//! kube-apiserver's plugin `NamespaceAutoProvision`, and definitions come from manifests only.

use std::sync::{Arc, OnceLock};

use api_types::field::Error as FieldError;
use api_types::gvk::{GroupKind, GroupResource};
use api_types::meta::Meta;
use api_types::names;
use api_types::status::{ApiError, Cause};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use gateway::admission::{Attributes, Chain, Gate, Mutate, Operation};
use gateway::resources::Served;
use gateway::store::{Freshness, ObjectKey, ResourceId};
use http::StatusCode;
use serde_json::{Value, json};

use crate::client::{Client, USER};

/// The namespace that always exists.
pub(crate) const DEFAULT: &str = "default";
/// Held until the objects of a namespace are deleted.
pub(crate) const FINALIZER: &str = "kubernetes";
/// The label with the name of a namespace.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// The steps; clones share the client.
#[derive(Clone, Debug, Default)]
pub(crate) struct Admission {
    /// Set once the server is built.
    client: Arc<OnceLock<Client>>,
    /// Whether clients may remove the finalizer, because no controller does.
    releases_namespaces: bool,
}

impl Admission {
    /// The steps of a server with or without controllers.
    pub(crate) fn new(no_controllers: bool) -> Self {
        Self {
            releases_namespaces: no_controllers,
            ..Self::default()
        }
    }

    /// The steps as a chain.
    pub(crate) fn chain(&self) -> Chain {
        Chain {
            gates: vec![Box::new(self.clone())],
            mutating: vec![Box::new(self.clone())],
            ..Chain::default()
        }
    }

    /// Sets the client, which creates namespaces.
    pub(crate) fn connect(&self, client: Client) {
        // Called once.
        let _ = self.client.set(client);
    }

    async fn check(
        &self,
        attributes: &Attributes<'_>,
        new: Option<&Value>,
    ) -> Result<(), ApiError> {
        let resource = attributes.served.group_resource();
        let kind = (resource.group.as_str(), resource.resource.as_str());
        match (kind, attributes.operation) {
            (("apiextensions.k8s.io", "customresourcedefinitions"), _)
                if attributes.user.name != USER =>
            {
                let text = "this server serves the manifests of --resources DIR: change them \
                            there, they are read again";
                Err(forbidden(attributes, new, text))
            }
            (("", "namespaces"), Operation::Create) => valid_name(new),
            (("", "namespaces"), Operation::Delete) if attributes.name == DEFAULT => {
                let text = "this namespace may not be deleted";
                Err(forbidden(attributes, new, text))
            }
            (_, Operation::Create) if !attributes.namespace.is_empty() => {
                self.provision(attributes, new).await
            }
            _ => Ok(()),
        }
    }

    /// Creates the namespace of a new object if it does not exist.
    async fn provision(
        &self,
        attributes: &Attributes<'_>,
        new: Option<&Value>,
    ) -> Result<(), ApiError> {
        let Some(client) = self.client.get() else {
            return Ok(());
        };
        let name = attributes.namespace;
        let key = ObjectKey::new("", name);
        // A deletion that the cache lacks is found by the controller of namespaces, which sees the
        // new object.
        let found = client
            .store()
            .get(&namespaces(), &key, Freshness::Any)
            .await;
        match found? {
            Some(namespace) if namespace.deleting() => Err(terminating(attributes, new)),
            Some(_) => Ok(()),
            None if !names::dns1123_label(name).is_empty() => Err(ApiError::not_found(
                &GroupResource::new("", "namespaces"),
                name,
            )),
            None if attributes.dry_run => Ok(()),
            None => match client.create("/api/v1/namespaces", &namespace(name)).await {
                Ok(_) => Ok(()),
                Err(error) if error.code() == Some(StatusCode::CONFLICT) => Ok(()),
                Err(error) => Err(ApiError::internal(error)),
            },
        }
    }
}

/// The resource of namespaces.
pub(crate) fn namespaces() -> ResourceId {
    ResourceId::new("", "namespaces")
}

/// A new namespace.
pub(crate) fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}

impl Gate for Admission {
    fn handles(&self, _operation: Operation) -> bool {
        true
    }

    fn admit<'a>(
        &'a self,
        attributes: &'a Attributes<'_>,
        new: Option<&'a Value>,
    ) -> BoxFuture<'a, Result<(), ApiError>> {
        self.check(attributes, new).boxed()
    }
}

impl Mutate for Admission {
    fn handles(&self, attributes: &Attributes<'_>) -> bool {
        is_namespace(attributes.served) && attributes.operation != Operation::Delete
    }

    /// Sets the label of a namespace as kube-apiserver does, and the finalizer. An update cannot
    /// remove the finalizer, as it cannot change `spec.finalizers` in kube-apiserver: otherwise the
    /// deletion of the namespace would leave its objects.
    fn mutate<'a>(
        &'a self,
        attributes: &'a Attributes<'_>,
        old: Option<&'a Arc<Value>>,
        new: Option<&'a mut Value>,
    ) -> BoxFuture<'a, Result<bool, ApiError>> {
        let changed = new.is_some();
        if let Some(new) = new {
            let name = Meta::of(new).name().to_owned();
            if !name.is_empty() {
                new["metadata"]["labels"][NAME_LABEL] = name.into();
            }
            let is_held = |object: &Value| Meta::of(object).finalizers().any(|it| it == FINALIZER);
            let stays = match attributes.operation {
                Operation::Create => true,
                _ => {
                    let releases = self.releases_namespaces || attributes.user.name == USER;
                    !releases && old.is_some_and(|old| is_held(old))
                }
            };
            if stays && !is_held(new) {
                let mut finalizers: Vec<&str> = Meta::of(new).finalizers().collect();
                finalizers.push(FINALIZER);
                new["metadata"]["finalizers"] = json!(finalizers);
            }
        }
        async move { Ok(changed) }.boxed()
    }
}

fn is_namespace(served: &Served) -> bool {
    let resource = served.group_resource();
    resource.group.is_empty() && resource.resource == "namespaces"
}

/// Names of namespaces are labels: `ValidateNamespaceName` in apimachinery.
fn valid_name(new: Option<&Value>) -> Result<(), ApiError> {
    let name = new.map_or("", |new| Meta::of(new).name());
    let problems: Vec<FieldError> = names::dns1123_label(name)
        .into_iter()
        .filter(|_| !name.is_empty())
        .map(|problem| FieldError::invalid("metadata.name", name, problem))
        .collect();
    if problems.is_empty() {
        return Ok(());
    }
    Err(ApiError::invalid(
        &GroupKind::new("", "Namespace"),
        name,
        &problems,
    ))
}

/// The text of kube-apiserver's plugin `NamespaceLifecycle`.
fn terminating(attributes: &Attributes<'_>, new: Option<&Value>) -> ApiError {
    let name = attributes.namespace;
    let text =
        format!("unable to create new content in namespace {name} because it is being terminated");
    forbidden(attributes, new, &text).with_cause(Cause {
        reason: "NamespaceTerminating".to_owned(),
        message: format!("namespace {name} is being terminated"),
        field: "metadata.namespace".to_owned(),
    })
}

fn forbidden(attributes: &Attributes<'_>, new: Option<&Value>, text: &str) -> ApiError {
    let name = match (attributes.name, new) {
        ("", Some(new)) => match Meta::of(new).generate_name() {
            "" => "Unknown",
            prefix => prefix,
        },
        ("", None) => "Unknown",
        (name, _) => name,
    };
    ApiError::forbidden(attributes.served.group_resource(), name, text)
}
