//! Authorization. Its result is a [`Permit`], which every handler requires.

mod authorizer;
mod built_in;
pub mod impersonation;
mod subject_access_review;

use std::sync::Arc;

use api_types::gvk::GroupResource;
use api_types::request_info::RequestInfo;
use api_types::status::ApiError;

pub use self::authorizer::{Attributes, Authorizer, Decision, Error, Verdict};
pub use self::built_in::{AlwaysAllowPaths, InvalidPath, PrivilegedGroups, TrustFrontProxy};
pub use self::subject_access_review::{CacheTtl, SubjectAccessReview};
use crate::request::User;

/// Proof that a request was authorized. Only this module constructs one, so a handler that takes a
/// `Permit` cannot run without authorization.
#[derive(Debug, Clone)]
pub struct Permit {
    user: Arc<User>,
    /// `None` if the authorizer gave none.
    reason: Option<Arc<str>>,
}

/// Calls authorizers in order. The first that allows or denies decides; if none does, the request
/// is denied. Source: `k8s.io/apiserver/pkg/authorization/union`.
///
/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Authorizers(Vec<Arc<dyn Authorizer>>);

/// Why a request has no [`Permit`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejection {
    /// 403: the user is not allowed.
    Denied(Denied),
    /// 500: no authorizer allowed the request, and at least one failed.
    Failed(String),
}

/// The parts of a 403 response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// Group of the requested resource; empty for a non-resource path.
    pub group: String,
    /// The requested resource; empty for a non-resource path.
    pub resource: String,
    /// Name of the requested object; empty if there is none.
    pub name: String,
    /// kube-apiserver's message: which user cannot do what.
    pub sentence: String,
    /// Reason of the authorizers; may be empty.
    pub reason: String,
}

impl Permit {
    /// The authorized user.
    pub fn user(&self) -> &User {
        &self.user
    }

    /// Reason of the authorizer; may be empty.
    pub fn reason(&self) -> &str {
        self.reason.as_deref().unwrap_or_default()
    }

    /// The authorized user, shared.
    pub(crate) fn shared_user(&self) -> Arc<User> {
        Arc::clone(&self.user)
    }
}

impl Rejection {
    /// The response to a request whose handler needs another right.
    pub(crate) fn into_error(self) -> ApiError {
        match self {
            Self::Denied(denied) => {
                let resource = GroupResource::new(&denied.group, &denied.resource);
                ApiError::forbidden(&resource, &denied.name, &denied.sentence)
            }
            Self::Failed(error) => ApiError::internal(error),
        }
    }
}

impl Authorizers {
    /// The union of these authorizers, in this order.
    pub fn new(authorizers: Vec<Box<dyn Authorizer>>) -> Self {
        Self(authorizers.into_iter().map(Arc::from).collect())
    }

    /// Allows everything to members of `system:masters`, and probes to everybody.
    pub fn built_in() -> Self {
        Self::new(vec![
            Box::new(AlwaysAllowPaths::default()),
            Box::new(PrivilegedGroups::default()),
        ])
    }

    /// Adds an authorizer behind the others.
    #[must_use]
    pub fn and(mut self, authorizer: impl Authorizer) -> Self {
        self.0.push(Arc::new(authorizer));
        self
    }

    /// Authorizes one request. A failed authorizer has no opinion, so another one may still allow
    /// the request.
    ///
    /// # Errors
    /// The rejection, with kube-apiserver's text.
    pub async fn authorize(
        &self,
        user: Arc<User>,
        info: &RequestInfo,
        query: Option<&str>,
    ) -> Result<Permit, Rejection> {
        let attributes = Attributes {
            user: &user,
            info,
            query,
        };
        let (mut reasons, mut errors) = (Vec::new(), Vec::new());
        for authorizer in &self.0 {
            let Verdict {
                decision,
                reason,
                error,
            } = authorizer.authorize(&attributes).await;
            match decision {
                Decision::Allow => {
                    let reason = (!reason.is_empty()).then(|| reason.into());
                    return Ok(Permit { user, reason });
                }
                Decision::Deny => return Err(rejection(&user, info, &reason, error.as_slice())),
                Decision::NoOpinion => {}
            }
            if !reason.is_empty() {
                reasons.push(reason);
            }
            errors.extend(error);
        }
        Err(rejection(&user, info, &reasons.join("\n"), &errors))
    }
}

/// With an error the result is a failure, not a denial: the failed authorizer might have allowed
/// the request.
fn rejection(user: &User, info: &RequestInfo, reason: &str, errors: &[Error]) -> Rejection {
    if !errors.is_empty() {
        return Rejection::Failed(aggregate(errors));
    }
    let mut sentence = sentence(user, info.verb.as_str(), info);
    if !reason.is_empty() {
        sentence = format!("{sentence}: {reason}");
    }
    Rejection::Denied(Denied {
        group: info.group.clone(),
        resource: info.resource.clone(),
        name: info.name.clone(),
        sentence,
        reason: reason.to_owned(),
    })
}

/// Each error once, in the format of Go's `errors.Aggregate`.
fn aggregate(errors: &[Error]) -> String {
    let mut texts: Vec<String> = Vec::new();
    for error in errors {
        let text = error.to_string();
        // bounded: one error per authorizer, of which there are a handful.
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    match &texts[..] {
        [text] => text.clone(),
        texts => format!("[{}]", texts.join(", ")),
    }
}

fn sentence(user: &User, verb: &str, info: &RequestInfo) -> String {
    let name = &user.name;
    sanitized(if info.is_resource_request {
        let slash = if info.subresource.is_empty() { "" } else { "/" };
        let resource = format!("{}{slash}{}", info.resource, info.subresource);
        let place = match info.namespace.as_str() {
            "" => "at the cluster scope".to_owned(),
            namespace => format!("in the namespace {namespace:?}"),
        };
        let group = &info.group;
        format!("User {name:?} cannot {verb} resource {resource:?} in API group {group:?} {place}")
    } else {
        format!("User {name:?} cannot {verb} path {:?}", info.path)
    })
}

/// Escapes text from the client, so that a browser does not interpret it as markup.
pub(crate) fn sanitized(sentence: String) -> String {
    if !sentence.contains(['&', '<', '>']) {
        return sentence;
    }
    sentence
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests;
