//! The limit of managers that update.
//!
//! Source: `k8s.io/apimachinery/pkg/util/managedfields/internal/capmanagers.go`.

use std::collections::BTreeMap;

use api_types::time;
use structured_merge::{FieldSet, Owned};

use super::entries::{Identity, Operation};
use super::managed::Managed;

/// Managers of updates that an object keeps; the oldest ones are merged. kube-apiserver's value.
const MAX_UPDATE_MANAGERS: usize = 10;
/// Name of the merged managers, one per version.
const ANCIENT: &str = "ancient-changes";

/// Merges the oldest managers of updates until the limit holds.
pub(super) fn cap(managed: &mut Managed) {
    let updaters = managed.managers.iter().filter(|(_, owned)| !owned.applied);
    let mut updaters: Vec<String> = updaters.map(|(key, _)| key.clone()).collect();
    let mut count = updaters.len();
    if count <= MAX_UPDATE_MANAGERS {
        return;
    }
    let seconds = |key: &str| {
        let time = managed.times.get(key).and_then(|time| time::parse(time));
        time.map_or(0, |time| time.as_second())
    };
    updaters.sort_by_cached_key(|key| (seconds(key), key.clone()));
    // The first manager of a version is merged when there is a second one.
    let mut first_of: BTreeMap<String, String> = BTreeMap::new();
    for key in updaters {
        if count <= MAX_UPDATE_MANAGERS {
            return;
        }
        let Some(owned) = managed.managers.get(&key).cloned() else {
            continue;
        };
        let Some(first) = first_of.get(&owned.version) else {
            first_of.insert(owned.version, key);
            continue;
        };
        let bucket = Identity {
            manager: ANCIENT.to_owned(),
            operation: Operation::Update,
            api_version: owned.version.clone(),
            subresource: String::new(),
        }
        .key();
        let merged = managed.managers.remove(&bucket);
        let merged = merged.or_else(|| managed.managers.remove(first));
        let set = merged.map_or_else(FieldSet::default, |merged| merged.set);
        let set = owned.set.union(&set);
        managed.managers.remove(&key);
        managed
            .managers
            .insert(bucket.clone(), Owned { set, ..owned });
        count -= 1;
        // That of the manager that is merged now, which is newer.
        match managed.times.get(&key).cloned() {
            Some(time) => managed.times.insert(bucket, time),
            None => managed.times.remove(&bucket),
        };
    }
}
