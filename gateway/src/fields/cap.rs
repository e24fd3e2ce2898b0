//! The limit of managers that update.
//!
//! Source: `k8s.io/apimachinery/pkg/util/managedfields/internal/capmanagers.go`.

use api_types::time;

use super::entries::{Identity, Operation};
use super::managed::Managed;

/// Managers of updates that an object keeps; the oldest ones are merged. kube-apiserver's value.
const MAX_UPDATE_MANAGERS: usize = 10;
/// Name of the merged managers, one per version.
const ANCIENT: &str = "ancient-changes";

/// Merges the oldest managers of updates until the limit holds.
pub(super) fn cap(managed: &mut Managed) {
    let updaters = managed.managers.keys().filter(|key| {
        let identity = Identity::of_key(key);
        identity.is_some_and(|it| it.operation == Operation::Update)
    });
    let mut updaters: Vec<String> = updaters.cloned().collect();
    if updaters.len() <= MAX_UPDATE_MANAGERS {
        return;
    }
    let seconds = |managed: &Managed, key: &str| {
        let time = managed.times.get(key).and_then(|time| time::parse(time));
        time.map_or(0, |time| time.as_second())
    };
    updaters.sort_by_cached_key(|key| (seconds(managed, key), key.clone()));
    let mut count = updaters.len();
    for key in updaters {
        if count <= MAX_UPDATE_MANAGERS {
            return;
        }
        let (Some(identity), Some(owned)) = (Identity::of_key(&key), managed.managers.remove(&key))
        else {
            continue;
        };
        let time = managed.times.remove(&key);
        let merged = Identity {
            manager: ANCIENT.to_owned(),
            subresource: String::new(),
            ..identity
        };
        let merged_key = merged.key();
        let set = match managed.managers.remove(&merged_key) {
            Some(known) => {
                count -= 1;
                known.set.union(&owned.set)
            }
            // The first one of a version is replaced by its merged entry.
            None => owned.set.clone(),
        };
        let owned = structured_merge::Owned { set, ..owned };
        managed.managers.insert(merged_key.clone(), owned);
        if let Some(time) = time {
            // In ascending order, so the last one is the newest.
            managed.times.insert(merged_key, time);
        }
    }
}
