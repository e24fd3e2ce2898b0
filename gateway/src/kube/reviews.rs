//! TokenReview and SubjectAccessReview, version `v1`.
//!
//! The types have only the fields that are used, in Go's order. The crate `k8s-openapi` has them as
//! well, but owned: a request would copy the whole identity of its user.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::call::{ATTEMPT_TIMEOUT, Call, Error};
use super::client::Client;
use super::metrics::RequestMetrics;
use crate::request::User;
use crate::telemetry::Metrics;

const TOKEN_REVIEWS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
const SUBJECT_ACCESS_REVIEWS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
const SELF_SUBJECT_ACCESS_REVIEWS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";

/// Asks kube-apiserver who tokens belong to.
#[derive(Debug, Clone)]
pub struct TokenReviews {
    client: Client,
    metrics: RequestMetrics,
}

/// Asks kube-apiserver whether requests are allowed.
#[derive(Debug, Clone)]
pub struct SubjectAccessReviews {
    client: Client,
    metrics: RequestMetrics,
}

/// Asks kube-apiserver what this server itself may do.
#[derive(Debug, Clone)]
pub struct SelfSubjectAccessReviews {
    client: Client,
}

/// Status of a TokenReview.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenStatus {
    /// The user, if the token is valid for the audiences of kube-apiserver.
    pub user: Option<Arc<User>>,
    /// Why it is not valid; may be empty.
    pub error: String,
}

/// Status of a SubjectAccessReview.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct AccessStatus {
    /// Whether an authorizer allows the request.
    pub allowed: bool,
    /// Whether an authorizer denies it, so that no other may allow it.
    pub denied: bool,
    /// Reason of the decision; may be empty.
    #[serde(deserialize_with = "text")]
    pub reason: Arc<str>,
}

/// Spec of a SubjectAccessReview: the user and the request.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AccessSpec<'a> {
    /// For a request for a resource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_attributes: Option<ResourceAttributes<'a>>,
    /// For any other request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub non_resource_attributes: Option<NonResourceAttributes<'a>>,
    /// Name of the user.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub user: &'a str,
    /// Groups of the user.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub groups: &'a [String],
    /// Further attributes of the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra: Option<&'a BTreeMap<String, Vec<String>>>,
    /// UID of the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<&'a str>,
}

/// A request for a resource. Empty fields are omitted.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the names are Kubernetes' own and say it all")]
pub struct ResourceAttributes<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    pub namespace: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub verb: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub group: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub version: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub resource: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub subresource: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field_selector: Option<Selector>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_selector: Option<Selector>,
}

/// A request for a path that is not a resource.
#[derive(Debug, Clone, Default, Serialize)]
#[expect(missing_docs, reason = "the names are Kubernetes' own and say it all")]
pub struct NonResourceAttributes<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    pub path: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub verb: &'a str,
}

/// Requirements of a selector, which all hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Selector {
    /// At least one.
    pub requirements: Vec<SelectorRequirement>,
}

/// One requirement of a field or a label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SelectorRequirement {
    /// The field or label.
    pub key: String,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    pub operator: &'static str,
    /// The values of `In` and `NotIn`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Review<S> {
    kind: &'static str,
    api_version: &'static str,
    spec: S,
}

/// Spec of a SelfSubjectAccessReview.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OwnSpec<'a> {
    resource_attributes: &'a ResourceAttributes<'a>,
}

#[derive(Serialize)]
struct TokenSpec<'a> {
    token: &'a str,
}

#[derive(Deserialize)]
struct Reviewed<S> {
    status: S,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TokenReviewStatus {
    authenticated: bool,
    user: Option<UserInfo>,
    error: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct UserInfo {
    username: String,
    uid: String,
    groups: Option<Vec<String>>,
    extra: Option<BTreeMap<String, Vec<String>>>,
}

fn text<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Arc<str>, D::Error> {
    String::deserialize(from).map(Arc::from)
}

fn body(review: &impl Serialize) -> Result<Bytes, Error> {
    let json = serde_json::to_vec(review);
    json.map(Bytes::from)
        .map_err(|error| Error::Unreadable(error.to_string()))
}

// === impl TokenReviews ===

impl TokenReviews {
    /// Reviews with a client; registers `apiserver_delegated_authn_*`.
    pub fn new(client: Client, metrics: &Metrics) -> Self {
        Self {
            client,
            metrics: RequestMetrics::new(metrics, "apiserver_delegated_authn"),
        }
    }

    /// Reviews a token for the audiences of kube-apiserver, with all retries within 10 s.
    ///
    /// # Errors
    /// If kube-apiserver gives no answer.
    pub async fn review(&self, token: &str) -> Result<TokenStatus, Error> {
        let body = body(&Review {
            kind: "TokenReview",
            api_version: "authentication.k8s.io/v1",
            spec: TokenSpec { token },
        })?;
        let call = Call {
            method: Method::POST,
            path: TOKEN_REVIEWS,
            body,
        };
        let sent = call.send::<Reviewed<TokenReviewStatus>>(&self.client, Some(&self.metrics));
        let reviewed = timeout(ATTEMPT_TIMEOUT, sent).await;
        let status = reviewed
            .unwrap_or(Err(Error::Timeout(ATTEMPT_TIMEOUT)))?
            .status;
        let user = status.user.filter(|_| status.authenticated);
        Ok(TokenStatus {
            user: user.map(|user| Arc::new(user.into())),
            error: status.error,
        })
    }
}

impl From<UserInfo> for User {
    fn from(info: UserInfo) -> Self {
        let mut user = Self::new(info.username, info.groups.unwrap_or_default());
        user.uid = Some(info.uid).filter(|uid| !uid.is_empty());
        user.extra = info.extra.unwrap_or_default();
        user
    }
}

// === impl SubjectAccessReviews ===

impl SubjectAccessReviews {
    /// Reviews with a client; registers `apiserver_delegated_authz_*`.
    pub fn new(client: Client, metrics: &Metrics) -> Self {
        Self {
            client,
            metrics: RequestMetrics::new(metrics, "apiserver_delegated_authz"),
        }
    }

    /// Reviews a spec in JSON.
    ///
    /// # Errors
    /// If kube-apiserver gives no answer.
    pub async fn review(&self, spec: &serde_json::value::RawValue) -> Result<AccessStatus, Error> {
        let body = body(&Review {
            kind: "SubjectAccessReview",
            api_version: "authorization.k8s.io/v1",
            spec,
        })?;
        let call = Call {
            method: Method::POST,
            path: SUBJECT_ACCESS_REVIEWS,
            body,
        };
        let sent = call.send::<Reviewed<AccessStatus>>(&self.client, Some(&self.metrics));
        Ok(sent.await?.status)
    }
}

// === impl SelfSubjectAccessReviews ===

impl SelfSubjectAccessReviews {
    /// Reviews with a client.
    #[must_use]
    pub const fn new(client: Client) -> Self {
        Self { client }
    }

    /// Whether this server may send a request.
    ///
    /// # Errors
    /// If kube-apiserver gives no answer.
    pub async fn allowed(&self, request: &ResourceAttributes<'_>) -> Result<bool, Error> {
        let body = body(&Review {
            kind: "SelfSubjectAccessReview",
            api_version: "authorization.k8s.io/v1",
            spec: OwnSpec {
                resource_attributes: request,
            },
        })?;
        let call = Call {
            method: Method::POST,
            path: SELF_SUBJECT_ACCESS_REVIEWS,
            body,
        };
        let reviewed = call.send::<Reviewed<AccessStatus>>(&self.client, None);
        Ok(reviewed.await?.status.allowed)
    }
}
