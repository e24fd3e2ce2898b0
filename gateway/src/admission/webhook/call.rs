//! One call of a webhook, and its failures.

use std::sync::Arc;

use api_types::names;
use api_types::status::{ApiError, Cause, Details, Reason, Status};
use serde_json::Value;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::hook::{Hook, SideEffects};
use super::matching::Invocation;
use super::metrics::{ErrorType, WebhookMetrics};
use super::request::{self, Encoded};
use super::response::{self, Decision, Unusable};
use crate::admission::{Attributes, Operation};
use crate::compute::{Client, Run};
use crate::kube::informer::WebhookKind;

/// Why a write does not pass a webhook.
#[derive(Debug)]
pub(super) enum Failure {
    /// The webhook could not be called; its failure policy decides.
    Calling {
        /// The text after the name of the webhook.
        reason: String,
        /// The code for metrics.
        code: u16,
    },
    /// The webhook denied the write.
    Denied(ApiError),
    /// The webhook cannot be called for this request, or its patch does not apply.
    Internal(ApiError),
}

/// What a failure means for the write.
#[derive(Debug)]
pub(super) enum Verdict {
    /// The write is rejected.
    Rejected(ApiError),
    /// The failure is ignored.
    Open,
}

/// Calls a webhook and checks its response. Adds its warnings and annotations.
pub(super) async fn call(
    invocation: &Invocation,
    attributes: &Attributes<'_>,
    name: &str,
    objects: &Encoded,
    compute: &Client,
) -> Result<Decision, Failure> {
    let hook = &invocation.hook;
    check_dry_run(hook, attributes)?;
    let Some(version) = hook.version else {
        return Err(Failure::Calling {
            reason: "could not create admission objects: webhook does not accept known \
                     AdmissionReview versions (v1, v1beta1)"
                .to_owned(),
            code: 400,
        });
    };
    let client = hook.client.as_ref().map_err(|error| Failure::Calling {
        reason: format!("could not get REST client: {error}"),
        code: 500,
    })?;
    let uid = uuid::Uuid::new_v4().to_string();
    let span = tracing::info_span!(
        "call of an admission webhook",
        kind = hook.kind.resource(),
        configuration = &*hook.configuration,
        webhook = hook.name,
        resource = %attributes.served.group_resource(),
        subresource = attributes.subresource,
        operation = attributes.operation.as_str(),
        uid,
    );
    let review = request::review(&uid, version, invocation, attributes, name, objects);
    let own = Instant::now() + hook.timeout;
    let deadline = attributes.deadline.map_or(own, |it| it.min(own));
    let sent = client.call(review, deadline).instrument(span).await;
    let body = sent.map_err(|failure| Failure::Calling {
        reason: format!("failed to call webhook: {}", failure.text()),
        code: failure.code(),
    })?;
    let (kind, weight) = (hook.kind, body.len());
    let read = move |_: &Run| response::read(&body, &uid, version, kind);
    let read = compute.run_accepted(weight, read).await;
    let decision = read.map_err(|unusable| match unusable {
        Unusable::Undecodable(text) => Failure::Calling {
            reason: format!("failed to call webhook: {text}"),
            code: 503,
        },
        Unusable::Invalid(text) => Failure::Calling {
            reason: format!("received invalid webhook response: {text}"),
            code: 503,
        },
    })?;
    for (key, value) in &decision.annotations {
        let key = format!("{}/{key}", hook.name);
        if is_annotation_key(&key) {
            attributes.annotations.add(key, value.clone());
        } else {
            tracing::warn!(
                webhook = &*hook.name,
                "audit annotation of an admission webhook has an invalid key, dropping it"
            );
        }
    }
    attributes.warnings.extend(decision.warnings.clone());
    if !decision.allowed {
        let error = denial(&hook.name, decision.status.as_ref());
        return Err(Failure::Denied(error));
    }
    Ok(decision)
}

/// `checkKeyFormat` of `k8s.io/apiserver/pkg/admission`.
fn is_annotation_key(key: &str) -> bool {
    key.matches('/').count() == 1 && names::qualified_name(key).is_empty()
}

fn check_dry_run(hook: &Hook, attributes: &Attributes<'_>) -> Result<(), Failure> {
    match hook.side_effects {
        _ if !attributes.dry_run => Ok(()),
        SideEffects::None => Ok(()),
        SideEffects::Unknown => Err(Failure::Calling {
            reason: "Webhook SideEffects is nil".to_owned(),
            code: 400,
        }),
        SideEffects::Some => Err(Failure::Internal(ApiError::bad_request(format!(
            "admission webhook {:?} does not support dry run",
            hook.name
        )))),
    }
}

