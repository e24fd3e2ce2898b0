//! APIServices by name: followed by a watch; only their `caBundle` is written, by server-side apply.

use ::kube::Api;
use ::kube::runtime::watcher::{self, Event};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::call::{Call, Error};
use super::client::Client;
use super::informer::follow;

/// The field manager that owns `spec.caBundle`, the same for all replicas.
const FIELD_MANAGER: &str = "ark-apiserver-serving-certificate";

/// The parts of an APIService that matter to the server behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiService {
    /// `VERSION.GROUP`.
    pub name: String,
    /// Distinguishes it from a later object of the same name.
    pub uid: String,
    /// PEM bundle that verifies the certificate of the server.
    pub ca_bundle: Vec<u8>,
}

/// The requests for APIServices.
#[derive(Debug, Clone)]
pub struct ApiServices {
    client: Client,
}

/// What is applied. kube-apiserver demands `apiVersion`, `kind` and `metadata.name`; the validated
/// object is the result of the merge, so required fields of other owners need not be repeated.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Applied<'a> {
    api_version: &'a str,
    kind: &'a str,
    metadata: Metadata<'a>,
    spec: Spec,
}

/// With a UID, a patch of a missing object is a conflict. Without one, it would create the object.
#[derive(Serialize)]
struct Metadata<'a> {
    name: &'a str,
    uid: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    ca_bundle: String,
}

impl ApiServices {
    /// The APIServices of a cluster.
    #[must_use]
    pub const fn new(client: Client) -> Self {
        Self { client }
    }

    /// Sets the `caBundle` of an existing APIService, also if another manager owns it.
    ///
    /// # Errors
    /// [`Error::is_conflict`] if the object was deleted since it was read; any other if kube-apiserver
    /// does not confirm it.
    pub async fn set_ca_bundle(&self, service: &ApiService, ca_bundle: &[u8]) -> Result<(), Error> {
        let applied = Applied {
            api_version: "apiregistration.k8s.io/v1",
            kind: "APIService",
            metadata: Metadata {
                name: &service.name,
                uid: &service.uid,
            },
            spec: Spec {
                ca_bundle: STANDARD.encode(ca_bundle),
            },
        };
        let body =
            serde_json::to_vec(&applied).map_err(|error| Error::Unreadable(error.to_string()))?;
        let path = format!(
            "/apis/apiregistration.k8s.io/v1/apiservices/{}?fieldManager={FIELD_MANAGER}&force=true",
            service.name
        );
        let call = Call {
            method: Method::PATCH,
            path: &path,
            body: body.into(),
        };
        call.send::<v1::APIService>(&self.client, None).await?;
        Ok(())
    }

    /// Passes the APIService of this name to `seen` whenever it changes, until `stop` is cancelled;
    /// `None` while it does not exist or may not have a bundle.
    pub async fn watch(
        &self,
        name: &str,
        stop: CancellationToken,
        mut seen: impl FnMut(Option<ApiService>),
    ) {
        let api = Api::<v1::APIService>::all(self.client.inner.clone());
        // Allowed for these names only.
        let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let mut listed = None;
        let apply = |event| match event {
            Event::Init => listed = None,
            Event::InitApply(service) => listed = ApiService::of(service),
            Event::InitDone => seen(listed.take()),
            Event::Apply(service) => seen(ApiService::of(service)),
            Event::Delete(_) => seen(None),
        };
        follow("an APIService", api, config, stop, apply).await;
    }
}

impl ApiService {
    /// `None` if kube-apiserver rejects a bundle: for APIServices that it serves itself, and those
    /// that skip verification.
    fn of(service: v1::APIService) -> Option<Self> {
        let spec = service.spec?;
        spec.service.as_ref()?;
        if spec.insecure_skip_tls_verify == Some(true) {
            return None;
        }
        Some(Self {
            name: service.metadata.name?,
            uid: service.metadata.uid?,
            ca_bundle: spec.ca_bundle.map_or_else(Vec::new, |bundle| bundle.0),
        })
    }
}
