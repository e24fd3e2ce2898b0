//! Server-side apply: the merged object and its managers.

use std::sync::Arc;

use api_types::gvk::GroupVersion;
use api_types::meta::Meta;
use api_types::status::{ApiError, Cause, Details, Reason};
use serde_json::{Value, json};
use structured_merge::{Applied, ApplyError, Conflicts, TypedValue};

use super::entries::{self, Identity, Operation};
use super::last_applied;
use super::managed::Managed;
use super::steps::{self, Source};
use super::version::VersionError;
use crate::admission::Attributes;
use crate::resources::Typed;

/// Manager of the fields of an object that had no managers before its first apply.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// An applied configuration.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The partial object of the body.
    pub object: Arc<Value>,
    /// Whether fields are taken from other managers.
    pub force: bool,
}

/// Merges a configuration into the stored object; without one, into an empty object. The result
/// has its managers, and no defaults yet.
///
/// # Errors
/// 400 if the configuration is of another kind or names managers, 409 if it conflicts with other
/// managers, a plain 500 if it does not conform to the schema.
pub(crate) fn apply(
    attributes: &Attributes<'_>,
    old: Option<&Value>,
    config: &Config,
) -> Result<Value, ApiError> {
    let served = attributes.served;
    let typed = served
        .typed()
        .ok_or_else(|| ApiError::internal("the schema cannot be merged"))?;
    let api_version = served.api_version();
    expect_kind(&config.object, api_version, served.kind())?;
    let managed = match old {
        Some(old) => entries::read(old, typed.schema()).map_err(|error| {
            ApiError::internal_plain(format!("failed to decode managed fields: {error}"))
        })?,
        None => Managed::default(),
    };
    let empty = json!({"apiVersion": api_version, "kind": served.kind()});
    let mut live = old.cloned().unwrap_or(empty);
    entries::remove(&mut live);
    let mut managed = tracked(attributes, &mut live, typed, managed)?;
    if entries::names_managers(&config.object) {
        return Err(ApiError::bad_request("metadata.managedFields must be nil"));
    }
    let applied = typed.applied(Arc::clone(&config.object)).map_err(|error| {
        let shown = shown(&config.object);
        ApiError::internal_plain(format!(
            "failed to create typed patch object ({shown}): {error}"
        ))
    })?;
    let live = typed.written(live).map_err(|error| {
        let shown = old.map_or_else(|| shown(&config.object), shown);
        ApiError::internal_plain(format!(
            "failed to create typed live object ({shown}): {error}"
        ))
    })?;
    let key = Identity {
        manager: attributes.field_manager.to_owned(),
        operation: Operation::Apply,
        api_version: String::new(),
        subresource: attributes.subresource.to_owned(),
    }
    .key();
    let Applied {
        object,
        changed,
        managers,
    } = merge(
        attributes,
        typed,
        &live,
        &applied,
        &managed,
        &key,
        config.force,
    )?;
    managed.managers = managers;
    steps::strip(&mut managed, &key);
    // A manager that only joins the owners of unchanged fields has no time.
    if changed {
        managed.touch(&key);
    }
    drop((live, applied));
    let mut object = object.into_value();
    if attributes.field_manager == last_applied::KUBECTL {
        last_applied::renew(&mut object, &config.object);
    }
    entries::write(&managed, &mut object);
    Ok(object)
}

fn merge(
    attributes: &Attributes<'_>,
    typed: &Typed,
    live: &TypedValue,
    config: &TypedValue,
    managed: &Managed,
    key: &str,
    force: bool,
) -> Result<Applied, ApiError> {
    let served = attributes.served;
    let version = served.api_version();
    let updater = steps::updater(attributes);
    let apply = |force| updater.apply(live, config, version, &managed.managers, key, force);
    match apply(force) {
        Ok(applied) => Ok(applied),
        Err(ApplyError::Conflicts(conflicts))
            if attributes.field_manager == last_applied::KUBECTL =>
        {
            let allowed = last_applied::unchanged(served, typed, live).unwrap_or_default();
            if conflicts.to_set().difference(&allowed).is_empty() {
                return apply(true).map_err(rejected);
            }
            Err(conflict(&conflicts))
        }
        Err(error) => Err(rejected(error)),
    }
}

