//! Answers to questions about the user of a request.
//!
//! Only members of `system:masters` are authorized here, so every user who may ask may do
//! everything.

use api_types::field;
use api_types::gvk::GroupKind;
use api_types::status::ApiError;
use api_types::time;
use gateway::request::User;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// The group of reviews of rights.
const AUTHORIZATION: &str = "authorization.k8s.io";

/// Answers a SelfSubjectAccessReview.
///
/// # Errors
/// 422 unless exactly one kind of attributes is given: `ValidateSelfSubjectAccessReview` in
/// kubernetes.
pub(super) fn access(user: &User, review: &mut Value) -> Result<(), ApiError> {
    let spec = &review["spec"];
    let given = |name: &str| Some(&spec[name]).filter(|it| !it.is_null());
    let path = given("nonResourceAttributes");
    if given("resourceAttributes").is_some() == path.is_some() {
        // The internal type, whose names of members are those of Go.
        let shown = path.map(|path| {
            let text = |name: &str| path[name].as_str().unwrap_or_default();
            json!({"Path": text("path"), "Verb": text("verb")}).to_string()
        });
        let shown = field::Value::verbatim(shown.as_deref().unwrap_or("null"));
        let detail = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
        let problem = field::Error::invalid("spec", shown, detail);
        // The reference names no kind.
        let kind = GroupKind::new(AUTHORIZATION, "");
        return Err(ApiError::invalid(&kind, "", &[problem]));
    }
    review["status"] = json!({ "allowed": user.is_master() });
    Ok(())
}

/// Answers a SelfSubjectRulesReview.
///
/// # Errors
/// 400 without a namespace.
pub(super) fn rules(user: &User, review: &mut Value) -> Result<(), ApiError> {
    let namespace = review["spec"]["namespace"].as_str().unwrap_or_default();
    if namespace.is_empty() {
        return Err(ApiError::bad_request("no namespace on request"));
    }
    let (resources, paths) = if user.is_master() {
        (
            json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]),
            json!([{"verbs": ["*"], "nonResourceURLs": ["*"]}]),
        )
    } else {
        (json!([]), json!([]))
    };
    review["status"] = json!({
        "resourceRules": resources,
        "nonResourceRules": paths,
        "incomplete": false,
    });
    Ok(())
}

/// Answers a SelfSubjectReview.
pub(super) fn user(user: &User, review: &mut Value) -> Result<(), ApiError> {
    let mut info = Map::new();
    info.insert("username".to_owned(), user.name.clone().into());
    if let Some(uid) = &user.uid {
        info.insert("uid".to_owned(), uid.clone().into());
    }
    info.insert("groups".to_owned(), user.groups.clone().into());
    if !user.extra.is_empty() {
        info.insert("extra".to_owned(), json!(user.extra));
    }
    review["metadata"]["creationTimestamp"] = time::format(Timestamp::now()).into();
    review["status"] = json!({ "userInfo": info });
    Ok(())
}
