//! The annotation of client-side apply, which `kubectl apply --server-side` takes over.
//!
//! Source: `k8s.io/apimachinery/pkg/util/managedfields/internal/lastapplied{manager,updater}.go`.

use api_types::meta::Meta;
use serde_json::Value;
use structured_merge::{FieldSet, TypedValue};

use crate::resources::{Served, Typed};

/// The manager for which the annotation is kept.
pub(super) const KUBECTL: &str = "kubectl";
const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Limit of all annotations, as in validation: `TotalAnnotationSizeLimitB`.
const MAX_ANNOTATIONS: usize = 256 << 10;

/// The fields that client-side apply set, and that have the same values still. A server-side apply
/// by kubectl may take them.
pub(super) fn unchanged(served: &Served, typed: &Typed, live: &TypedValue) -> Option<FieldSet> {
    let applied: Value = serde_json::from_str(annotation(live.value())?).ok()?;
    if applied["apiVersion"] != served.api_version() {
        return None;
    }
    let applied = typed.applied(applied).ok()?;
    let set = applied.to_field_set().ok()?;
    let changes = applied.compare(live).ok()?;
    let same = set.difference(&changes.modified).difference(&changes.added);
    Some(same.difference(&changes.removed))
}

/// Replaces the annotation of an object that has it by the applied configuration.
pub(super) fn renew(object: &mut Value, config: &Value) {
    if annotation(object).is_none() {
        return;
    }
    let mut config = config.clone();
    if let Some(annotations) = annotations(&mut config) {
        annotations.remove(ANNOTATION);
    }
    let mut text = String::from_utf8_lossy(&kube_json::to_vec(&config)).into_owned();
    text.push('\n');
    let Some(annotations) = annotations(object) else {
        return;
    };
    annotations.insert(ANNOTATION.to_owned(), text.into());
    let size = |(name, value): (&String, &Value)| name.len() + value.as_str().map_or(0, str::len);
    if annotations.iter().map(size).sum::<usize>() > MAX_ANNOTATIONS {
        annotations.remove(ANNOTATION);
    }
}

fn annotation(object: &Value) -> Option<&str> {
    let annotations = Meta::of(object).get("annotations")?;
    annotations[ANNOTATION]
        .as_str()
        .filter(|text| !text.is_empty())
}

fn annotations(object: &mut Value) -> Option<&mut serde_json::Map<String, Value>> {
    let metadata = object.get_mut("metadata")?;
    metadata.get_mut("annotations")?.as_object_mut()
}
