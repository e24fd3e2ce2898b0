//! The managers of one object.

use std::collections::BTreeMap;

use api_types::time;
use jiff::Timestamp;
use structured_merge::Managers;

/// Managers with the times of their last changes.
#[derive(Clone, Debug, Default)]
pub(super) struct Managed {
    /// By [`Identity::key`](super::entries::Identity::key).
    pub(super) managers: Managers,
    /// RFC 3339, by the same keys. An entry that a client wrote may have none.
    pub(super) times: BTreeMap<String, String>,
}

impl Managed {
    /// Sets the time of a manager to now.
    pub(super) fn touch(&mut self, key: &str) {
        let now = time::format(Timestamp::now());
        self.times.insert(key.to_owned(), now);
    }
}
