//! Authorization by kube-apiserver.
//!
//! Source: `k8s.io/apiserver/plugin/pkg/authorizer/webhook`. In addition, identical questions in
//! flight are asked once.

use std::sync::Arc;
use std::time::Duration;

use api_types::request_info::RequestInfo;
use api_types::selector::{FieldSelector, LabelSelector, Operator};
use async_trait::async_trait;

use super::authorizer::{Attributes, Authorizer, Decision, Error, Verdict};
use crate::kube::reviews::{
    AccessSpec, AccessStatus, NonResourceAttributes, ResourceAttributes, Selector,
    SelectorRequirement, SubjectAccessReviews,
};
use crate::kube::{Answers, CacheMetrics};
use crate::telemetry::Metrics;

/// Decisions that are cached; kube-apiserver's number.
const CACHED_DECISIONS: usize = 8_192;
/// Bytes of attributes that the client chooses from which on a decision is not cached:
/// kube-apiserver's `maxControlledAttrCacheSize`.
const MAX_CACHED_ATTRIBUTES: usize = 10_000;

/// How long decisions are cached; zero does not cache.
#[derive(Debug, Clone, Copy)]
pub struct CacheTtl {
    /// Of allowing decisions.
    pub authorized: Duration,
    /// Of all others.
    pub unauthorized: Duration,
}

/// Asks kube-apiserver by SubjectAccessReview. If it gives no answer, there is no opinion and an
/// error: the request fails, unless another authorizer allows it.
#[derive(Debug)]
pub struct SubjectAccessReview {
    reviews: SubjectAccessReviews,
    answers: Arc<Answers<AccessStatus>>,
    ttl: CacheTtl,
}

impl SubjectAccessReview {
    /// Caches decisions for these times.
    pub fn new(reviews: SubjectAccessReviews, ttl: CacheTtl, metrics: &Metrics) -> Self {
        let cache = CacheMetrics::new(metrics, "ark_authorization_cache");
        Self {
            reviews,
            answers: Answers::new(CACHED_DECISIONS, Some(cache)),
            ttl,
        }
    }

    async fn status(&self, attributes: &Attributes<'_>) -> Result<AccessStatus, String> {
        let spec = serde_json::value::to_raw_value(&spec(attributes));
        let spec = spec.map_err(|error| error.to_string())?;
        let question = spec.get().to_owned();
        let reviews = self.reviews.clone();
        let ask = || async move { reviews.review(&spec).await };
        let (ttl, cached) = (self.ttl, is_cached(attributes.info));
        let lifetime = move |status: &AccessStatus| {
            cached.then_some(if status.allowed {
                ttl.authorized
            } else {
                ttl.unauthorized
            })
        };
        let answer = self.answers.answer(question.as_bytes(), lifetime, ask);
        answer.await.map_err(|error| error.to_string())
    }
}

#[async_trait]
impl Authorizer for SubjectAccessReview {
    async fn authorize(&self, attributes: &Attributes<'_>) -> Verdict {
        let status = match self.status(attributes).await {
            Ok(status) => status,
            Err(error) => {
                return Verdict {
                    error: Some(Error(error)),
                    ..Verdict::of(Decision::NoOpinion)
                };
            }
        };
        let (decision, error) = match (status.denied, status.allowed) {
            (true, true) => {
                let text = "webhook subject access review returned both allow and deny response";
                (Decision::Deny, Some(Error(text.to_owned())))
            }
            (true, false) => (Decision::Deny, None),
            (false, true) => (Decision::Allow, None),
            (false, false) => (Decision::NoOpinion, None),
        };
        Verdict {
            decision,
            reason: status.reason.as_ref().to_owned(),
            error,
        }
    }
}

fn spec<'a>(attributes: &Attributes<'a>) -> AccessSpec<'a> {
    let (user, info) = (attributes.user, attributes.info);
    let resource = info
        .is_resource_request
        .then(|| resource_attributes(info, attributes.query));
    let path = (!info.is_resource_request).then(|| NonResourceAttributes {
        path: &info.path,
        verb: info.verb.as_str(),
    });
    AccessSpec {
        resource_attributes: resource,
        non_resource_attributes: path,
        user: &user.name,
        groups: &user.groups,
        extra: Some(&user.extra).filter(|extra| !extra.is_empty()),
        uid: user.uid.as_deref(),
    }
}

fn resource_attributes<'a>(info: &'a RequestInfo, query: Option<&str>) -> ResourceAttributes<'a> {
    let (fields, labels) = info.selectors(query);
    ResourceAttributes {
        namespace: &info.namespace,
        verb: info.verb.as_str(),
        group: &info.group,
        version: &info.version,
        resource: &info.resource,
        subresource: &info.subresource,
        name: &info.name,
        field_selector: fields.and_then(|text| field_requirements(&text)),
        label_selector: labels.and_then(|text| label_requirements(&text)),
    }
}

/// A selector that cannot be parsed is left out, as in kube-apiserver: a request without it is
/// broader, so a user who may send that may send this.
fn field_requirements(text: &str) -> Option<Selector> {
    let selector = FieldSelector::parse(text).ok()?;
    let requirements = selector.requirements().iter();
    some(requirements.map(|one| SelectorRequirement {
        key: one.field.clone(),
        operator: if one.equal { "In" } else { "NotIn" },
        values: vec![one.value.clone()],
    }))
}