/// `ToStatusErr` of `k8s.io/apiserver/pkg/admission/plugin/webhook/errors`.
fn denial(name: &str, result: Option<&Value>) -> ApiError {
    let none = Value::Null;
    let result = result.unwrap_or(&none);
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let (message, reason) = (text(result, "message"), text(result, "reason"));
    let denied = format!("admission webhook {name:?} denied the request");
    let message = match (&*message, &*reason) {
        ("", "") => format!("{denied} without explanation"),
        ("", reason) => format!("{denied}: {reason}"),
        (message, _) => format!("{denied}: {message}"),
    };
    let details = &result["details"];
    let causes = details["causes"].as_array().into_iter().flatten();
    let details = details.is_object().then(|| Details {
        name: text(details, "name"),
        group: text(details, "group"),
        kind: text(details, "kind"),
        uid: text(details, "uid"),
        causes: causes
            .map(|cause| Cause {
                reason: text(cause, "reason"),
                message: text(cause, "message"),
                field: text(cause, "field"),
            })
            .collect(),
        retry_after_seconds: u32::try_from(number(&details["retryAfterSeconds"]))
            .unwrap_or(u32::MAX),
    });
    let known = Reason::from_name(&reason);
    Status {
        message,
        reason: known,
        other_reason: if known.is_none() {
            reason
        } else {
            String::new()
        },
        details,
        // HTTP has no codes of four digits.
        code: u16::try_from(number(&result["code"]).clamp(400, 999)).unwrap_or(400),
        ..Status::default()
    }
    .into()
}

/// Records the outcome of a call that began at `began`, and what a failure means.
pub(super) fn judge<T>(
    hook: &Arc<Hook>,
    operation: Operation,
    metrics: &WebhookMetrics,
    began: Instant,
    outcome: Result<T, Failure>,
) -> Result<T, Verdict> {
    let id = (&*hook.name, hook.kind);
    let took = began.elapsed();
    let failure = match outcome {
        Ok(passed) => {
            metrics.observe(id, operation, took, false, 200);
            return Ok(passed);
        }
        Err(failure) => failure,
    };
    let (error_type, code) = match &failure {
        Failure::Calling { code, .. } => (ErrorType::Calling, *code),
        Failure::Denied(error) => (ErrorType::None, error.code()),
        Failure::Internal(_) => (ErrorType::Internal, 0),
    };
    let open = hook.ignore_failures && error_type == ErrorType::Calling;
    metrics.observe(id, operation, took, !open, code);
    if !open {
        metrics.rejected(id, operation, error_type, code);
    }
    let webhook = &*hook.name;
    match failure {
        Failure::Calling { reason, .. } if open => {
            metrics.failed_open(id);
            tracing::warn!(
                webhook,
                reason,
                "cannot call an admission webhook, ignoring it"
            );
            Err(Verdict::Open)
        }
        Failure::Calling { reason, .. } => {
            tracing::warn!(
                webhook,
                reason,
                "cannot call an admission webhook, rejecting a write"
            );
            let text = format!("failed calling webhook {:?}: {reason}", hook.name);
            Err(Verdict::Rejected(ApiError::internal(text)))
        }
        Failure::Denied(error) | Failure::Internal(error) => Err(Verdict::Rejected(error)),
    }
}

/// Prefix of the annotations of a kind that say which webhooks failed open.
pub(super) const fn failed_open_prefix(kind: WebhookKind) -> &'static str {
    match kind {
        WebhookKind::Mutating => "failed-open.mutation.webhook.admission.k8s.io/",
        WebhookKind::Validating => "failed-open.validating.webhook.admission.k8s.io/",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(result: Option<&Value>, code: u16, reason: &str, message: &str) {
        let error = denial("w.example.com", result);
        let status = error.status();
        assert_eq!(status.code, code, "{result:?}");
        assert_eq!(status.reason_text(), reason, "{result:?}");
        let expected = format!("admission webhook \"w.example.com\" denied the request{message}");
        assert_eq!(status.message, expected);
    }

    #[test]
    fn keys_of_annotations_are_qualified_names() {
        for (key, expected) in [
            ("w.example.com/ok", true),
            ("w.example.com/", false),
            ("w.example.com/a/b", false),
            ("w.example.com/not ok", false),
            ("w.example.com/-", false),
        ] {
            assert_eq!(is_annotation_key(key), expected, "{key}");
        }
        let long = format!("w.example.com/{}", "x".repeat(64));
        assert!(!is_annotation_key(&long));
    }

    #[test]
    fn denials_have_code_reason_and_message_of_the_webhook() {
        check(None, 400, "", " without explanation");
        check(Some(&json!({"code": 200})), 400, "", " without explanation");
        check(
            Some(&json!({"message": "no", "reason": "Forbidden", "code": 403})),
            403,
            "Forbidden",
            ": no",
        );
        check(
            Some(&json!({"reason": "TooSmall", "code": 418})),
            418,
            "TooSmall",
            ": TooSmall",
        );
        check(
            Some(&json!({"code": 4000})),
            999,
            "",
            " without explanation",
        );
        let details = json!({"details": {
            "name": "n", "kind": "k", "retryAfterSeconds": 3,
            "causes": [{"reason": "r", "message": "m", "field": "f"}],
        }});
        let status = denial("w", Some(&details)).into_status();
        let details = status.details.unwrap();
        assert_eq!((&*details.name, details.retry_after_seconds), ("n", 3));
        assert_eq!(details.causes[0].field, "f");
    }
}
