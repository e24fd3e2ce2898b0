//! The request of an AdmissionReview.
//!
//! Source: `k8s.io/apiserver/pkg/admission/plugin/webhook/request/admissionreview.go`.

use std::collections::BTreeMap;

use api_types::options::{DeleteOptions, FieldValidation, PropagationPolicy};
use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::body::ReviewBody;
use super::hook::ReviewVersion;
use super::matching::Invocation;
use crate::admission::{Attributes, Operation, Options};
use crate::resources::Served;

/// The objects of a review as JSON; none where the review has null.
#[derive(Debug, Clone, Default)]
pub(super) struct Encoded {
    pub(super) object: Option<Bytes>,
    pub(super) old_object: Option<Bytes>,
}

/// All but the objects.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Head<'a> {
    uid: &'a str,
    kind: Kind<'a>,
    resource: Resource<'a>,
    #[serde(skip_serializing_if = "str::is_empty")]
    sub_resource: &'a str,
    request_kind: Kind<'a>,
    request_resource: Resource<'a>,
    #[serde(skip_serializing_if = "str::is_empty")]
    request_sub_resource: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    namespace: &'a str,
    operation: &'a str,
    user_info: UserInfo<'a>,
    dry_run: bool,
    options: Value,
}

#[derive(Serialize)]
struct Kind<'a> {
    group: &'a str,
    version: &'a str,
    kind: &'a str,
}

#[derive(Serialize)]
struct Resource<'a> {
    group: &'a str,
    version: &'a str,
    resource: &'a str,
}

#[derive(Serialize)]
struct UserInfo<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    username: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    uid: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    groups: &'a [String],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    extra: &'a BTreeMap<String, Vec<String>>,
}

/// The review that a webhook is sent. `name` is that of the object if the request had none.
pub(super) fn review(
    uid: &str,
    version: ReviewVersion,
    invocation: &Invocation,
    attributes: &Attributes<'_>,
    name: &str,
    objects: &Encoded,
) -> ReviewBody {
    let served = attributes.served;
    let user = attributes.user;
    // Those of deletecollection name no object, although each is reviewed: `DeleteCollection` in
    // `k8s.io/apiserver/pkg/endpoints/handlers/delete.go`.
    let name = match attributes.verb {
        "deletecollection" => "",
        _ => name,
    };
    let head = Head {
        uid,
        kind: kind(&invocation.served, attributes.subresource),
        resource: resource(&invocation.served),
        sub_resource: attributes.subresource,
        request_kind: kind(served, attributes.subresource),
        request_resource: resource(served),
        request_sub_resource: attributes.subresource,
        name,
        namespace: attributes.namespace,
        operation: attributes.operation.as_str(),
        user_info: UserInfo {
            username: &user.name,
            uid: user.uid.as_deref().unwrap_or_default(),
            groups: &user.groups,
            extra: &user.extra,
        },
        dry_run: attributes.dry_run,
        options: options(attributes),
    };
    // Only maps whose keys are not text cannot be written.
    let mut text = serde_json::to_string(&head).unwrap_or_default();
    text.pop();
    let before = format!(
        r#"{{"kind":"AdmissionReview","apiVersion":"{}","request":{text},"object":"#,
        version.api_version()
    );
    let null = || Bytes::from_static(b"null");
    ReviewBody::new([
        before.into(),
        objects.object.clone().unwrap_or_else(null),
        Bytes::from_static(b",\"oldObject\":"),
        objects.old_object.clone().unwrap_or_else(null),
        Bytes::from_static(b"}}"),
    ])
}

fn kind<'a>(served: &'a Served, subresource: &str) -> Kind<'a> {
    if subresource == "scale" {
        return Kind {
            group: "autoscaling",
            version: "v1",
            kind: "Scale",
        };
    }
    Kind {
        group: &served.group_kind().group,
        version: &served.version().name,
        kind: served.kind(),
    }
}

fn resource(served: &Served) -> Resource<'_> {
    let resource = served.group_resource();
    Resource {
        group: &resource.group,
        version: &served.version().name,
        resource: &resource.resource,
    }
}

/// The options of the request. Those of a patch are the options of the operation, as in
/// `k8s.io/apiserver/pkg/endpoints/handlers/patch.go`.
fn options(attributes: &Attributes<'_>) -> Value {
    let write = |kind: &str, dry_run, manager: &str, validation: Option<FieldValidation>| {
        let mut options = begin(kind, dry_run);
        if !manager.is_empty() {
            options.insert("fieldManager".to_owned(), manager.into());
        }
        if let Some(validation) = validation {
            let text = match validation {
                FieldValidation::Ignore => "Ignore",
                FieldValidation::Warn => "Warn",
                FieldValidation::Strict => "Strict",
            };
            options.insert("fieldValidation".to_owned(), text.into());
        }
        options.into()
    };
    match attributes.options {
        Options::Create(it) => write(
            "CreateOptions",
            it.dry_run(),
            it.field_manager(),
            it.given_field_validation(),
        ),
        Options::Update(it) => write(
            "UpdateOptions",
            it.dry_run(),
            it.field_manager(),
            it.given_field_validation(),
        ),
        Options::Patch(it) => {
            let kind = match attributes.operation {
                Operation::Create => "CreateOptions",
                Operation::Update | Operation::Delete => "UpdateOptions",
            };
            let validation = it.given_field_validation();
            write(kind, it.dry_run(), it.field_manager(), validation)
        }
        Options::Delete(it) => delete_options(it),
    }
}

fn delete_options(it: &DeleteOptions) -> Value {
    let mut options = begin("DeleteOptions", it.dry_run());
    let mut insert = |key: &str, value: Option<Value>| {
        options.extend(value.map(|value| (key.to_owned(), value)));
    };
    insert(
        "gracePeriodSeconds",
        it.grace_period_seconds().map(Into::into),
    );
    let (uid, version) = (
        &it.preconditions().uid,
        &it.preconditions().resource_version,
    );
    if uid.is_some() || version.is_some() {
        let mut preconditions = Map::new();
        preconditions.extend(uid.clone().map(|it| ("uid".to_owned(), it.into())));
        let version = version.clone();
        preconditions.extend(version.map(|it| ("resourceVersion".to_owned(), it.into())));
        insert("preconditions", Some(preconditions.into()));
    }
    insert("orphanDependents", it.orphan_dependents().map(Into::into));
    let policy = match (it.orphan_dependents(), it.propagation_policy()) {
        (None, Some(PropagationPolicy::Foreground)) => Some("Foreground"),
        (None, Some(PropagationPolicy::Background)) => Some("Background"),
        (None, Some(PropagationPolicy::Orphan)) => Some("Orphan"),
        (Some(_), _) | (None, None) => None,
    };
    insert("propagationPolicy", policy.map(Into::into));
    options.into()
}

fn begin(kind: &str, dry_run: bool) -> Map<String, Value> {
    let mut options = Map::new();
    options.insert("kind".to_owned(), kind.into());
    options.insert("apiVersion".to_owned(), "meta.k8s.io/v1".into());
    if dry_run {
        options.insert("dryRun".to_owned(), json!(["All"]));
    }
    options
}