fn label_requirements(text: &str) -> Option<Selector> {
    let selector = LabelSelector::parse(text).ok()?;
    let requirements = selector.requirements().iter();
    some(requirements.filter_map(|one| {
        let operator = match one.operator() {
            Operator::In | Operator::Equals | Operator::DoubleEquals => "In",
            Operator::NotIn | Operator::NotEquals => "NotIn",
            Operator::Exists => "Exists",
            Operator::DoesNotExist => "DoesNotExist",
            // The review has no such operator. Without the requirement the question is broader.
            Operator::GreaterThan | Operator::LessThan => return None,
        };
        Some(SelectorRequirement {
            key: one.key().to_owned(),
            operator,
            values: one.values().to_vec(),
        })
    }))
}

fn some(requirements: impl Iterator<Item = SelectorRequirement>) -> Option<Selector> {
    let requirements: Vec<SelectorRequirement> = requirements.collect();
    (!requirements.is_empty()).then_some(Selector { requirements })
}

fn is_cached(info: &RequestInfo) -> bool {
    let chosen = [
        info.namespace.len(),
        info.verb.as_str().len(),
        info.group.len(),
        info.version.len(),
        info.resource.len(),
        info.subresource.len(),
        info.name.len(),
        info.path.len(),
    ];
    chosen.iter().sum::<usize>() < MAX_CACHED_ATTRIBUTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::User;

    fn json(user: User, request: &str) -> String {
        let (method, url) = request.split_once(' ').unwrap();
        let (path, query) = match url.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (url, None),
        };
        let info = RequestInfo::parse(method, path, query).unwrap();
        let attributes = Attributes {
            user: &Arc::new(user),
            info: &info,
            query,
        };
        serde_json::to_string(&spec(&attributes)).unwrap()
    }

    fn check(request: &str, expected: &str) {
        let json = json(User::new("bob", []), request);
        assert_eq!(json, format!(r#"{{{expected},"user":"bob"}}"#), "{request}");
    }

    #[test]
    fn spec_has_verb_resource_and_name_of_request() {
        check(
            "PUT /apis/x.io/v1/namespaces/d/foos/n/status",
            r#""resourceAttributes":{"namespace":"d","verb":"update","group":"x.io","version":"v1","resource":"foos","subresource":"status","name":"n"}"#,
        );
        check(
            "DELETE /apis/x.io/v1/namespaces/d/foos",
            r#""resourceAttributes":{"namespace":"d","verb":"deletecollection","group":"x.io","version":"v1","resource":"foos"}"#,
        );
        check(
            "POST /openapi/v2",
            r#""nonResourceAttributes":{"path":"/openapi/v2","verb":"post"}"#,
        );
    }

    #[test]
    fn spec_has_selectors_of_collections() {
        let prefix = r#""resourceAttributes":{"verb":"list","group":"x.io","version":"v1","resource":"foos""#;
        let fields = |requirements: &str| {
            format!(r#"{prefix},"fieldSelector":{{"requirements":[{requirements}]}}}}"#)
        };
        let labels = |requirements: &str| {
            format!(r#"{prefix},"labelSelector":{{"requirements":[{requirements}]}}}}"#)
        };
        check(
            "GET /apis/x.io/v1/foos?fieldSelector=spec.a!%3D1,spec.b%3D2",
            &fields(
                r#"{"key":"spec.a","operator":"NotIn","values":["1"]},{"key":"spec.b","operator":"In","values":["2"]}"#,
            ),
        );
        check(
            "GET /apis/x.io/v1/foos?labelSelector=a,!b,c+in+(y,x),d!%3D1,e>5",
            &labels(
                r#"{"key":"a","operator":"Exists"},{"key":"b","operator":"DoesNotExist"},{"key":"c","operator":"In","values":["x","y"]},{"key":"d","operator":"NotIn","values":["1"]}"#,
            ),
        );
        for dropped in ["labelSelector=e>5", "labelSelector=((", "fieldSelector=x"] {
            check(
                &format!("GET /apis/x.io/v1/foos?{dropped}"),
                &format!("{prefix}}}"),
            );
        }
    }

    #[test]
    fn spec_has_groups_extra_and_uid_of_user() {
        let mut user = User::new("bob", ["dev".to_owned()]);
        user.uid = Some("7".to_owned());
        user.extra.insert("k".to_owned(), vec!["v".to_owned()]);
        assert_eq!(
            json(user, "GET /apis"),
            r#"{"nonResourceAttributes":{"path":"/apis","verb":"get"},"user":"bob","groups":["dev"],"extra":{"k":["v"]},"uid":"7"}"#
        );
    }

    #[test]
    fn decision_about_large_attributes_is_not_cached() {
        let name = |bytes: usize| {
            let path = format!("/apis/x.io/v1/foos/{}", "n".repeat(bytes));
            RequestInfo::parse("GET", &path, None).unwrap()
        };
        // The path counts as well as the name.
        assert!(is_cached(&name(4_900)));
        assert!(!is_cached(&name(5_000)));
    }
}
