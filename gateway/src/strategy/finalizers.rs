//! Finalizers.

use std::collections::BTreeSet;

use api_types::field::{Error, Path};
use api_types::meta::Meta;
use api_types::options::PropagationPolicy;
use api_types::{go_text, names};
use serde_json::Value;

use super::edit;

/// Held until the garbage collector has removed the dependents' references.
const ORPHAN: &str = "orphan";
/// Held until the garbage collector has deleted the dependents.
const FOREGROUND: &str = "foregroundDeletion";
/// Names without a domain that cause no warning.
const STANDARD: [&str; 3] = [ORPHAN, FOREGROUND, "kubernetes"];

/// Rejects new finalizers on an object that is being deleted.
pub(super) fn none_added(meta: Meta<'_>, old: Meta<'_>, path: Path<'_>) -> Option<Error> {
    let added = added(meta, Some(old));
    let detail = || {
        let names = go_text::string_slice(added.iter().copied());
        format!(
            "no new finalizers can be added if the object is being deleted, found new finalizers \
             {names}"
        )
    };
    (!added.is_empty()).then(|| Error::forbidden(path, detail()))
}

/// Warnings for the finalizers that a write adds; built lazily.
pub(crate) fn warnings<'a>(
    meta: Meta<'a>,
    old: Option<Meta<'a>>,
) -> impl Iterator<Item = String> + use<'a> {
    added(meta, old).into_iter().flat_map(warnings_of)
}

fn warnings_of(name: &str) -> Vec<String> {
    let problems = names::qualified_name(name).into_iter();
    let mut warnings: Vec<String> = problems
        .map(|it| format!("metadata.finalizers: {name:?}: {it}"))
        .collect();
    if name.contains('/') || STANDARD.contains(&name) {
        return warnings;
    }
    let path = if name.contains('.') {
        " including a path (/)"
    } else {
        ""
    };
    warnings.push(format!(
        "metadata.finalizers: {name:?}: prefer a domain-qualified finalizer name{path} to avoid \
         accidental conflicts with other finalizer writers"
    ));
    warnings
}

fn added<'a>(meta: Meta<'a>, old: Option<Meta<'a>>) -> BTreeSet<&'a str> {
    let before: BTreeSet<&str> = old.into_iter().flat_map(Meta::finalizers).collect();
    meta.finalizers()
        .filter(|name| !before.contains(name))
        .collect()
}

/// Whether finalizers delay a deletion with this policy.
pub(crate) fn delay_deletion(meta: Meta<'_>, policy: Option<PropagationPolicy>) -> bool {
    !after_deletion(meta, policy).is_empty()
}

/// Sets the garbage collector's finalizers according to a deletion policy.
pub(crate) fn for_deletion(object: &mut Value, policy: Option<PropagationPolicy>) {
    let meta = Meta::of(object);
    let before: BTreeSet<&str> = meta.finalizers().collect();
    let after = after_deletion(meta, policy);
    if before != after.iter().copied().collect() {
        let after: Vec<String> = after.into_iter().map(str::to_owned).collect();
        edit::set_texts(object, "finalizers", &after);
    }
}

fn after_deletion(meta: Meta<'_>, policy: Option<PropagationPolicy>) -> Vec<&str> {
    let ours = meta
        .finalizers()
        .find(|name| [ORPHAN, FOREGROUND].contains(name));
    let wanted = match policy {
        Some(PropagationPolicy::Orphan) => Some(ORPHAN),
        Some(PropagationPolicy::Foreground) => Some(FOREGROUND),
        Some(PropagationPolicy::Background) => None,
        // Keep the finalizer of an earlier request.
        None => ours,
    };
    let mut after: Vec<&str> = meta
        .finalizers()
        .filter(|name| ![ORPHAN, FOREGROUND].contains(name))
        .collect();
    after.extend(wanted);
    after
}
