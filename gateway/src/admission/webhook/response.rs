//! The response of a webhook: decoding and checks.
//!
//! Source: `VerifyAdmissionResponse` in
//! `k8s.io/apiserver/pkg/admission/plugin/webhook/request/admissionreview.go`, and the decoder of
//! `k8s.io/apimachinery` for the errors of types.

mod status;

use api_types::gvk::GroupVersion;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube_json::ParseError;
use serde_json::Value;

use super::hook::ReviewVersion;
use crate::kube::informer::WebhookKind;

/// What a webhook decided.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Decision {
    pub(super) allowed: bool,
    /// The Status of a denial, as sent.
    pub(super) status: Option<Value>,
    /// JSON; empty if the object stays as it is.
    pub(super) patch: Vec<u8>,
    /// Of the patch.
    pub(super) patch_type: String,
    pub(super) warnings: Vec<String>,
    pub(super) annotations: Vec<(String, String)>,
}

/// Why a response is none to the review.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unusable {
    /// It cannot be decoded.
    Undecodable(String),
    /// It is a review that does not answer this one.
    Invalid(String),
}

/// Reads the response to a review.
pub(super) fn read(
    body: &[u8],
    uid: &str,
    version: ReviewVersion,
    kind: WebhookKind,
) -> Result<Decision, Unusable> {
    let review = document(body).map_err(Unusable::Undecodable)?;
    let text = |key: &str| review.get(key).and_then(Value::as_str).unwrap_or_default();
    let (api_version, name) = (text("apiVersion"), text("kind"));
    expect_convertible(api_version, name, version)?;
    let response = match review.get("response") {
        None | Some(Value::Null) => None,
        Some(response) => Some(decode(response).map_err(Unusable::Undecodable)?),
    };
    let Some(response) = response else {
        return invalid("webhook response was absent".to_owned());
    };
    if version == ReviewVersion::V1 {
        check_v1(&response, uid, (api_version, name), kind)?;
    }
    let mut decision = response.decision;
    if kind == WebhookKind::Validating {
        decision.patch.clear();
        decision.patch_type.clear();
    } else if version == ReviewVersion::V1Beta1 && !decision.patch.is_empty() {
        // The type of a patch was not verified in this version.
        decision.patch_type = "JSONPatch".to_owned();
    }
    Ok(decision)
}

/// The document of a body: JSON if it begins with an object, else YAML, as the decoders of
/// kube-apiserver recognize them.
fn document(body: &[u8]) -> Result<Value, String> {
    let is_json = body.trim_ascii_start().starts_with(b"{");
    let parsed = if is_json {
        kube_json::parse(body)
    } else {
        kube_json::yaml::parse(body)
    };
    let document = parsed.map_err(|error| match error {
        ParseError::Syntax(reason) if is_json => {
            format!("couldn't get version/kind; json parse error: {reason}")
        }
        error => error.to_string(),
    })?;
    match document.value {
        value @ (Value::Object(_) | Value::Null) => Ok(value),
        other => Err(format!(
            "couldn't get version/kind; json parse error: json: cannot unmarshal {} into Go value \
             of type struct {{ APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \
             \"json:\\\"kind,omitempty\\\"\" }}",
            kube_json::json_kind(&other)
        )),
    }
}

fn invalid<T>(text: String) -> Result<T, Unusable> {
    Err(Unusable::Invalid(text))
}

struct Response {
    uid: String,
    has_patch_type: bool,
    decision: Decision,
}

fn check_v1(
    response: &Response,
    uid: &str,
    (api_version, name): (&str, &str),
    kind: WebhookKind,
) -> Result<(), Unusable> {
    if response.uid != uid {
        return invalid(format!(
            "expected response.uid={uid:?}, got {:?}",
            response.uid
        ));
    }
    if api_version != ReviewVersion::V1.api_version() || name != "AdmissionReview" {
        let got = GroupVersion::parse(api_version).unwrap_or_else(|_| GroupVersion::new("", ""));
        return invalid(format!(
            "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got {}/{}, \
             Kind={name}",
            got.group, got.version
        ));
    }
    let has_patch = !response.decision.patch.is_empty();
    let text = match (kind, has_patch, response.has_patch_type) {
        (WebhookKind::Mutating, true, false) => {
            "webhook returned response.patch but not response.patchType"
        }
        (WebhookKind::Mutating, false, true) => {
            "webhook returned response.patchType but not response.patch"
        }
        (WebhookKind::Mutating, true, true) if response.decision.patch_type.is_empty() => {
            "webhook returned invalid response.patchType of \"\""
        }
        (WebhookKind::Validating, true, _) => "validating webhook may not return response.patch",
        (WebhookKind::Validating, false, true) => {
            "validating webhook may not return response.patchType"
        }
        _ => return Ok(()),
    };
    invalid(text.to_owned())
}