/// Gives the fields of an object without managers to one, so that an apply does not remove them.
fn tracked(
    attributes: &Attributes<'_>,
    live: &mut Value,
    typed: &Typed,
    managed: Managed,
) -> Result<Managed, ApiError> {
    if !managed.managers.is_empty() {
        return Ok(managed);
    }
    let served = attributes.served;
    let api_version = served.api_version();
    let writer = Identity {
        manager: BEFORE_FIRST_APPLY.to_owned(),
        operation: Operation::Update,
        api_version: api_version.to_owned(),
        subresource: attributes.subresource.to_owned(),
    };
    let empty = json!({"apiVersion": api_version, "kind": served.kind()});
    let object = Source {
        object: empty.into(),
        typed,
    };
    let written = steps::written(attributes, object, live, managed, &writer);
    let failed = |error: &dyn std::fmt::Display| {
        ApiError::internal_plain(format!(
            "failed to create manager for existing fields: {error}"
        ))
    };
    if let Some(managed) = written.map_err(|error| failed(&error))? {
        return Ok(managed);
    }
    // The object does not conform to the schema.
    typed.written(live.clone()).map_or_else(
        |error| {
            let shown = shown(live);
            Err(failed(&format!(
                "failed to convert new object ({shown}) to smd typed: {error}"
            )))
        },
        |_| Ok(Managed::default()),
    )
}

/// # Errors
/// 400 unless the configuration has the version and kind of the path.
pub(super) fn expect_kind(config: &Value, api_version: &str, kind: &str) -> Result<(), ApiError> {
    let text = |name: &str| config[name].as_str().unwrap_or_default();
    if text("apiVersion") == api_version && text("kind") == kind {
        return Ok(());
    }
    let kind = go_kind(config);
    Err(ApiError::bad_request(format!(
        "invalid object type: {kind}"
    )))
}

/// Namespace, name and kind of an object, as kube-apiserver prints them in errors.
pub(super) fn shown(object: &Value) -> String {
    let meta = Meta::of(object);
    let (namespace, name) = (meta.namespace(), meta.name());
    format!("{namespace}/{name}; {}", go_kind(object))
}

/// Go's form of a kind: `group/version, Kind=Kind`.
fn go_kind(object: &Value) -> String {
    let text = |name: &str| object[name].as_str().unwrap_or_default();
    let version = match GroupVersion::parse(text("apiVersion")) {
        Ok(it) if it.group.is_empty() && !it.version.is_empty() => format!("/{}", it.version),
        Ok(it) if it.group.is_empty() => "/".to_owned(),
        Ok(_) => text("apiVersion").to_owned(),
        Err(_) => "/".to_owned(),
    };
    format!("{version}, Kind={}", text("kind"))
}

pub(super) fn rejected(error: ApplyError<VersionError>) -> ApiError {
    match error {
        ApplyError::Conflicts(conflicts) => conflict(&conflicts),
        error => ApiError::internal_plain(error.to_string()),
    }
}

/// 409 with a cause per field.
///
/// Source: `k8s.io/apimachinery/pkg/util/managedfields/internal/conflict.go`.
fn conflict(Conflicts(conflicts): &Conflicts) -> ApiError {
    let causes = conflicts.iter().map(|conflict| Cause {
        reason: "FieldManagerConflict".to_owned(),
        message: format!("conflict with {}", printed(&conflict.manager)),
        field: conflict.path.to_string(),
    });
    let message = if let [conflict] = conflicts.as_slice() {
        let manager = printed(&conflict.manager);
        format!(
            "Apply failed with 1 conflict: conflict with {manager}: {}",
            conflict.path
        )
    } else {
        let mut lines = Vec::new();
        let mut last = None;
        for conflict in conflicts {
            if last != Some(&conflict.manager) {
                last = Some(&conflict.manager);
                lines.push(format!("conflicts with {}:", printed(&conflict.manager)));
            }
            lines.push(format!("- {}", conflict.path));
        }
        let lines = lines.join("\n");
        format!("Apply failed with {} conflicts: {lines}", conflicts.len())
    };
    ApiError::new(Reason::Conflict, message).with_details(Details {
        causes: causes.collect(),
        ..Details::default()
    })
}

/// A manager in messages.
fn printed(key: &str) -> String {
    let quote = api_types::go_text::quote;
    let Some(identity) = Identity::of_key(key) else {
        return quote(key);
    };
    let mut text = quote(&identity.manager);
    if !identity.subresource.is_empty() {
        text = format!("{text} with subresource {}", quote(&identity.subresource));
    }
    if identity.operation == Operation::Update {
        text = format!("{text} using {}", identity.api_version);
    }
    text
}