/// Rejects a document of another kind or version. Missing ones are those of the request.
fn expect_convertible(
    api_version: &str,
    kind: &str,
    version: ReviewVersion,
) -> Result<(), Unusable> {
    let own = version.api_version();
    if matches!(kind, "" | "AdmissionReview") && (api_version.is_empty() || api_version == own) {
        return Ok(());
    }
    let other = match version {
        ReviewVersion::V1 => ReviewVersion::V1Beta1,
        ReviewVersion::V1Beta1 => ReviewVersion::V1,
    };
    let text = if kind == "AdmissionReview" && api_version == other.api_version() {
        format!(
            "converting ({}.AdmissionReview) to ({}.AdmissionReview): unknown conversion",
            other.name(),
            version.name()
        )
    } else {
        let kind = if kind.is_empty() {
            "AdmissionReview"
        } else {
            kind
        };
        let shown = if api_version.is_empty() {
            own
        } else {
            api_version
        };
        format!(
            "no kind {kind:?} is registered for version {shown:?} in scheme \
             \"pkg/runtime/scheme.go:111\""
        )
    };
    Err(Unusable::Undecodable(text))
}

fn decode(response: &Value) -> Result<Response, String> {
    let Value::Object(response) = response else {
        let found = kube_json::json_kind(response);
        return Err(format!(
            "json: cannot unmarshal {found} into Go struct field AdmissionReview.response of type \
             v1.AdmissionResponse"
        ));
    };
    let wrong = |value: &Value, key: &str, go_type: &str| {
        let found = kube_json::json_kind(value);
        format!(
            "json: cannot unmarshal {found} into Go struct field AdmissionResponse.response.{key} \
             of type {go_type}"
        )
    };
    let field = |key: &str| response.get(key).filter(|value| !value.is_null());
    let text = |key: &str, go_type: &str| match field(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(other) => Err(wrong(other, key, go_type)),
    };
    let allowed = match field("allowed") {
        None => false,
        Some(Value::Bool(allowed)) => *allowed,
        Some(other) => return Err(wrong(other, "allowed", "bool")),
    };
    let status = match field("status") {
        None => None,
        Some(status @ Value::Object(_)) => Some(status::checked(status)?),
        Some(other) => return Err(wrong(other, "status", "v1.Status")),
    };
    let warnings = match field("warnings") {
        None => Vec::new(),
        Some(Value::Array(items)) => {
            let texts = items.iter().map(|item| match item {
                Value::String(text) => Ok(text.clone()),
                Value::Null => Ok(String::new()),
                other => Err(wrong(other, "warnings", "string")),
            });
            texts.collect::<Result<_, _>>()?
        }
        Some(other) => return Err(wrong(other, "warnings", "[]string")),
    };
    let annotations = match field("auditAnnotations") {
        None => Vec::new(),
        Some(Value::Object(map)) => {
            let pairs = map.iter().map(|(key, value)| match value {
                Value::String(text) => Ok((key.clone(), text.clone())),
                Value::Null => Ok((key.clone(), String::new())),
                other => Err(wrong(other, "auditAnnotations", "string")),
            });
            pairs.collect::<Result<_, _>>()?
        }
        Some(other) => return Err(wrong(other, "auditAnnotations", "map[string]string")),
    };
    let patch = match text("patch", "[]uint8")? {
        None => Vec::new(),
        Some(encoded) => STANDARD.decode(&encoded).map_err(|error| {
            let at = match error {
                base64::DecodeError::InvalidByte(at, _)
                | base64::DecodeError::InvalidLastSymbol(at, _) => at,
                _ => encoded.len(),
            };
            format!("illegal base64 data at input byte {at}")
        })?,
    };
    let patch_type = text("patchType", "v1.PatchType")?;
    Ok(Response {
        uid: text("uid", "types.UID")?.unwrap_or_default(),
        has_patch_type: patch_type.is_some(),
        decision: Decision {
            allowed,
            status,
            patch,
            patch_type: patch_type.unwrap_or_default(),
            warnings,
            annotations,
        },
    })
}

#[cfg(test)]
mod tests;
